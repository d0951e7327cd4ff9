package supply_test

import (
	"bytes"
	"context"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trusch/jamesd/internal/server/supply"
	"github.com/trusch/jamesd/pkg/james"
)

// TestSlowReaders: devices that read slowly what the cache has no room for keep nobody
// else waiting, and are not too many.
func TestSlowReaders(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1<<20)
	w.with = func(o *supply.Options) { o.Makers = 1 }
	w.restart()
	p := w.add("p", "v1", contents{"large": noisy(1, 4<<20), "small": noisy(2, 1000)})
	large := ask(p, []int{0})
	var slow []*supply.Stream
	for range 2 {
		s, err := w.Stream(t.Context(), large)
		must(t, err)
		_, err = io.ReadFull(s, make([]byte, 100))
		must(t, err)
		slow = append(slow, s)
	}
	if got := w.get(ask(p, []int{1})); got.etag == "" || !bytes.Equal(got.content[[2]int{0, 1}], noisy(2, 1000)) {
		t.Errorf("%q, %d bytes", got.etag, got.size)
	}
	if _, err := w.Stream(t.Context(), large); james.KindOf(err) != james.KindUnavailable || !strings.Contains(james.HintOf(err), "--cache-size") {
		t.Errorf("one more: %v", err)
	}
	for _, s := range slow {
		must(t, s.Close())
	}
	if got := w.get(large); !bytes.Equal(got.content[[2]int{0, 0}], noisy(1, 4<<20)) {
		t.Errorf("%d bytes", got.size)
	}
}

// TestBrokenCache: a cache whose disk fails makes nothing fail but itself.
func TestBrokenCache(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 64<<20)
	p := w.add("p", "v1", contents{"f": noisy(1, 100_000)})
	must(t, os.RemoveAll(w.dir))
	if got := w.get(ask(p, []int{0})); got.etag != "" || !bytes.Equal(got.content[[2]int{0, 0}], noisy(1, 100_000)) {
		t.Errorf("%q, %d bytes", got.etag, got.size)
	}
}

// TestFullCache: after a stream for which there was no room to its end, those that are as
// large go out without the cache, for a while.
func TestFullCache(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3<<20)
	var later atomic.Int64
	w.with = func(o *supply.Options) {
		o.Now = func() time.Time { return time.Unix(1e9+later.Load(), 0) }
	}
	w.restart()
	p := w.add("p", "v1", contents{"a": noisy(1, 1_300_000), "b": noisy(2, 1_300_000), "c": noisy(3, 1_300_000), "d": noisy(4, 10_000)})
	var used []*supply.Stream
	for k := range 2 {
		s, err := w.Stream(t.Context(), ask(p, []int{k}))
		must(t, err)
		_, err = io.Copy(io.Discard, s)
		must(t, err)
		used = append(used, s)
	}
	s, err := w.Stream(t.Context(), ask(p, []int{2}))
	must(t, err)
	if _, err := io.Copy(io.Discard, s); james.KindOf(err) != james.KindUnavailable {
		t.Errorf("got %v", err)
	}
	must(t, s.Close())
	if got := w.get(ask(p, []int{2})); got.etag != "" || !bytes.Equal(got.content[[2]int{0, 2}], noisy(3, 1_300_000)) {
		t.Errorf("%q, %d bytes", got.etag, got.size)
	}
	for _, s := range used {
		must(t, s.Close())
	}
	if got := w.get(ask(p, []int{3})); got.etag == "" {
		t.Error("a small stream is not kept")
	}
	later.Store(660)
	if got := w.get(ask(p, []int{2})); got.etag == "" {
		t.Error("it is not kept when there is room again")
	}
}

// TestManyWaiting: streams nobody waits for any more do not pile up.
func TestManyWaiting(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 64<<20)
	w.with = func(o *supply.Options) { o.Makers = 1 }
	w.restart()
	w.SetMaxWaiting(2)
	p := w.add("p", "v1", contents{"f": noisy(1, 100_000)})
	reached, on := make(chan struct{}, 10), make(chan struct{})
	hold := func(ctx context.Context, _ james.Digest) { reached <- struct{}{}; <-on }
	w.has("d", p)
	w.get(ask(p, []int{0})) // its manifest is known
	w.blobs.hold.Store(&hold)
	req := func(offset int64) *james.BlobsRequest {
		r := ask(p, []int{0})
		r.Packets[0].Offset = offset
		return r
	}
	gone, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 3)
	begin := func(offset int64) {
		go func() {
			s, err := w.Stream(gone, req(offset))
			if err == nil { // its first bytes were there
				_, err = io.Copy(io.Discard, s)
				s.Close()
			}
			ended <- err
		}()
	}
	begin(1)
	<-reached
	begin(2)
	begin(3)
	for w.Waiting() < 2 {
		time.Sleep(time.Millisecond)
	}
	cancel()
	for range 3 {
		if err := <-ended; james.KindOf(err) != james.KindInterrupted {
			t.Errorf("got %v", err)
		}
	}
	if _, err := w.Stream(t.Context(), req(4)); james.KindOf(err) != james.KindUnavailable {
		t.Errorf("one more: %v", err)
	}
	close(on)
	if got := w.get(req(3)); !bytes.Equal(got.content[[2]int{0, 0}], noisy(1, 100_000)[3:]) {
		t.Errorf("%d bytes", got.size)
	}
}
