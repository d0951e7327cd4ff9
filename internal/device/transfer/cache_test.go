package transfer_test

import (
	"fmt"
	"os"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trusch/jamesd/internal/archive"
	"github.com/trusch/jamesd/internal/device/transfer"
	"github.com/trusch/jamesd/internal/device/txn"
	"github.com/trusch/jamesd/pkg/james"
)

// plan is one that installs the packets.
func plan(packets ...*packet) *james.Plan {
	var steps []james.Step
	for _, p := range packets {
		steps = append(steps, james.Step{New: &p.Packet})
	}
	plan := james.NewPlan(1, steps, nil)
	return &plan
}

func smallPacket(t testing.TB, name string, seed uint64, size int) *packet {
	return newPacket(t, name, archive.FormatTar, map[string][]byte{"opt/" + name: noise(seed, size), "opt/" + name + ".2": noise(seed+100, size)})
}

// TestEviction: what other plans have left stays within the limit, and what the
// current one needs stays anyway.
func TestEviction(t *testing.T) {
	t.Parallel()
	const size = 100 << 10
	for _, row := range []struct {
		limit int64
		want  []string
	}{
		{0, []string{"c", "c.2"}},
		{1 << 30, []string{"a", "a.2", "b", "b.2", "c", "c.2"}},
		{3*size + 50, []string{"a.2", "b", "b.2", "c", "c.2"}},
		{2*size + 50, []string{"b", "b.2", "c", "c.2"}},
	} {
		t.Run(fmt.Sprint(row.limit), func(t *testing.T) {
			t.Parallel()
			a, b, c := smallPacket(t, "a", 1, size), smallPacket(t, "b", 2, size), smallPacket(t, "c", 3, size)
			s, d := newServer(a, b, c), newDevice(t)
			d.limit = row.limit
			var ticks atomic.Int64
			d.with = func(o *transfer.Options) { o.Now = func() time.Time { return time.UnixMilli(ticks.Add(1)) } }
			f := d.start(s)
			for _, p := range []*packet{a, b, c} {
				f.Begin(plan(p))
				must(t, f.Fetch(t.Context(), order(p.want())))
			}
			var want []string
			for _, p := range []*packet{a, b, c} {
				for k, e := range p.manifest.Entries {
					if e.Type == james.TypeFile && slices.Contains(row.want, e.Path.String()[len("opt/"):]) {
						want = append(want, p.manifest.Entries[k].Digest.String())
					}
				}
			}
			slices.Sort(want)
			if got := d.names(); !slices.Equal(got, want) {
				t.Errorf("%d contents are left, not %d", len(got), len(want))
			}
			served := s.served
			f.Begin(plan(c))
			must(t, f.Fetch(t.Context(), order(c.want())))
			if s.served != served {
				t.Errorf("%d bytes were fetched again", s.served-served)
			}
		})
	}
}

// TestRolledBack: a plan that was undone and is tried again fetches nothing, also
// where another one was tried in between, or jamesc was started again.
func TestRolledBack(t *testing.T) {
	t.Parallel()
	a, b := smallPacket(t, "a", 1, 50_000), smallPacket(t, "b", 2, 50_000)
	s, d := newServer(a, b), newDevice(t)
	d.limit = 1 << 20
	f := d.start(s)
	try := func(p *packet) {
		t.Helper()
		f.Begin(plan(p))
		_, err := f.Manifest(t.Context(), &p.Packet)
		must(t, err)
		o := order(p.want())
		must(t, f.Fetch(t.Context(), o))
		d.check(f, []*packet{p}, o)
	}
	try(a)
	try(b)
	served, manifests := s.served, s.manifests
	try(b)
	try(a)
	f = d.start(s)
	try(a)
	if s.served != served || s.manifests != manifests+1 {
		t.Errorf("%d bytes and %d manifests were fetched again", s.served-served, s.manifests-manifests)
	}
}

// TestForget: what is installed for good is no content of the cache.
func TestForget(t *testing.T) {
	t.Parallel()
	a, b := smallPacket(t, "a", 1, 50_000), smallPacket(t, "b", 2, 50_000)
	s, d := newServer(a, b), newDevice(t)
	d.limit = 1 << 20
	f := d.start(s)
	for _, p := range []*packet{a, b} {
		f.Begin(plan(p))
		must(t, f.Fetch(t.Context(), order(p.want())))
	}
	var gone []james.Digest
	for digest := range b.content {
		gone = append(gone, digest)
	}
	f.Forget(gone)
	f.Begin(nil)
	if len(d.names()) != 2 {
		t.Errorf("%d contents are left", len(d.names()))
	}
	if _, err := f.Content(gone[0]); james.KindOf(err) != james.KindNotFound {
		t.Errorf("got %v", err)
	}
	if left, err := os.ReadDir(d.dir + "/manifests"); err != nil || len(left) > 0 {
		t.Errorf("%d manifests are left, %v", len(left), err)
	}
}

// TestSettled: a content that a crash has left both installed and in the cache is
// given up when no transaction is under way, by the next process too.
func TestSettled(t *testing.T) {
	t.Parallel()
	for _, again := range []bool{false, true} {
		a := smallPacket(t, "a", 1, 50_000)
		s, d := newServer(a), newDevice(t)
		d.limit = 1 << 20
		f := d.start(s)
		must(t, f.Fetch(t.Context(), order(a.want())))
		installed := d.names()[0]
		must(t, os.Link(d.dir+"/blobs/"+installed, d.dir+"/installed"))
		if again {
			f = d.start(s)
		}
		f.Settled()
		if got := d.names(); len(got) != 1 || got[0] == installed {
			t.Errorf("again %t: %q are left of %s and another", again, got, installed)
		}
		o := order(a.want())
		must(t, f.Fetch(t.Context(), o))
		d.check(f, []*packet{a}, o)
	}
}

// TestShortDisk: where the disk has not the room for what is wanted, what other
// plans have left goes.
func TestShortDisk(t *testing.T) {
	t.Parallel()
	a, b := smallPacket(t, "a", 1, 50_000), smallPacket(t, "b", 2, 50_000)
	s, d := newServer(a, b), newDevice(t)
	d.limit = 1 << 30
	f := d.start(s)
	f.Begin(plan(a))
	must(t, f.Fetch(t.Context(), order(a.want())))
	f.Begin(plan(b))
	must(t, f.Fetch(t.Context(), order(b.want())))
	huge := &james.Manifest{Entries: []james.Entry{{Path: "huge", Type: james.TypeFile, Size: 1 << 55, Digest: james.DigestOf(nil)}}}
	want := txn.Want{Packet: &b.Packet, Manifest: huge, Entries: []int{0}}
	if n := f.Missing(order(b.want(), want)); n != 1<<55 {
		t.Errorf("%d bytes are missing", n)
	}
	if len(d.names()) != 2 {
		t.Errorf("%d contents are left", len(d.names()))
	}
	if n := f.Missing(order(b.want())); n != 0 {
		t.Errorf("%d bytes of the current plan are missing", n)
	}
}

// TestEarlierVersion: archives that an earlier version has stored are in the way of
// nobody.
func TestEarlierVersion(t *testing.T) {
	t.Parallel()
	d := newDevice(t)
	must(t, os.MkdirAll(d.dir+"/downloads", 0o700))
	must(t, os.WriteFile(d.dir+"/downloads/x.part", []byte("x"), 0o600))
	d.start(newServer())
	if _, err := os.Stat(d.dir + "/downloads"); !os.IsNotExist(err) {
		t.Errorf("got %v", err)
	}
}
