package site_test

import (
	"bytes"
	"fmt"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trusch/jamesd/internal/server/site"
	"github.com/trusch/jamesd/pkg/james"
)

const roomy = 64 << 20

func quoted(b []byte) string { return `"` + james.DigestOf(b).String() + `"` }

// TestOnce checks that the second device costs jamesd no contents, nor does anyone
// after a restart.
func TestOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, roomy)
	raw, _, err := w.manifest.Encode()
	must(t, err)
	for i, device := range []string{"a", "b", "a"} {
		if i == 2 {
			w.open(t, roomy)
		}
		m, err := w.site.Manifest(t.Context(), device, w.packet)
		same(t, read(t, m, err, 0), raw)
		if m.ETag() != `"`+w.packet.String()+`"` {
			t.Errorf("the manifest's ETag is %s", m.ETag())
		}
		a, err := w.site.Archive(t.Context(), device, w.packet, quoted(w.archive))
		same(t, read(t, a, err, 0), w.archive)
		if n, whole := a.Size(); n != int64(len(w.archive)) || !whole || a.ETag() != quoted(w.archive) {
			t.Errorf("the archive has %d bytes, %t, ETag %s", n, whole, a.ETag())
		}
		s, err := w.site.Blobs(t.Context(), device, w.request(), "")
		same(t, read(t, s, err, 0), w.stream)
		s, err = w.site.Blobs(t.Context(), device, w.request(), s.ETag())
		same(t, read(t, s, err, 70_000), w.stream[70_000:])
	}
	for what, n := range map[string]int{"manifest": 1, "archive of": 1, "archive": 1, "blobs": 1, "may": 3} {
		if got := w.count(what); got != n {
			t.Errorf("jamesd was asked %d times for %s, want %d", got, what, n)
		}
	}
	if s := w.site.Stats(); s.Bytes != 0 || s.Cache.Hits == 0 {
		t.Errorf("after the restart %+v", s)
	}
}

// TestAtOnce checks that many devices that ask at the same time follow one fetch.
func TestAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, roomy)
	w.gate = make(chan struct{})
	var wg sync.WaitGroup
	for _, device := range []string{"a", "b", "a", "b"} {
		wg.Go(func() {
			s, err := w.site.Blobs(t.Context(), device, w.request(), "")
			same(t, read(t, s, err, 0), w.stream)
		})
	}
	close(w.gate)
	wg.Wait()
	if n := w.count("blobs"); n != 1 || w.sent != len(w.stream) {
		t.Errorf("jamesd was asked %d times and sent %d bytes", n, w.sent)
	}
}

// TestRightAfter checks that a device that asks for what another one has just asked for
// costs jamesd nothing, at whatever moment it asks, and whether or not both would take
// the stream in xz, which follows from what each of them has measured.
func TestRightAfter(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name  string
		reads int // of jamesd's answer, before the second device asks
	}{
		{"nothing has come", 0},
		{"half of it has come", 10},
		{"all has come but its end", 20},
		{"its end has come", 21},
	} {
		for _, xz := range [][2]bool{{true, false}, {false, true}, {true, true}} {
			t.Run(fmt.Sprint(row.name, xz), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, roomy)
				w.gate = make(chan struct{})
				ask := func(device string, xz bool) func() {
					req := w.request()
					req.XZ = xz
					s, err := w.site.Blobs(t.Context(), device, req, "")
					must(t, err)
					return func() { same(t, read(t, s, nil, 0), w.stream) }
				}
				first := ask("a", xz[0])
				for range row.reads {
					w.gate <- struct{}{}
				}
				second := ask("b", xz[1])
				close(w.gate)
				first()
				second()
				ask("a", xz[1])()
				if n := w.count("blobs"); n != 1 || w.sent != len(w.stream) {
					t.Errorf("jamesd was asked %d times and sent %d bytes", n, w.sent)
				}
			})
		}
	}
}

// TestUnread checks that what no device waits for any more is fetched for a while, in
// case one comes back, and then takes no more of the link.
func TestUnread(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name string
		away time.Duration
		sent int // bytes, at most
		asks int
	}{
		{"it comes back", time.Minute, 200_000, 1},
		{"it comes back late", 3 * time.Minute, 230_000, 2},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, roomy)
				w.gate = make(chan struct{})
				first, err := w.site.Blobs(t.Context(), "a", w.request(), "")
				must(t, err)
				w.gate <- struct{}{}
				w.gate <- struct{}{}
				must(t, first.Close())
				time.Sleep(row.away)
				w.gate <- struct{}{}
				synctest.Wait()
				c, err := w.site.Blobs(t.Context(), "b", w.request(), "")
				must(t, err)
				close(w.gate)
				same(t, read(t, c, nil, 0), w.stream)
				if n := w.count("blobs"); n != row.asks || w.sent > row.sent {
					t.Errorf("jamesd was asked %d times and sent %d bytes", n, w.sent)
				}
				must(t, w.cache.Close())
			})
		})
	}
}

// TestBrokenLink checks that a fetch goes on where the link broke.
func TestBrokenLink(t *testing.T) {
	t.Parallel()
	w := newWorld(t, roomy)
	w.cutAfter = 30_000
	a, err := w.site.Archive(t.Context(), "a", w.packet, quoted(w.archive))
	same(t, read(t, a, err, 1000), w.archive[1000:])
	s, err := w.site.Blobs(t.Context(), "a", w.request(), "")
	same(t, read(t, s, err, 0), w.stream)
	if w.sent != len(w.archive)+len(w.stream) || w.count("archive") != 10 {
		t.Errorf("%d bytes were sent over %d connections", w.sent, w.count("archive"))
	}
}

// TestStreamGone checks that a stream that cannot go on ends there, and is not kept.
func TestStreamGone(t *testing.T) {
	t.Parallel()
	for _, named := range []bool{true, false} {
		w := newWorld(t, roomy)
		w.cutAfter, w.named = 30_000, named
		w.gate = make(chan struct{})
		s, err := w.site.Blobs(t.Context(), "a", w.request(), "")
		must(t, err)
		w.mu.Lock()
		w.etag = `"second"`
		w.mu.Unlock()
		close(w.gate)
		got, err := io.ReadAll(s)
		same(t, got, w.stream[:30_000])
		if err == nil {
			t.Error("half a stream passes for a whole one")
		}
		s.Close()
		w.cutAfter = 0
		s, err = w.site.Blobs(t.Context(), "a", w.request(), "")
		same(t, read(t, s, err, 0), w.stream)
		if s.ETag() == `"first"` || s.ETag() == "" {
			t.Errorf("the ETag is %q", s.ETag())
		}
	}
}

// TestDenied checks that nobody gets what jamesd would not give.
func TestDenied(t *testing.T) {
	t.Parallel()
	w := newWorld(t, roomy)
	get := func(device string) (errs []error) {
		m, err := w.site.Manifest(t.Context(), device, w.packet)
		errs = append(errs, err)
		a, err := w.site.Archive(t.Context(), device, w.packet, quoted(w.archive))
		errs = append(errs, err)
		s, err := w.site.Blobs(t.Context(), device, w.request(), "")
		errs = append(errs, err)
		_, err = w.site.Offer(t.Context(), device, w.request())
		for _, c := range []*site.Content{m, a, s} {
			if c != nil {
				c.Close()
			}
		}
		return append(errs, err)
	}
	for _, err := range get("a") {
		must(t, err)
	}
	for _, err := range get("stranger") {
		wantKind(t, err, james.KindDenied)
	}
	w.allowed["a"] = false
	w.now = w.now.Add(4 * time.Minute)
	if _, err := w.site.Manifest(t.Context(), "a", w.packet); err != nil {
		t.Errorf("jamesd was asked again after four minutes: %v", err)
	}
	w.now = w.now.Add(2 * time.Minute)
	for _, err := range get("a") {
		wantKind(t, err, james.KindDenied)
	}
	if s := w.site.Stats(); s.Asked == 0 || s.Denied != 6 {
		t.Errorf("stats are %+v", s)
	}
}

// TestJamesdAway checks how long the word of a jamesd is good that cannot be asked.
func TestJamesdAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t, roomy)
	s, err := w.site.Blobs(t.Context(), "a", w.request(), "")
	read(t, s, err, 0)
	w.down = james.Errorf(james.KindUnavailable, "jamesd", "connection refused")
	w.now = w.now.Add(50 * time.Minute)
	s, err = w.site.Blobs(t.Context(), "a", w.request(), "")
	same(t, read(t, s, err, 0), w.stream)
	wantKind(t, w.site.Ready(), james.KindUnavailable)
	_, err = w.site.Blobs(t.Context(), "b", w.request(), "")
	wantKind(t, err, james.KindUnavailable)
	w.now = w.now.Add(11 * time.Minute)
	_, err = w.site.Blobs(t.Context(), "a", w.request(), "")
	wantKind(t, err, james.KindUnavailable)
	w.down = nil
	s, err = w.site.Blobs(t.Context(), "b", w.request(), "")
	same(t, read(t, s, err, 0), w.stream)
	must(t, w.site.Ready())

	w.down = james.Errorf(james.KindUnauthenticated, "jamesd", "the server refused this certificate")
	_, err = w.site.Manifest(t.Context(), "stranger", w.packet)
	wantKind(t, err, james.KindUnavailable) // it is not the device's certificate that is refused
	if w.site.Ready() == nil {
		t.Error("a cache that is refused takes itself for ready")
	}
}

// TestOffer checks that an offer is jamesd's, and its word.
func TestOffer(t *testing.T) {
	t.Parallel()
	w := newWorld(t, roomy)
	offer, err := w.site.Offer(t.Context(), "a", w.request())
	must(t, err)
	if offer.Size != int64(len(w.stream)) {
		t.Errorf("the offer is %+v", offer)
	}
	s, err := w.site.Blobs(t.Context(), "a", w.request(), "")
	same(t, read(t, s, err, 0), w.stream)
	if n := w.count("may"); n != 0 {
		t.Errorf("jamesd was asked %d times for what it had just allowed", n)
	}
}

// TestOtherArchive checks that two archives of one packet are kept apart.
func TestOtherArchive(t *testing.T) {
	t.Parallel()
	w := newWorld(t, roomy)
	old := w.archive
	a, err := w.site.Archive(t.Context(), "a", w.packet, "")
	same(t, read(t, a, err, 0), old)
	w.archive = noise(9, 1000)
	a, err = w.site.Archive(t.Context(), "a", w.packet, quoted(w.archive))
	same(t, read(t, a, err, 0), w.archive)
	_, err = w.site.Archive(t.Context(), "a", w.packet, quoted([]byte("a third")))
	wantKind(t, err, james.KindConflict)
}

// TestElsewhereBegun checks that a device goes on at the cache with what it began at
// jamesd itself.
func TestElsewhereBegun(t *testing.T) {
	t.Parallel()
	w := newWorld(t, roomy)
	s, err := w.site.Blobs(t.Context(), "a", w.request(), w.etag)
	must(t, err)
	// As somebody does who looks whether there is a byte before answering with it.
	_, err = s.Seek(50_000, io.SeekStart)
	must(t, err)
	_, err = io.ReadFull(s, make([]byte, 1))
	must(t, err)
	if n, whole := s.Size(); n != 50_001 || whole {
		t.Errorf("size is %d, %t", n, whole)
	}
	same(t, read(t, s, nil, 50_000), w.stream[50_000:])
	if n, whole := s.Size(); n != int64(len(w.stream)) || !whole {
		t.Errorf("at the end the size is %d, %t", n, whole)
	}
	if n := w.count("blobs"); n != 1 {
		t.Errorf("jamesd was asked %d times", n)
	}
	s, err = w.site.Blobs(t.Context(), "a", w.request(), `"gone"`)
	must(t, err)
	_, err = s.Read(make([]byte, 1))
	wantKind(t, err, james.KindConflict)
	s.Close()
	if got := w.site.Stats(); got.Passed != 2 || got.Cache.Entries != 0 {
		t.Errorf("stats are %+v", got)
	}
}

// TestDamage checks that what the disk has damaged is fetched again, unseen by the
// device.
func TestDamage(t *testing.T) {
	t.Parallel()
	for _, offset := range []int64{10, 100_000} {
		w := newWorld(t, roomy)
		get := func() {
			a, err := w.site.Archive(t.Context(), "a", w.packet, quoted(w.archive))
			same(t, read(t, a, err, 0), w.archive)
			s, err := w.site.Blobs(t.Context(), "a", w.request(), "")
			same(t, read(t, s, err, 0), w.stream)
		}
		get()
		w.open(t, roomy)
		w.damage(t, offset)
		get()
		if w.count("blobs") != 2 || w.count("archive") != 2 || w.site.Stats().Cache.Damaged != 2 {
			t.Errorf("fetched %d and %d times, %+v", w.count("blobs"), w.count("archive"), w.site.Stats())
		}
	}
}

// TestWrongArchive checks that what is not what it must be is not kept.
func TestWrongArchive(t *testing.T) {
	t.Parallel()
	w := newWorld(t, roomy)
	w.gate = make(chan struct{})
	a, err := w.site.Archive(t.Context(), "a", w.packet, quoted(w.archive))
	must(t, err)
	w.archive[250_000] ^= 1
	close(w.gate)
	_, err = io.ReadAll(a)
	wantKind(t, err, james.KindCorrupt)
	a.Close()
	if n := w.site.Stats().Cache.Entries; n != 0 {
		t.Errorf("%d entries are kept", n)
	}
}

// TestLittleRoom checks that a device gets all of what the cache cannot hold, and
// that nothing of it is fetched twice.
func TestLittleRoom(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 100_000)
	a, err := w.site.Archive(t.Context(), "a", w.packet, quoted(w.archive))
	same(t, read(t, a, err, 0), w.archive)
	if n, whole := a.Size(); n != int64(len(w.archive)) || !whole {
		t.Errorf("size is %d, %t", n, whole)
	}
	w.sent = 0
	s, err := w.site.Blobs(t.Context(), "a", w.request(), "")
	must(t, err)
	got, err := io.ReadAll(s)
	wantKind(t, err, james.KindUnavailable)
	etag := s.ETag()
	s.Close()
	s, err = w.site.Blobs(t.Context(), "a", w.request(), etag)
	rest := read(t, s, err, int64(len(got)))
	same(t, append(got, rest...), w.stream)
	if w.sent > len(w.stream)+20_000 {
		t.Errorf("%d bytes were sent for %d", w.sent, len(w.stream))
	}
	s, err = w.site.Blobs(t.Context(), "a", w.request(), "")
	same(t, read(t, s, err, 0), w.stream)
	if used := w.site.Stats().Cache.Used; used > 100_000 {
		t.Errorf("%d bytes are used", used)
	}
}

// TestSized checks that the size of a stream is told as soon as it is known.
func TestSized(t *testing.T) {
	t.Parallel()
	w := newWorld(t, roomy)
	w.sized = true
	w.gate = make(chan struct{})
	s, err := w.site.Blobs(t.Context(), "a", w.request(), "")
	must(t, err)
	if n, whole := s.Size(); n != int64(len(w.stream)) || !whole {
		t.Errorf("size is %d, %t", n, whole)
	}
	close(w.gate)
	n, err := s.Seek(-100, io.SeekEnd)
	must(t, err)
	tail, err := io.ReadAll(s)
	must(t, err)
	if n != int64(len(w.stream)-100) || !bytes.Equal(tail, w.stream[n:]) {
		t.Errorf("the end is %d bytes from %d on", len(tail), n)
	}
	s.Close()
}
