package txn_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/trusch/jamesd/internal/device/disk"
	"github.com/trusch/jamesd/internal/device/disk/disktest"
	"github.com/trusch/jamesd/internal/device/disk/mounttest"
	"github.com/trusch/jamesd/internal/device/script"
	"github.com/trusch/jamesd/internal/need"
	"github.com/trusch/jamesd/pkg/james"
)

// ordeal is a plan that is to end as before or as after, whatever happens.
type ordeal struct {
	scenario
	spec          spec
	dir           string // where devices are made
	before, after *disktest.Image
	was, will     map[string]string // before and after, as describe tells it
	calls         []string          // of scripts, when nothing goes wrong
	begun         []int             // of those, how many were made before each operation
	mirrors       map[string]string // the call that undoes each, "" where there is none
	history       *disktest.History // of the first device
	beds          []*bed
	// commit is the first operation after which a kill ends as after, final the one
	// that makes this durable, and done the last after which an error can undo.
	commit, final, done int
	seed                uint64
	tally               *tally
}

// spec is what a process needs to know to carry the plan out.
type spec struct {
	Each      bool
	Apart     string // where sources are, if on another file system; "" is beside the root
	StateDir  string // in the device's directory
	Plan      james.Plan
	Manifests map[string][]byte
	Archives  map[string][]byte
}

// processStart is before everything that a test does: a later time is one that
// nobody has set.
var processStart = time.Now()

// newOrdeal sets a scenario up and carries it out undisturbed.
func newOrdeal(t *testing.T, s scenario, seed uint64) *ordeal {
	t.Helper()
	o := &ordeal{scenario: s, dir: scratch(t), seed: seed, tally: &tally{Name: s.name}}
	o.spec = spec{Each: s.each, StateDir: s.stateDir()}
	if s.apart {
		o.spec.Apart = apartFrom(t, o.dir)
	}
	w := o.device("first", newPackets())
	w.t = t
	defer w.close()
	w.mustStart()
	steps := s.setUp(w)
	o.spec.Plan = newPlan(steps)
	o.spec.pack(w.packets)
	w.close()
	w.age()
	os.Remove(w.logFile())
	var err error
	if o.before, err = o.read(w); err != nil {
		t.Fatal(err)
	}
	o.was = o.describe(o.before, disktest.AllTimes)
	if o.history, err = o.undisturbed(w, o.countCalls); err != nil {
		t.Fatal(err)
	}
	w.mustStart()
	w.checkClean()
	w.close()
	if o.after, err = o.read(w); err != nil {
		t.Fatal(err)
	}
	o.will = o.describe(o.after, disktest.FileTimes)
	if calls := w.log(); calls[0] != "" {
		o.calls = calls
	}
	o.mirrors = map[string]string{}
	for _, call := range o.calls {
		o.mirrors[call] = mirrorOf(call, w.packets)
	}
	if disktest.Diff(o.describe(o.before, disktest.FileTimes), o.will) == "" {
		t.Fatal("the plan changes nothing")
	}
	return o
}

// undisturbed carries the plan out on a device that is as before. Each of also
// makes the hook another one.
func (o *ordeal) undisturbed(w *world, also ...func(*world, disk.Hook) disk.Hook) (*disktest.History, error) {
	recorder, err := disktest.Record(o.dirs(w)...)
	if err != nil {
		return nil, err
	}
	hook := disk.Hook(recorder.Hook)
	for _, wrap := range also {
		hook = wrap(w, hook)
	}
	r, err := o.run(w, hook)
	if err != nil || r.Result != james.Committed {
		return nil, fmt.Errorf("undisturbed: %+v, %w", r, err)
	}
	return recorder.History()
}

// bed is a device that trials are made on, one after the other. It has a history
// of its own, as the journal tells the inode of its root.
type bed struct {
	*world
	history *disktest.History
}

// bed returns the k-th bed.
func (o *ordeal) bed(k int) *bed {
	for len(o.beds) <= k {
		b := &bed{world: o.device(fmt.Sprint("bed", len(o.beds)), o.spec.packets())}
		err := o.put(b.world, o.before)
		if err == nil {
			b.history, err = o.undisturbed(b.world)
		}
		if err != nil || len(b.history.Ops) != len(o.history.Ops) {
			panic(fmt.Sprintf("%s: the same plan on another device: %v", o.name, err))
		}
		o.beds = append(o.beds, b)
	}
	return o.beds[k]
}

// stateDir is where the scenario has the agent's own directory, seen from the
// device's.
func (s *scenario) stateDir() string {
	if s.state != "" {
		return s.state
	}
	return "state"
}

// device returns a device that does not exist yet in a directory of its own.
func (o *ordeal) device(name string, p *packets) *world {
	base := filepath.Join(o.dir, name)
	w := newDevice(base, &o.spec, p)
	for _, dir := range []string{w.root, w.state, w.source} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			panic(err)
		}
	}
	return w
}

func newDevice(base string, s *spec, p *packets) *world {
	w := &world{root: filepath.Join(base, "root"), state: filepath.Join(base, s.StateDir), packets: p, each: s.Each}
	w.source = filepath.Join(base, "source")
	if s.Apart != "" {
		w.source = filepath.Join(s.Apart, filepath.Base(base))
	}
	w.runner = script.Runner{Timeout: time.Minute, Grace: 100 * time.Millisecond}
	w.opts.Now = func() time.Time { return then } // so that each run's journal is the same
	return w
}

// dirs are the trees that are followed.
func (o *ordeal) dirs(w *world) []string {
	if strings.HasPrefix(w.state, w.root+"/") {
		return []string{w.root, w.source}
	}
	return []string{w.root, w.state, w.source}
}

func (o *ordeal) read(w *world) (*disktest.Image, error) { return disktest.Read(o.dirs(w)...) }

// put makes the device hold an image, with no trace of scripts.
func (o *ordeal) put(w *world, image *disktest.Image) error {
	os.Remove(w.logFile())
	os.Remove(w.troubleFile())
	return image.Write(o.dirs(w)...)
}

// logFile is where the scripts of the packets note their calls, troubleFile what
// they do besides.
func (w *world) logFile() string     { return filepath.Join(filepath.Dir(w.root), "log") }
func (w *world) troubleFile() string { return filepath.Join(filepath.Dir(w.root), "trouble") }

func (o *ordeal) apply(w *world) (*james.Report, error) {
	return w.in.Apply(context.Background(), &o.spec.Plan, w.packets)
}

// describe tells everything about a device that counts: of the agent's own files
// all but the times.
func (o *ordeal) describe(image *disktest.Image, times disktest.Times) map[string]string {
	own, inside := strings.CutPrefix(o.spec.StateDir, "root/")
	all := image.Describe(0, times)
	if !inside {
		for path, line := range image.Describe(1, disktest.NoTimes) {
			all["(state)/"+path] = line
		}
		return all
	}
	for path, line := range image.Describe(0, disktest.NoTimes) {
		if path == own || strings.HasPrefix(path, own+"/") {
			all[path] = line
		}
	}
	return all
}

// judge says whether the device is as before or as after. Any other is an error.
func (o *ordeal) judge(w *world) (james.Result, error) {
	image, err := o.read(w)
	if err != nil {
		return "", err
	}
	back := disktest.Diff(o.was, o.describe(image, disktest.AllTimes))
	if back == "" {
		return james.RolledBack, nil
	}
	// A plan is free to change the times of directories.
	forward := disktest.Diff(o.will, o.describe(image, disktest.FileTimes))
	if forward == "" {
		return james.Committed, nil
	}
	as, d := "before", back
	if len(forward) < len(back) {
		as, d = "after", forward
	}
	return "", fmt.Errorf("it is neither as before nor as after; it should be as %s, but:\n%s", as, d)
}

// revive starts the device again, in this process, and says how it has ended.
func (o *ordeal) revive(w *world) (james.Result, error) {
	w.hook = nil
	r, err := w.start()
	w.close()
	if err != nil {
		return "", fmt.Errorf("start: %w", err)
	}
	return o.settled(w, r)
}

// settled says how a device has ended whose recovery gave the report r.
func (o *ordeal) settled(w *world, r *james.Report) (james.Result, error) {
	if r != nil && (!r.Recovered || r.Plan != o.spec.Plan.ID || r.Result == james.Broken) {
		return "", fmt.Errorf("the report of the recovery is %+v", r)
	}
	got, err := o.judge(w)
	if err != nil {
		return "", err
	}
	if err := agrees(r, got); err != nil {
		return got, err
	}
	r2, err := w.start()
	w.close()
	if err != nil || r2 != nil {
		return got, fmt.Errorf("a second start has something to do: %+v, %v", r2, err)
	}
	return got, nil
}

// agrees fails where a report says otherwise than the device.
func agrees(r *james.Report, got james.Result) error {
	if r != nil && (r.Result == james.Committed) != (got == james.Committed) {
		return fmt.Errorf("the device is %s, the report says %s: %s", got, r.Result, r.Error)
	}
	return nil
}

// pack keeps the packets.
func (s *spec) pack(p *packets) {
	s.Manifests, s.Archives = map[string][]byte{}, map[string][]byte{}
	for digest, m := range p.manifests {
		raw, _, err := m.Encode()
		s.Manifests[digest.String()] = must(raw, err)
		s.Archives[digest.String()] = p.archives[digest]
	}
}

func (s *spec) packets() *packets {
	p := newPackets()
	for name, raw := range s.Manifests {
		digest := must(james.ParseDigest(name))
		p.manifests[digest] = must(james.DecodeManifest(bytes.NewReader(raw), digest))
		p.archives[digest] = s.Archives[name]
	}
	return p
}

func (s *spec) write(path string) error {
	return os.WriteFile(path, must(json.Marshal(s)), 0o644)
}

func readSpec(path string) (*spec, error) {
	s := &spec{}
	raw, err := os.ReadFile(path)
	return s, errors.Join(err, json.Unmarshal(raw, s))
}

// apartFrom returns a directory on another file system than dir: one that the superuser
// mounts, and for anybody else that of temporary files.
func apartFrom(t *testing.T, dir string) string {
	t.Helper()
	apart := filepath.Join(t.TempDir(), "apart")
	if os.Geteuid() == 0 {
		mounttest.Tmpfs(t, apart, "size=64m")
		return apart
	}
	var here, there unix.Stat_t
	if err := errors.Join(os.Mkdir(apart, 0o755), unix.Stat(dir, &here), unix.Stat(apart, &there)); err != nil {
		t.Fatal(err)
	}
	if here.Dev == there.Dev {
		need.Lack(t, need.Mounts, "%s and %s are on one file system", dir, apart)
	}
	return apart
}

// scratch is where devices are made whose survival is tried many times over: in
// memory where there is a file system for that.
func scratch(t testing.TB) string {
	dir, err := os.MkdirTemp("/dev/shm", "jamesc-test")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}
