package supply_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/trusch/jamesd/pkg/james"
)

// upgrade is two packets of which the second is the first one edited.
func (w *world) upgrade() (old, new james.Packet) {
	w.t.Helper()
	big, small := noisy(1, 300_000), noisy(2, 2000)
	old = w.add("app", "v1", contents{"lib/5.1/big": big, "small": small, "same": noisy(3, 100), "text": noisy(4, 5000)})
	new = w.add("app", "v2", contents{"lib/5.2/big": edited(big, 1000), "small": edited(small, 500), "same": noisy(3, 100), "text": noisy(5, 5000)})
	return old, new
}

// TestPatches: what a plan needs is patched, and what is made of it is right; what
// would save too little is sent whole and not tried again.
func TestPatches(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 64<<20)
	old, new := w.upgrade()
	m := w.manifest(new) // lib/5.2/big, same, small, text
	all := []int{0, 2, 3}

	before := w.get(ask(new, all, old))
	if before.patched() != 0 {
		t.Errorf("patches were there: %v", before.pieces)
	}
	w.has("d", old)
	w.want("d", new)
	w.run()
	if s := w.Stats(); s.Patches != 2 || s.Useless != 1 || s.Failed != 0 || s.Queued != 0 || s.PatchBytes == 0 {
		t.Fatalf("%+v", s)
	}
	after := w.get(ask(new, all, old))
	if after.patched() != 2 || after.size*10 > before.size {
		t.Errorf("%d bytes as %v, %d without patches", after.size, after.pieces, before.size)
	}
	for _, i := range all {
		if want := w.content(&m.Entries[i]); !bytes.Equal(after.content[[2]int{0, i}], want) {
			t.Errorf("%s came out wrong", m.Entries[i].Path)
		}
	}
	if offer, err := w.Offer(t.Context(), ask(new, all, old)); err != nil || offer != (james.BlobsOffer{Size: int64(after.size), Exact: true, Patched: 2, Whole: 1}) {
		t.Errorf("the offer is %+v, %v", offer, err)
	}

	t.Run("from the middle", func(t *testing.T) {
		req := ask(new, all, old)
		req.Packets[0].Offset = 200_001
		got := w.get(req)
		if got.patched() != 2 || !bytes.Equal(got.content[[2]int{0, 0}], w.content(&m.Entries[0])[200_001:]) {
			t.Errorf("%v with %d bytes", got.pieces, len(got.content[[2]int{0, 0}]))
		}
	})
	t.Run("not as patches", func(t *testing.T) {
		req := ask(new, all, old)
		req.Packets[0].Whole = james.IndicesOf(0, 2)
		if got := w.get(req); got.patched() != 0 || got.etag != before.etag {
			t.Errorf("%v", got.pieces)
		}
	})
	t.Run("other bases", func(t *testing.T) {
		other := w.add("other", "v1", contents{"big": noisy(1, 300_000)})
		for _, have := range []james.Packet{other, {Digest: james.DigestOf(nil)}, {}, new} {
			if got := w.get(ask(new, all, have)); got.patched() != 0 {
				t.Errorf("patched from %s: %v", have.Name, got.pieces)
			}
		}
		if got := w.get(ask(new, all, other, james.Packet{}, old)); got.patched() != 2 {
			t.Errorf("a base after others: %v", got.pieces)
		}
	})
	t.Run("after a restart", func(t *testing.T) {
		w.restart()
		if got := w.get(ask(new, all, old)); got.etag != after.etag {
			t.Errorf("%s, %v", got.etag, got.pieces)
		}
		w.run()
		if s := w.Stats(); s.Patches+s.Useless+s.Failed != 0 {
			t.Errorf("made again: %+v", s)
		}
	})
}

// TestSuccession: patches to what is likely to be wanted are made when a packet is
// added, before anybody wants it.
func TestSuccession(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 64<<20)
	large := noisy(1, 5<<20)
	old := w.add("app", "v1", contents{"f": large})
	new := w.add("app", "v2", contents{"f": edited(large, 100_000)})
	w.has("d", old)
	w.run()
	got := w.get(ask(new, []int{0}, old))
	if got.patched() != 1 || !bytes.Equal(got.content[[2]int{0, 0}], edited(large, 100_000)) {
		t.Errorf("%v, %+v", got.pieces, w.Stats())
	}
}

// TestAsked: what a device has to take whole is patched for the next one, even if no
// plan shows it.
func TestAsked(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 64<<20)
	old, new := w.upgrade()
	if got := w.get(ask(new, []int{0, 2}, old)); got.patched() != 0 {
		t.Errorf("%v", got.pieces)
	}
	if n := w.Stats().Queued; n != 1 {
		t.Errorf("%d pairs are queued", n)
	}
	w.run()
	if got := w.get(ask(new, []int{0, 2}, old)); got.patched() != 2 {
		t.Errorf("%v, %+v", got.pieces, w.Stats())
	}
}

// TestEvicted: a patch that goes while its stream is made is no loss but of bytes.
func TestEvicted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 64<<20)
	old, new := w.upgrade()
	first := noisy(9, 1<<20)
	two := w.add("two", "v1", contents{"first": first})
	w.has("d", old)
	w.want("d", new)
	w.run()
	req := ask(new, []int{0, 2}, old)
	req.Packets = append([]james.Wants{{Packet: two.Digest, Entries: james.IndicesOf(0)}}, req.Packets...)
	hold := func(_ context.Context, d james.Digest) {
		if d == james.DigestOf(first) { // the patches were chosen and are still to be read
			must(t, os.RemoveAll(w.dir))
			must(t, os.Mkdir(w.dir, 0o700))
		}
	}
	w.blobs.hold.Store(&hold)
	got := w.get(req)
	if got.patched() != 0 || !bytes.Equal(got.content[[2]int{1, 0}], edited(noisy(1, 300_000), 1000)) {
		t.Errorf("%v", got.pieces)
	}
}

// TestUnreadable: a packet whose contents are damaged is no reason to do anything for
// ever, nor to keep others waiting.
func TestUnreadable(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 64<<20)
	old, new := w.upgrade()
	lost := w.manifest(old)
	must(t, w.blobs.Delete(t.Context(), lost.Entries[0].Digest))
	w.has("d", old)
	w.want("d", new)
	w.run()
	if s := w.Stats(); s.Patches != 1 || s.Failed != 1 || s.Useless != 1 {
		t.Errorf("%+v", s)
	}
}

// TestPanics: what goes wrong with one patch is no matter for another.
func TestPanics(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 64<<20)
	old := w.add("p", "v1", contents{"a": noisy(1, 100_000), "b": noisy(2, 50_000)})
	new := w.add("p", "v2", contents{"a": edited(noisy(1, 100_000), 10_000), "b": edited(noisy(2, 50_000), 10_000)})
	first := w.manifest(new).Entries[0].Digest
	hold := func(_ context.Context, d james.Digest) {
		if d == first {
			panic("as a defect would")
		}
	}
	w.blobs.hold.Store(&hold)
	w.has("d", old)
	w.want("d", new)
	w.run()
	if s := w.Stats(); s.Failed != 1 || s.Patches != 1 || s.Queued != 0 {
		t.Errorf("%+v", s)
	}
}

// TestQueueBound: however many pairs there are, no more than the limit wait.
func TestQueueBound(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 64<<20)
	last := w.add("app", "new", contents{"f": []byte("new")})
	for i := range 30 {
		p := w.add("app", fmt.Sprintf("v%d", i), contents{"f": noisy(i, 100)})
		w.has(fmt.Sprint("d", i), p)
		w.want(fmt.Sprint("d", i), last)
	}
	w.SetMaxQueue(7)
	w.Look()
	if n := w.Stats().Queued; n != 7 {
		t.Errorf("%d pairs wait, 7 is the limit", n)
	}
	w.run()
	if s := w.Stats(); s.Useless+s.Patches < 30 {
		t.Errorf("not all were made: %+v", s)
	}
}

// TestEnds: work that is under way ends when it is told to.
func TestEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 64<<20)
	old, new := w.upgrade()
	w.has("d", old)
	w.want("d", new)
	ctx, cancel := context.WithCancel(t.Context())
	reached := make(chan struct{}, 100)
	hold := func(context.Context, james.Digest) { reached <- struct{}{} }
	w.blobs.hold.Store(&hold)
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.Run(ctx)
	}()
	<-reached
	cancel()
	<-done
}
