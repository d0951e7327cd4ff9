package supply_test

import (
	"bytes"
	"context"
	"io"
	"slices"
	"sync"
	"testing"

	"github.com/trusch/jamesd/internal/server/blob"
	"github.com/trusch/jamesd/internal/server/blob/dirblob"
	"github.com/trusch/jamesd/pkg/james"
)

// TestStream: a stream holds what was asked for, from the offset on.
func TestStream(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 64<<20)
	a := w.add("a", "v1", contents{"a0": noisy(1, 1000), "a1": noisy(2, 100_000), "a2": {}, "a3": noisy(3, 10)})
	b := w.add("b", "v1", contents{"b0": noisy(4, 500), "b1": noisy(1, 1000)})
	req := &james.BlobsRequest{Packets: []james.Wants{
		{Packet: a.Digest, Entries: james.IndicesOf(1, 2, 3), Offset: 40_000},
		{Packet: b.Digest, Entries: james.IndicesOf(0, 1), Offset: 500},
	}}
	got := w.get(req)
	if want := []string{"0/1+40000", "0/2+0", "0/3+0", "1/0+500", "1/1+0"}; !slices.Equal(got.pieces, want) {
		t.Errorf("got %v, want %v", got.pieces, want)
	}
	for at, want := range map[[2]int][]byte{{0, 1}: noisy(2, 100_000)[40_000:], {0, 2}: nil, {0, 3}: noisy(3, 10), {1, 0}: nil, {1, 1}: noisy(1, 1000)} {
		if !bytes.Equal(got.content[at], want) {
			t.Errorf("%v has %d bytes, want %d", at, len(got.content[at]), len(want))
		}
	}
}

// TestFast: over a fast link contents go out as they are kept, but for what is there
// in another form.
func TestFast(t *testing.T) {
	t.Parallel()
	blobs, err := dirblob.Open(t.Context(), t.TempDir())
	must(t, err)
	defer blobs.Close()
	w := newWorldOn(t, blobs, 64<<20)
	words := bytes.Repeat([]byte("words that compress "), 20_000)
	all := contents{"a": words, "b": noisy(1, 1000), "c": words[:300_000], "d": {}}
	p := w.add("p", "v1", all)
	fast := ask(p, []int{0, 1, 2, 3})
	fast.Fast = true
	check := func(g *got) {
		t.Helper()
		for k, name := range []string{"a", "b", "c", "d"} {
			if !bytes.Equal(g.content[[2]int{0, k}], all[name]) {
				t.Errorf("%s has %d bytes", name, len(g.content[[2]int{0, k}]))
			}
		}
	}
	g := w.get(fast)
	check(g)
	r, err := blobs.Open(t.Context(), james.DigestOf(words))
	must(t, err)
	defer r.Close()
	var kept bytes.Buffer
	must(t, r.(blob.Framed).WriteFrames(&kept))
	if !bytes.Contains(g.raw, kept.Bytes()) {
		t.Errorf("the stream of %d bytes does not have the %d that are kept", g.size, kept.Len())
	}
	fast.Packets[0].Offset = 100_000 // the rest is compressed anew
	if g := w.get(fast); !bytes.Equal(g.content[[2]int{0, 0}], words[100_000:]) || bytes.Contains(g.raw, kept.Bytes()) {
		t.Errorf("from an offset on it has %d bytes", len(g.content[[2]int{0, 0}]))
	}
	fast.Packets[0].Offset = 0
	quick := w.get(ask(p, []int{0, 1, 2, 3}))
	check(quick)
	if again := w.get(fast); again.etag == g.etag || again.etag != quick.etag {
		t.Errorf("%s of %d bytes, where there is one of %d", again.etag, again.size, quick.size)
	}
}

// TestShared: what several devices want is made once, whatever else they have, and
// is there after a restart.
func TestShared(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 64<<20)
	p := w.add("p", "v1", contents{"f": noisy(1, 1<<20)})
	other := w.add("other", "v1", contents{"g": noisy(2, 1000)})
	reqs := []*james.BlobsRequest{ask(p, []int{0}), ask(p, []int{0}, other), ask(p, []int{0}), ask(p, []int{0}, other)}
	all := make([]*got, len(reqs))
	var wg sync.WaitGroup
	for i, req := range reqs {
		wg.Go(func() { all[i] = w.get(req) })
	}
	wg.Wait()
	for _, g := range all {
		if g.etag != all[0].etag || !bytes.Equal(g.content[[2]int{0, 0}], noisy(1, 1<<20)) {
			t.Errorf("%s with %d bytes, another has %s", g.etag, g.size, all[0].etag)
		}
	}
	if s := w.Stats(); s.Streams != 1 {
		t.Errorf("%+v", s)
	}
	w.restart()
	if g := w.get(reqs[0]); g.etag != all[0].etag || w.Stats().Hits != 1 {
		t.Errorf("after a restart it is %s, before it was %s", g.etag, all[0].etag)
	}
}

// TestResume: a stream is gone on with by who wants the same, as long as it is there.
func TestResume(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 8<<20)
	p := w.add("p", "v1", contents{"f": noisy(1, 1<<20), "g": noisy(2, 1<<20)})
	req := ask(p, []int{0})
	etag := w.get(req).etag
	for _, row := range []struct {
		name string
		req  *james.BlobsRequest
		etag string
		want bool
	}{
		{"the same", req, etag, true},
		{"another file", ask(p, []int{1}), etag, false},
		{"another offset", &james.BlobsRequest{Packets: []james.Wants{{Packet: p.Digest, Entries: james.IndicesOf(0), Offset: 1}}}, etag, false},
		{"other bytes", req, etag[:len(etag)-2] + `x"`, false},
		{"no quotes", req, etag[1 : len(etag)-1], false},
		{"nothing", req, "", false},
		{"a weak one", req, "W/" + etag, false},
	} {
		s := w.Resume(t.Context(), row.req, row.etag)
		if (s != nil) != row.want {
			t.Errorf("%s: resumed is %v", row.name, s != nil)
		}
		if s != nil {
			w.read(row.req, s)
			s.Close()
		}
	}
	w.restart()
	if s := w.Resume(t.Context(), req, etag); s == nil {
		t.Error("it is gone after a restart")
	} else {
		s.Close()
	}
	for i := range 8 { // as much as the cache holds
		w.get(ask(w.add("filler", string(rune('a'+i)), contents{"f": noisy(100+i, 1<<20)}), []int{0}))
	}
	if s := w.Resume(t.Context(), req, etag); s != nil {
		t.Error("it is there, and others took its room")
	}
	if again := w.get(req); again.etag == etag {
		t.Error("a stream that was made again has the same ETag")
	}
}

// TestNoRoom: what the cache cannot hold goes out all the same.
func TestNoRoom(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1<<20)
	p := w.add("p", "v1", contents{"f": noisy(1, 4<<20)})
	got := w.get(ask(p, []int{0}))
	if got.etag != "" || !bytes.Equal(got.content[[2]int{0, 0}], noisy(1, 4<<20)) {
		t.Errorf("%q, %d bytes", got.etag, got.size)
	}
	s, err := w.Stream(t.Context(), ask(p, []int{0}))
	must(t, err)
	s.Close() // nobody reads it: it must end
}

// TestRestartInTheMiddle: what was not whole when jamesd ended is made again, under
// another ETag.
func TestRestartInTheMiddle(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 64<<20)
	p := w.add("p", "v1", contents{"a": noisy(1, 1<<20), "b": noisy(2, 1<<20)})
	reached := make(chan struct{})
	hold := func(ctx context.Context, d james.Digest) {
		if d == james.DigestOf(noisy(2, 1<<20)) {
			close(reached)
			<-ctx.Done()
		}
	}
	w.blobs.hold.Store(&hold)
	req := ask(p, []int{0, 1})
	s, err := w.Stream(t.Context(), req)
	must(t, err)
	<-reached
	etag := s.ETag
	w.blobs.hold.Store(nil)
	w.restart()
	if _, err := io.Copy(io.Discard, s); err == nil {
		t.Error("a stream that was cut short looks whole")
	}
	s.Close()
	if s := w.Resume(t.Context(), req, etag); s != nil {
		t.Error("it goes on with a stream that was never whole")
	}
	got := w.get(req)
	if got.etag == etag || !bytes.Equal(got.content[[2]int{0, 1}], noisy(2, 1<<20)) {
		t.Errorf("%s, before it was %s; %v", got.etag, etag, got.pieces)
	}
}
