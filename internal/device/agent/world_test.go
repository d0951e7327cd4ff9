package agent_test

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sirupsen/logrus"
	logtest "github.com/sirupsen/logrus/hooks/test"

	"github.com/trusch/jamesd/internal/archive"
	"github.com/trusch/jamesd/internal/device/agent"
	"github.com/trusch/jamesd/internal/device/disk"
	"github.com/trusch/jamesd/internal/device/txn"
	"github.com/trusch/jamesd/internal/logging"
	"github.com/trusch/jamesd/internal/stream"
	"github.com/trusch/jamesd/pkg/client"
	"github.com/trusch/jamesd/pkg/james"
)

// packet is a packet with an archive of bytes that only its test knows.
type packet struct {
	james.Packet
	manifest *james.Manifest
	archive  []byte
	content  []byte // of its file
}

// tarSize is what a tar with one file has besides its content, if that is in whole
// blocks.
const tarSize = 3 * 512

// newPacket makes a packet whose archive has size bytes, if it can be as small, and
// holds one file.
func newPacket(t testing.TB, name, version string, size int) *packet {
	t.Helper()
	content := make([]byte, max(size-tarSize, size%512))
	rand.NewChaCha8(sha256.Sum256([]byte(name + version))).Read(content)
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	h := &tar.Header{Name: "opt/" + name, Mode: 0o644, Size: int64(len(content)), Format: tar.FormatUSTAR}
	if err := errors.Join(w.WriteHeader(h), second(w.Write(content)), w.Close()); err != nil {
		t.Fatal(err)
	}
	entries, _, err := archive.Scan(t.Context(), bytes.NewReader(buf.Bytes()), archive.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	m := &james.Manifest{Name: name, Tags: james.MustTags(version), Entries: entries}
	_, digest, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	p := &packet{manifest: m, archive: buf.Bytes(), content: content}
	p.Packet = james.Packet{Digest: digest, Name: name, Tags: m.Tags,
		Archive: james.Archive{Digest: james.DigestOf(p.archive), Size: int64(buf.Len()), Format: "tar"}}
	return p
}

func second(_ int, err error) error { return err }

// server is a jamesd for one device, in memory.
type server struct {
	mu       sync.Mutex
	changed  chan struct{} // closed and renewed when the plan may be another
	packets  map[james.Digest]*packet
	desired  []*packet // nil: the device is left alone
	problems []james.Problem
	schedule james.Schedule
	revision uint64
	report   *james.DeviceReport

	interval  int           // of its answers
	pause     time.Duration // likewise
	impatient bool          // does not hold polls
	deaf      bool          // sends plans that are known
	amnesiac  bool          // never has the report
	down      error         // the answer to everything
	noReports error         // the answer to reports

	polls   []poll
	reports []james.Report
	told    []told
	served  int64 // bytes of archives and streams
	streams bool
	gets    []int64
	body    func(offset int64, r io.Reader) (io.ReadCloser, error)
}

// told is a message of progress.
type told struct {
	at time.Time
	p  james.Progress
}

type poll struct {
	at  time.Time
	req james.PollRequest
}

func newServer(packets ...*packet) *server {
	s := &server{changed: make(chan struct{}), packets: map[james.Digest]*packet{}, interval: 30}
	for _, p := range packets {
		s.packets[p.Digest] = p
	}
	return s
}

// set makes a change that wakes the held polls.
func (s *server) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
	close(s.changed)
	s.changed = make(chan struct{})
}

// want sets the desired state.
func (s *server) want(packets ...*packet) {
	s.set(func() { s.desired, s.revision = append([]*packet{}, packets...), s.revision+1 })
}

func (s *server) plan() james.Plan {
	if s.desired == nil && s.problems == nil {
		return james.Plan{}
	}
	var steps []james.Step
	for _, app := range s.report.Apps {
		if !slices.ContainsFunc(s.desired, func(p *packet) bool { return p.Name == app.Name }) {
			steps = append(steps, james.Step{Old: &app})
		}
	}
	for _, p := range s.desired {
		step := james.Step{New: &p.Packet}
		for _, app := range s.report.Apps {
			if app.Name == p.Name {
				step.Old = &app
			}
		}
		if step.Old == nil || step.Old.Digest != p.Digest {
			steps = append(steps, step)
		}
	}
	plan := james.NewPlan(s.revision, steps, s.problems)
	plan.Schedule = s.schedule
	return plan
}

func (s *server) Poll(ctx context.Context, req james.PollRequest) (james.PollResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.polls = append(s.polls, poll{time.Now(), req})
	if s.down != nil {
		return james.PollResponse{}, s.down
	}
	if req.Report != nil {
		s.report = req.Report
	} else if s.amnesiac || s.report == nil || s.report.Digest() != req.Same {
		return james.PollResponse{Resend: true}, nil
	}
	limit := time.After(time.Duration(req.Wait) * time.Second)
	for {
		if s.report == nil {
			return james.PollResponse{Resend: true}, nil
		}
		plan, answer := s.plan(), james.PollResponse{Interval: s.interval, Pause: s.pause}
		if plan.Empty() && s.desired != nil {
			answer.Revision = s.revision
		}
		if plan.Empty() && !req.Known.IsZero() {
			answer.Dropped = true
			return answer, nil
		}
		if !plan.Empty() && (plan.ID != req.Known || plan.Revision != req.KnownRevision || s.deaf) {
			answer.Plan = &plan
			return answer, nil
		}
		if s.impatient || req.Wait == 0 {
			return answer, nil
		}
		changed := s.changed
		s.mu.Unlock()
		ended := false
		select {
		case <-changed:
		case <-limit:
			ended = true
		case <-ctx.Done():
			ended = true
		}
		s.mu.Lock()
		switch {
		case ctx.Err() != nil:
			return james.PollResponse{}, ctx.Err()
		case s.down != nil:
			return james.PollResponse{}, s.down
		case ended:
			return answer, nil
		}
	}
}

func (s *server) Report(_ context.Context, r james.Report) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := cmpErr(s.down, s.noReports); err != nil {
		return err
	}
	s.reports = append(s.reports, r)
	return nil
}

func (s *server) Progress(_ context.Context, p james.Progress) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down != nil {
		return s.down
	}
	s.told = append(s.told, told{time.Now(), p})
	return p.Validate()
}

func (s *server) Manifest(_ context.Context, d james.Digest) (*james.Manifest, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.packets[d]
	if s.down != nil || p == nil {
		return nil, cmpErr(s.down, james.Errorf(james.KindNotFound, "packet "+d.Short(), "does not exist"))
	}
	return p.manifest, nil
}

func (s *server) Archive(ctx context.Context, d james.Digest, a james.Archive, offset int64) (io.ReadCloser, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gets = append(s.gets, offset)
	p := s.packets[d]
	if s.down != nil || p == nil {
		return nil, cmpErr(s.down, james.Errorf(james.KindNotFound, "packet "+d.Short(), "does not exist"))
	}
	var r io.Reader = &counted{s, ctx, bytes.NewReader(p.archive[offset:])}
	if s.body != nil {
		return s.body(offset, r)
	}
	return io.NopCloser(r), nil
}

func (s *server) ArchiveOf(_ context.Context, d james.Digest) (james.Archive, error) {
	return james.Archive{}, james.Errorf(james.KindNotFound, "packet "+d.Short(), "does not exist")
}

// Blobs sends whole contents, where the server has streams.
func (s *server) Blobs(ctx context.Context, req james.BlobsRequest, _ string, offset int64) (*client.BlobStream, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := cmpErr(s.down, s.noStreams()); err != nil {
		return nil, err
	}
	var buf bytes.Buffer
	w, err := stream.NewWriter(&buf, stream.Options{Codec: stream.Zstd})
	if err != nil {
		return nil, err
	}
	for n, wants := range req.Packets {
		for k := range wants.Entries.All() {
			p := s.packets[wants.Packet]
			h := stream.Head{Packet: n, Entry: k, Offset: wants.Offset, Size: p.manifest.Entries[k].Size - wants.Offset}
			if err := w.Whole(h, bytes.NewReader(p.content[wants.Offset:])); err != nil {
				return nil, err
			}
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	out := &client.BlobStream{ETag: "stream", Size: int64(buf.Len())}
	var r io.Reader = &counted{s, ctx, bytes.NewReader(buf.Bytes()[offset:])}
	out.ReadCloser = io.NopCloser(r)
	if s.body != nil {
		out.ReadCloser, err = s.body(offset, r)
	}
	return out, err
}

func (s *server) OfferBlobs(_ context.Context, req james.BlobsRequest) (james.BlobsOffer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return james.BlobsOffer{Size: archiveSize - req.Packets[0].Offset}, cmpErr(s.down, s.noStreams())
}

func (s *server) noStreams() error {
	if s.streams {
		return nil
	}
	return james.Errorf(james.KindNotFound, "/v1/blobs", "does not exist")
}

func cmpErr(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// counted counts what a server serves and ends with the request.
type counted struct {
	s   *server
	ctx context.Context
	r   io.Reader
}

func (c *counted) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := c.r.Read(p)
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	c.s.served += int64(n)
	return n, err
}

// installer is a device in memory: a plan is carried out as a whole or not at
// all, and its archives are read and compared.
type installer struct {
	mu    sync.Mutex
	apps  map[string]james.App
	tries []time.Time
	// fetches are the beginnings of Prefetch.
	fetches []time.Time
	// fails says how the plans that install a packet of that name end.
	fails map[string]james.Report
	// inert does as it is told and has nothing to show for it.
	inert bool
	// during is called when all is fetched, before anything changes.
	during  func(ctx context.Context)
	recover *james.Report
	err     error
	// changes are what Verify finds, or failed why it cannot; looks counts them.
	// unfinished is what a repair by another process left.
	changes    []james.Change
	failed     error
	looks      []time.Time
	unfinished bool
	after      func() // called after a commit
	// before is txn's BeforeApply, staged the files that it is shown.
	before func(context.Context, *james.Plan, func(james.Path) (string, bool)) error
	staged map[james.Path]string
	// proves says that plans are put on probation, with checks that take up to
	// checks; left is the one that was when the agent stopped.
	proves      bool
	checks      time.Duration
	check       func() // the checks themselves
	left        *james.Plan
	onProbation func(*james.Plan, time.Duration) // txn's
	confirm     func(context.Context, *james.Plan) error
	// last and commits are what Committed returns.
	last    *james.Report
	commits uint64
	// storage is what the source said of each archive that was asked for.
	storage []storage
	// fetched are the contents that the plan has from src.
	fetched []james.Digest
	src     txn.Source
}

// storage is how many bytes of an archive were missing, and how many stored.
type storage struct{ missing, stored int64 }

func newInstaller() *installer {
	return &installer{apps: map[string]james.App{}, fails: map[string]james.Report{}}
}

func (i *installer) Apps() []james.App {
	i.mu.Lock()
	defer i.mu.Unlock()
	var apps []james.App
	for _, a := range i.apps {
		apps = append(apps, a)
	}
	slices.SortFunc(apps, func(a, b james.App) int { return bytes.Compare([]byte(a.Name), []byte(b.Name)) })
	return apps
}

func (i *installer) Committed() (*james.Report, uint64) {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.last, i.commits
}

func (i *installer) Recover(ctx context.Context) (*james.Report, error) {
	if i.left != nil {
		plan := i.left
		i.left = nil
		r := &james.Report{Plan: plan.ID, Revision: plan.Revision, Recovered: true}
		return i.prove(ctx, plan, r)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	r := i.recover
	i.recover, i.unfinished = nil, false
	return r, i.err
}

func (i *installer) Verify(_ context.Context, v txn.Verification) ([]james.Change, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.looks = append(i.looks, time.Now())
	if !v.Quick {
		return nil, errors.New("the agent reads all files")
	}
	return slices.Clone(i.changes), i.failed
}

func (i *installer) Unfinished() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.unfinished
}

func (i *installer) Prefetch(ctx context.Context, plan *james.Plan, src txn.Source) error {
	i.mu.Lock()
	i.fetches = append(i.fetches, time.Now())
	i.mu.Unlock()
	started := time.Now().UTC()
	if err := i.stage(ctx, plan, src); err != nil {
		return &txn.Refusal{Report: &james.Report{Plan: plan.ID, Revision: plan.Revision, Started: started, Ended: time.Now().UTC(),
			Result: james.Refused, Error: err.Error(), Kind: james.KindOf(err)}}
	}
	return nil
}

func (i *installer) Apply(ctx context.Context, plan *james.Plan, src txn.Source) (*james.Report, error) {
	r := &james.Report{Plan: plan.ID, Revision: plan.Revision, Started: time.Now().UTC()}
	i.mu.Lock()
	i.tries = append(i.tries, time.Now())
	before, staged, during := i.before, i.staged, i.during
	i.mu.Unlock()
	err := i.stage(ctx, plan, src)
	if err == nil {
		err = before(ctx, plan, func(p james.Path) (string, bool) { f, ok := staged[p]; return f, ok })
	}
	if err == nil && during != nil {
		during(ctx)
		err = ctx.Err()
	}
	r.Ended = time.Now().UTC()
	if err != nil {
		r.Result, r.Error, r.Kind = james.Refused, err.Error(), james.KindOf(err)
		return r, nil
	}
	return i.prove(ctx, plan, r)
}

// prove has a plan prove itself, where that is asked for, and ends it.
func (i *installer) prove(ctx context.Context, plan *james.Plan, r *james.Report) (*james.Report, error) {
	if i.proves {
		i.onProbation(plan, i.checks)
		if i.check != nil {
			i.check()
		}
		if err := i.confirm(ctx, plan); err != nil {
			if ctx.Err() != nil {
				i.left = plan
				return nil, fmt.Errorf("%w; %w", context.Cause(ctx), txn.ErrOnProbation)
			}
			r.Result, r.Error, r.Kind = james.RolledBack, err.Error(), james.KindOf(err)
			return r, nil
		}
	}
	i.apply(plan, r)
	if r.Result == james.Committed && i.after != nil {
		i.after()
	}
	return r, nil
}

func (i *installer) apply(plan *james.Plan, r *james.Report) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, s := range plan.Steps {
		if f, ok := i.fails[s.Name()]; ok {
			r.Result, r.Error, r.Kind, r.App, r.Script, r.Output = f.Result, f.Error, f.Kind, f.App, f.Script, f.Output
			return
		}
	}
	for _, s := range plan.Steps {
		switch {
		case i.inert:
		case s.New != nil:
			i.apps[s.New.Name] = s.New.App()
		default:
			delete(i.apps, s.Old.Name)
		}
	}
	r.Result = james.Committed
	if i.src != nil {
		i.src.Forget(i.fetched)
		i.fetched = nil
	}
	i.last, i.commits = &james.Report{Plan: plan.ID, Revision: plan.Revision, Result: james.Committed, Recovered: true}, i.commits+1
}

func (i *installer) stage(ctx context.Context, plan *james.Plan, src txn.Source) error {
	for _, s := range plan.Steps {
		if s.New == nil {
			continue
		}
		m, err := src.Manifest(ctx, s.New)
		if err != nil {
			return err
		}
		if err := i.fetch(ctx, src, s.New, m); err != nil {
			return err
		}
	}
	return nil
}

// fetch fetches the files of a packet and compares them.
func (i *installer) fetch(ctx context.Context, src txn.Source, p *james.Packet, m *james.Manifest) error {
	here := storage{}
	o := &txn.Order{Wants: []txn.Want{{Packet: p, Manifest: m}}, Use: func(n int64) { here.stored += n }}
	for k := range m.Entries {
		if m.Entries[k].Size > 0 {
			o.Wants[0].Entries = append(o.Wants[0].Entries, k)
		}
	}
	here.missing = src.Missing(o)
	err := src.Fetch(ctx, o)
	i.storage = append(i.storage, here)
	if err != nil {
		return err
	}
	i.src = src
	for _, k := range o.Wants[0].Entries {
		i.fetched = append(i.fetched, m.Entries[k].Digest)
		path, err := src.Content(m.Entries[k].Digest)
		if err != nil {
			return err
		}
		raw, err := src.Dir().ReadFile(path, m.Entries[k].Size)
		if err != nil {
			return err
		}
		if james.DigestOf(raw) != m.Entries[k].Digest {
			return james.Errorf(james.KindCorrupt, p.Name, "has another content")
		}
	}
	return nil
}

// device is an agent with its server, its installer and its state directory.
type device struct {
	t         testing.TB
	server    *server
	installer *installer
	dir       string
	hook      disk.Hook
	options   func(*agent.Options)
	logs      *logtest.Hook
}

func newDevice(t testing.TB, s *server) *device {
	return &device{t: t, server: s, installer: newInstaller(), dir: t.TempDir(), logs: new(logtest.Hook)}
}

// wanting returns a device of which its server wants a packet of that name, with an
// archive of size bytes.
func wanting(t *testing.T, name string, size int) *device {
	t.Helper()
	p := newPacket(t, name, "v1", size)
	s := newServer(p)
	s.want(p)
	return newDevice(t, s)
}

// boot returns the agent as after a start of the process. Its delays are as long
// as they can be.
func (d *device) boot() *agent.Agent {
	d.t.Helper()
	state, err := disk.Open(d.dir, disk.Options{Hook: d.hook})
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { state.Close() })
	log := logging.Discard()
	log.SetLevel(logrus.DebugLevel)
	log.AddHook(d.logs)
	o := agent.Options{
		Server: d.server, Installer: d.installer, State: state, Log: log, Version: "test",
		Tags: func() james.TagSet { return james.MustTags("armv7l") },
		Hold: james.MaxWait, Rand: func() float64 { return 0.9999999 },
	}
	if d.options != nil {
		d.options(&o)
	}
	a, err := agent.New(o)
	if err != nil {
		d.t.Fatal(err)
	}
	d.installer.before, d.installer.onProbation, d.installer.confirm = a.BeforeApply, a.OnProbation, a.Confirm
	return a
}

// run runs an agent until stop is called, which returns when it has ended.
func (d *device) run() (stop func() agent.Fate) {
	ctx, cancel := context.WithCancel(context.Background())
	fate := make(chan agent.Fate, 1)
	a := d.boot()
	go func() { fate <- a.Run(ctx) }()
	return func() agent.Fate { cancel(); return <-fate }
}

// runOnce starts an agent and stops it when it waits for something.
func (d *device) runOnce() {
	stop := d.run()
	synctest.Wait()
	stop()
}

// pass lets time pass, and what is due at its end be done. The locks order what
// the test has read and written before what the agent does next.
func (d *device) pass(t time.Duration) {
	touch(&d.server.mu)
	touch(&d.installer.mu)
	time.Sleep(t)
	synctest.Wait()
}

func touch(mu *sync.Mutex) {
	mu.Lock()
	defer mu.Unlock()
}

// messages returns the texts logged at a level.
func (d *device) messages(level logrus.Level) []string {
	var out []string
	for _, e := range d.logs.AllEntries() {
		if e.Level == level {
			out = append(out, e.Message)
		}
	}
	return out
}
