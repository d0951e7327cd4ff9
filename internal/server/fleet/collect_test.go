package fleet_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trusch/jamesd/internal/server/blob"
	"github.com/trusch/jamesd/internal/server/fleet"
	"github.com/trusch/jamesd/pkg/james"
)

func TestCollect(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(o *fleet.Options) { o.SweepAge = 3 * time.Hour })
		stop := w.run()
		defer stop()
		kept, deleted := w.add("kept v1"), w.add("deleted v1")
		// An upload that never ends.
		abandoned := must(w.blobs.Create(t.Context(), blob.Plain))
		must(abandoned.Write([]byte("x")))
		time.Sleep(90 * time.Minute)
		check(t, w.DeletePacket(t.Context(), "alice", deleted.Digest, false))
		// Blobs of an upload that is about to make a packet of them.
		fresh := must(w.blobs.Create(t.Context(), blob.Plain))
		must(fresh.Write([]byte("fresh")))
		info := must(fresh.Commit(t.Context(), james.Digest{}))
		time.Sleep(40 * time.Minute)
		want := []string{kept.Digest.String(), kept.Archive.Digest.String(), info.Digest.String(), james.DigestOf([]byte("usr/bin/kept")).String()}
		slices.Sort(want)
		if got := digests(t, w.blobs); !slices.Equal(got, want) {
			t.Errorf("after 2 hours the blobs are %q, want %q", got, want)
		}
		time.Sleep(2 * time.Hour)
		if n := len(digests(t, w.blobs)); n != 3 {
			t.Errorf("after 4 hours there are %d blobs", n)
		}
		_, err := abandoned.Commit(t.Context(), james.Digest{})
		wantError(t, err, james.KindInterrupted)
	})
}

// TestCollectAfterAKilledUpload: what an upload has stored at a jamesd that is gone is
// collected by another, and nobody has seen a packet.
func TestCollectAfterAKilledUpload(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(o *fleet.Options) { o.SweepAge = 3 * time.Hour })
		dead := join(t, w.store, w.blobs)
		packed, _ := sizesTar(t, 10, 1_500_000, 2_000_000)
		r, half := io.Pipe()
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_, err := dead.AddPacket(t.Context(), "alice", james.AddPacketRequest{Name: "a"}, r)
			wantError(t, err, james.KindInterrupted)
		}()
		if _, err := half.Write(packed[:len(packed)-1_000_000]); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if n := len(digests(t, w.blobs)); n == 0 {
			t.Error("nothing is stored yet, so this shows nothing")
		}
		defer w.run()()
		time.Sleep(3 * time.Hour)
		if n := len(digests(t, w.blobs)); n != 0 {
			t.Errorf("%d of its blobs stay", n)
		}
		time.Sleep(2 * time.Hour)
		if n := len(w.Packets()); n != 0 {
			t.Errorf("there are %d packets", n)
		}
		half.CloseWithError(io.ErrUnexpectedEOF)
		<-ended
	})
}

// slow is a blob store whose first Expire takes as long as it is told to, before or
// after it has deleted.
type slow struct {
	blob.Store
	before     bool
	once       sync.Once
	here, goOn chan struct{}
}

func (s *slow) Expire(ctx context.Context, d james.Digest, before time.Time) (bool, error) {
	pause := func() { close(s.here); <-s.goOn }
	if s.before {
		s.once.Do(pause)
	}
	expired, err := s.Store.Expire(ctx, d, before)
	if !s.before {
		s.once.Do(pause)
	}
	return expired, err
}

func everyMinute(o *fleet.Options) { o.CollectInterval, o.CollectAge = time.Minute, time.Minute }

// TestCollectSparesWhatIsUploadedAgain uploads a packet whose blobs lie there old
// and unused, while the collector of another process is about to delete them.
func TestCollectSparesWhatIsUploadedAgain(t *testing.T) {
	t.Parallel()
	for _, before := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			s := &slow{Store: w.blobs, before: before, here: make(chan struct{}), goOn: make(chan struct{})}
			collector := join(t, w.store, s, everyMinute)
			p := w.add("a v1")
			check(t, w.DeletePacket(t.Context(), "alice", p.Digest, false))
			time.Sleep(2 * time.Minute)
			defer collector.run()()
			<-s.here // the collector has its list and looks at the first blob
			w.add("a v1")
			close(s.goOn)
			time.Sleep(5 * time.Minute)
			if got := digests(t, w.blobs); len(got) != 3 {
				t.Errorf("%d of its 3 blobs are left (before: %v)", len(got), before)
			}
		})
	}
}

// TestCollectSparesWhatWasJustCommitted renews an old blob, as an upload to
// another process does before its row is written, when the collector has listed it.
func TestCollectSparesWhatWasJustCommitted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := &slow{Store: w.blobs, before: true, here: make(chan struct{}), goOn: make(chan struct{})}
		collector := join(t, w.store, s, everyMinute)
		commit := func() {
			b := must(w.blobs.Create(t.Context(), blob.Plain))
			must(b.Write([]byte("archive")))
			must(b.Commit(t.Context(), james.Digest{}))
		}
		commit()
		time.Sleep(2 * time.Minute)
		defer collector.run()()
		<-s.here
		commit()
		close(s.goOn)
		time.Sleep(30 * time.Second)
		if n := len(digests(t, w.blobs)); n != 1 {
			t.Error("the blob is gone")
		}
		time.Sleep(5 * time.Minute)
		if n := len(digests(t, w.blobs)); n != 0 {
			t.Error("a blob that nobody uses stays")
		}
	})
}

// TestCollectBesideUploads collects all the time, and takes every blob for an old
// one, while packets are uploaded and deleted in the same process.
func TestCollectBesideUploads(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *fleet.Options) { o.CollectInterval, o.CollectAge = time.Microsecond, time.Nanosecond })
	defer w.run()()
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for range 50 {
				resp, err := w.upload(fmt.Sprintf("p%d v1", i), "", false)
				if err != nil {
					t.Error(err)
					return
				}
				_, r, err := w.OpenArchive(t.Context(), resp.Packet.Digest)
				if err != nil {
					t.Error(err)
					return
				}
				r.Close()
				if err := w.DeletePacket(t.Context(), "alice", resp.Packet.Digest, false); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

// TestUploadFindsItsBlobsGone deletes an upload's archive just before its row is
// written, as the collector of a process that was stopped for long could.
func TestUploadFindsItsBlobsGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	racing := join(t, w.store, w.blobs, func(o *fleet.Options) {
		o.Blobs = &gone{Store: o.Blobs, lose: james.DigestOf(tarOf(t, "", "usr/bin/a"))}
	})
	_, err := racing.upload("a v1", "", false)
	wantError(t, err, james.KindInterrupted, "a v1", "Add the packet again")
	p := must(racing.upload("a v1", "", false)).Packet
	_, r, err := w.OpenArchive(t.Context(), p.Digest)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var buf bytes.Buffer
	if _, err := buf.ReadFrom(r); err != nil || james.DigestOf(buf.Bytes()) != p.Archive.Digest {
		t.Errorf("the archive reads as %d bytes, %v", buf.Len(), err)
	}
}

// gone is a blob store that loses a blob once, when the next one is begun after
// it was committed.
type gone struct {
	blob.Store
	lose james.Digest
	done bool
}

func (g *gone) Create(ctx context.Context, form blob.Form) (blob.Writer, error) {
	if _, err := g.Store.Stat(ctx, g.lose); err == nil && !g.done {
		g.done = true
		if err := g.Store.Delete(ctx, g.lose); err != nil {
			return nil, err
		}
	}
	return g.Store.Create(ctx, form)
}
