package fleet_test

import (
	"archive/tar"
	"bytes"
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trusch/jamesd/internal/logging"
	"github.com/trusch/jamesd/internal/server/blob"
	"github.com/trusch/jamesd/internal/server/blob/memblob"
	"github.com/trusch/jamesd/internal/server/fleet"
	"github.com/trusch/jamesd/internal/server/store"
	"github.com/trusch/jamesd/internal/server/store/memstore"
	"github.com/trusch/jamesd/pkg/james"
)

// world is a Fleet, its stores, and short words for what tests do with them.
type world struct {
	*fleet.Fleet
	t     testing.TB
	store *fragile
	blobs blob.Store
}

func newWorld(t testing.TB, change ...func(*fleet.Options)) *world {
	return join(t, &fragile{Store: memstore.New()}, memblob.New(), change...)
}

// join starts one more Fleet on the stores.
func join(t testing.TB, s *fragile, b blob.Store, change ...func(*fleet.Options)) *world {
	t.Helper()
	log := logging.Discard()
	// Of the polls that tests hold none ends for its turn, unless they want that.
	o := fleet.Options{Store: s, Blobs: b, Log: log, PollInterval: time.Hour}
	for _, c := range change {
		c(&o)
	}
	f, err := fleet.New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return &world{Fleet: f, t: t, store: s, blobs: b}
}

// run runs the Fleet until the returned function is called, which waits for it.
func (w *world) run() (stop func()) {
	ctx, cancel := context.WithCancel(w.t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	return func() {
		w.t.Helper()
		cancel()
		if err := <-done; err != nil {
			w.t.Errorf("Run: %v", err)
		}
	}
}

// fragile is a store that does not answer while it is away.
type fragile struct {
	store.Store
	away atomic.Bool
	deaf atomic.Bool // to what others change
}

func (s *fragile) fail() error {
	if s.away.Load() {
		return james.Errorf(james.KindUnavailable, "store", "is away")
	}
	return nil
}

type fragileTable[T any] struct {
	store.Table[T]
	s *fragile
}

func (t fragileTable[T]) Get(ctx context.Context, key string) (row T, err error) {
	if err := t.s.fail(); err != nil {
		return row, err
	}
	return t.Table.Get(ctx, key)
}

func (t fragileTable[T]) Update(ctx context.Context, key string, change func(*T) (*T, error)) (*T, uint64, error) {
	if err := t.s.fail(); err != nil {
		return nil, 0, err
	}
	return t.Table.Update(ctx, key, change)
}

func (s *fragile) Packets() store.Table[james.Packet] {
	return fragileTable[james.Packet]{s.Store.Packets(), s}
}

func (s *fragile) Devices() store.Table[james.Device] {
	return fragileTable[james.Device]{s.Store.Devices(), s}
}

func (s *fragile) Desired() store.Table[james.Desired] {
	return fragileTable[james.Desired]{s.Store.Desired(), s}
}

func (s *fragile) Changes(ctx context.Context, since store.Cursor) ([]store.Change, store.Cursor, error) {
	if err := s.fail(); err != nil {
		return nil, since, err
	}
	if s.deaf.Load() {
		return nil, since, james.Errorf(james.KindUnavailable, "store", "is deaf")
	}
	return s.Store.Changes(ctx, since)
}

func (s *fragile) Touch(ctx context.Context, seen map[string]time.Time) error {
	if err := s.fail(); err != nil {
		return err
	}
	return s.Store.Touch(ctx, seen)
}

func (s *fragile) Ping(ctx context.Context) error {
	if err := s.fail(); err != nil {
		return err
	}
	return s.Store.Ping(ctx)
}

// tarOf returns a tar of files that hold their own names and the given content.
func tarOf(t testing.TB, content string, names ...string) []byte {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, name := range names {
		body := name + content
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(body)), ModTime: time.Unix(1e9, 0)}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(body)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func app(s string) james.App {
	name, tags, _ := strings.Cut(s, " ")
	return james.App{Name: name, Tags: james.MustTags(tags)}
}

func apps(list ...string) []james.App {
	var out []james.App
	for _, s := range list {
		out = append(out, app(s))
	}
	return out
}

// add adds "name tags" with content of its own.
func (w *world) add(packet string) james.Packet {
	w.t.Helper()
	resp, err := w.upload(packet, "", false)
	if err != nil {
		w.t.Fatal(err)
	}
	return resp.Packet
}

func (w *world) upload(packet, content string, replace bool) (james.AddPacketResponse, error) {
	a := app(packet)
	req := james.AddPacketRequest{Name: a.Name, Tags: a.Tags, Replace: replace}
	return w.AddPacket(w.t.Context(), "alice", req, bytes.NewReader(tarOf(w.t, content, "usr/bin/"+a.Name)))
}

// want sets the desired state of a device that has polled.
func (w *world) want(id string, list ...string) james.Desired {
	w.t.Helper()
	resp, err := w.SetDesired(w.t.Context(), "alice", james.SetDesiredRequest{State: james.State{ID: id, Apps: apps(list...)}})
	if err != nil {
		w.t.Fatal(err)
	}
	return resp.Desired
}

// report returns what a device reports; installed are packets.
func report(system string, installed ...james.Packet) *james.DeviceReport {
	r := &james.DeviceReport{SystemTags: james.MustTags(system), Agent: "test"}
	for _, p := range installed {
		r.Apps = append(r.Apps, p.App())
	}
	return r
}

// poll polls without waiting.
func (w *world) poll(id string, r *james.DeviceReport) james.PollResponse {
	w.t.Helper()
	resp, err := w.Poll(w.t.Context(), id, james.PollRequest{Report: r})
	if err != nil {
		w.t.Fatal(err)
	}
	return resp
}

// hold polls and waits, and sends the answer to the channel.
func (w *world) hold(id string, req james.PollRequest) <-chan james.PollResponse {
	answer := make(chan james.PollResponse, 1)
	go func() {
		resp, err := w.Poll(w.t.Context(), id, req)
		if err != nil {
			w.t.Errorf("poll of %s: %v", id, err)
		}
		answer <- resp
	}()
	return answer
}

// steps returns "action name" of the answer's plan.
func steps(resp james.PollResponse) []string {
	var out []string
	if resp.Plan != nil {
		for _, s := range resp.Plan.Steps {
			out = append(out, string(s.Action())+" "+s.Name())
		}
	}
	return out
}

func (w *world) device(id string) james.DeviceStatus {
	w.t.Helper()
	s, err := w.Device(w.t.Context(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// events returns "kind device packet actor" of each event, with "-" for what is
// empty.
func (w *world) events() []string {
	w.t.Helper()
	list, err := w.Events(w.t.Context(), 0, 0, 0)
	if err != nil {
		w.t.Fatal(err)
	}
	var out []string
	for _, e := range list {
		parts := []string{string(e.Kind), e.Device, e.Packet, e.Actor}
		for i := range parts {
			if parts[i] == "" {
				parts[i] = "-"
			}
		}
		if e.Text == "" || e.Time.IsZero() {
			w.t.Errorf("event %+v lacks its text or time", e)
		}
		out = append(out, strings.Join(parts, " "))
	}
	return out
}

// digests returns the blobs that there are, sorted.
func digests(t testing.TB, b blob.Store) []string {
	t.Helper()
	var out []string
	for info, err := range b.List(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, info.Digest.String())
	}
	slices.Sort(out)
	return out
}

// wantError checks the kind of an error and that its text and hint contain parts.
func wantError(t testing.TB, err error, kind james.Kind, parts ...string) {
	t.Helper()
	if james.KindOf(err) != kind {
		t.Fatalf("error %v of kind %q, want %q", err, james.KindOf(err), kind)
	}
	for _, part := range parts {
		if text := err.Error() + " | " + james.HintOf(err); !strings.Contains(text, part) {
			t.Errorf("error %q does not contain %q", text, part)
		}
	}
}
