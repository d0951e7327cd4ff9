package fleet_test

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trusch/jamesd/internal/server/blob"
	"github.com/trusch/jamesd/internal/server/blob/blobtest"
	"github.com/trusch/jamesd/internal/server/blob/memblob"
	"github.com/trusch/jamesd/internal/server/fleet"
	"github.com/trusch/jamesd/internal/server/store"
	"github.com/trusch/jamesd/internal/server/store/memstore"
	"github.com/trusch/jamesd/pkg/james"
)

// sizesTar returns a tar of files of those sizes, and their contents.
func sizesTar(t testing.TB, sizes ...int) (packed []byte, contents [][]byte) {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for i, size := range sizes {
		content := blobtest.Bytes(byte(i), size)
		check(t, w.WriteHeader(&tar.Header{Name: fmt.Sprintf("f%03d", i), Mode: 0o644, Size: int64(size)}))
		must(w.Write(content))
		contents = append(contents, content)
	}
	check(t, w.Close())
	return buf.Bytes(), contents
}

func (w *world) addTar(name string, packed []byte) james.AddPacketResponse {
	w.t.Helper()
	resp, err := w.AddPacket(w.t.Context(), "alice", james.AddPacketRequest{Name: name, Tags: james.MustTags("v1")}, bytes.NewReader(packed))
	if err != nil {
		w.t.Fatal(err)
	}
	return resp
}

// checkContent fails the test unless the content is kept.
func (w *world) checkContent(content []byte) {
	w.t.Helper()
	r, err := w.OpenContent(w.t.Context(), james.DigestOf(content))
	if err != nil {
		w.t.Fatal(err)
	}
	defer r.Close()
	if got := must(io.ReadAll(r)); !bytes.Equal(got, content) || r.Size() != int64(len(content)) {
		w.t.Errorf("a content of %d bytes reads as %d others", len(content), len(got))
	}
}

func TestContents(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	// Around the sizes of pieces, of what is put together, of a batch, and of all
	// pieces.
	packed, contents := sizesTar(t, 0, 1, 100, 65_535, 65_536, 65_537, 1<<20-1, 1<<20, 1<<20+1, 1_000_000, 9<<20, 5,
		1<<20, 1<<20, 1<<20, 1<<20, 1<<20, 1<<20, 1<<20, 1<<20, 0)
	p := w.addTar("a", packed).Packet
	if !p.Contents {
		t.Error("the packet is not marked as having its contents")
	}
	for _, content := range contents {
		w.checkContent(content)
	}
	_, err := w.OpenContent(t.Context(), james.DigestOf([]byte("something else")))
	wantError(t, err, james.KindNotFound)
}

// counting counts the blobs that are written to their end, and how many are at a
// time, or how large they are together.
type counting struct {
	blob.Store
	commits atomic.Int64
	largest atomic.Int64 // writers at a time
	open    atomic.Int64
	puts    atomic.Int64
	heavy   atomic.Int64 // bytes of contents that are put
}

func (c *counting) Put(ctx context.Context, form blob.Form, contents [][]byte) error {
	var digests []james.Digest
	var size int64
	for _, content := range contents {
		digests, size = append(digests, james.DigestOf(content)), size+int64(len(content))
	}
	missing, err := c.Missing(ctx, digests)
	if err != nil {
		return err
	}
	c.commits.Add(int64(len(missing)))
	c.heavy.Store(max(c.heavy.Load(), size))
	c.puts.Add(1)
	return c.Store.Put(ctx, form, contents)
}

func (c *counting) Create(ctx context.Context, form blob.Form) (blob.Writer, error) {
	w, err := c.Store.Create(ctx, form)
	if n := c.open.Add(1); n > c.largest.Load() {
		c.largest.Store(n)
	}
	return &countingWriter{Writer: w, c: c}, err
}

type countingWriter struct {
	blob.Writer
	c     *counting
	ended bool
}

func (w *countingWriter) end() {
	if !w.ended {
		w.ended = true
		w.c.open.Add(-1)
	}
}

func (w *countingWriter) Abort() error { w.end(); return w.Writer.Abort() }

func (w *countingWriter) Commit(ctx context.Context, want james.Digest) (blob.Info, error) {
	w.end()
	w.c.commits.Add(1)
	return w.Writer.Commit(ctx, want)
}

// TestContentsOnce: what is there is not written again, of whatever packet.
func TestContentsOnce(t *testing.T) {
	t.Parallel()
	c := &counting{Store: memblob.New()}
	w := join(t, &fragile{Store: memstore.New()}, c)
	packed, _ := sizesTar(t, 10, 300_000, 20)
	w.addTar("a", packed)
	if got := c.commits.Load(); got != 5 { // with archive and manifest
		t.Errorf("%d blobs were written", got)
	}
	more, _ := sizesTar(t, 10, 300_000, 20, 30)
	w.addTar("b", more)
	if got := c.commits.Load(); got != 8 {
		t.Errorf("%d blobs were written in all", got)
	}
	var sizes []int
	for i := range 20 {
		sizes = append(sizes, 1<<20+1, 1<<20, i, 2*i)
	}
	many, _ := sizesTar(t, sizes...)
	w.addTar("c", many)
	if got := c.largest.Load(); got > 17 || c.open.Load() != 0 {
		t.Errorf("%d blobs were written at a time, %d are still", got, c.open.Load())
	}
	if n, heavy := c.puts.Load(), c.heavy.Load(); n > 9 || heavy > 4<<20 {
		t.Errorf("there were %d puts of up to %d bytes", n, heavy)
	}
}

// TestContentsFail: a content that cannot be stored fails the upload, and nothing
// of it is a packet.
func TestContentsFail(t *testing.T) {
	t.Parallel()
	for _, size := range []int{100, 2 << 20} {
		w := newWorld(t, func(o *fleet.Options) { o.Blobs = fullForContents{o.Blobs} })
		packed, _ := sizesTar(t, 10, size, 9<<20, 10, 10)
		_, err := w.AddPacket(t.Context(), "alice", james.AddPacketRequest{Name: "a"}, bytes.NewReader(packed))
		wantError(t, err, james.KindUnavailable, "no space left")
		if len(w.Packets()) != 0 {
			t.Error("there is a packet")
		}
	}
}

type fullForContents struct{ blob.Store }

func (f fullForContents) Put(ctx context.Context, form blob.Form, contents [][]byte) error {
	_, err := f.Create(ctx, form)
	return err
}

func (f fullForContents) Create(ctx context.Context, form blob.Form) (blob.Writer, error) {
	if form == blob.Compressed {
		return nil, james.Errorf(james.KindUnavailable, "blobs", "no space left on device")
	}
	return f.Store.Create(ctx, form)
}

// TestContentsCancelled ends an upload in the middle.
func TestContentsCancelled(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	packed, _ := sizesTar(t, 10, 1<<20, 10)
	ctx, cancel := context.WithCancel(t.Context())
	r := io.MultiReader(bytes.NewReader(packed[:600_000]), readerFunc(func([]byte) (int, error) { cancel(); return 0, ctx.Err() }))
	_, err := w.AddPacket(ctx, "alice", james.AddPacketRequest{Name: "a"}, r)
	wantError(t, err, james.KindInterrupted)
	for info, err := range w.blobs.List(t.Context()) {
		if err != nil || info.Stored > 10 {
			t.Errorf("a blob of %d bytes is left: %v", info.Stored, err)
		}
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// former makes the packet one of before contents were kept.
func (w *world) former(p james.Packet, contents [][]byte) {
	w.t.Helper()
	_, _, err := w.store.Packets().Update(w.t.Context(), store.PacketKey(p.Name, p.Tags), func(old *james.Packet) (*james.Packet, error) {
		row := *old
		row.Contents = false
		return &row, nil
	})
	check(w.t, err)
	for _, content := range contents {
		check(w.t, w.blobs.Delete(w.t.Context(), james.DigestOf(content)))
	}
}

// TestUnpack keeps the contents of packets that have only their archive, when a
// jamesd starts; one that is damaged does not keep the others from it.
func TestUnpack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var all [][]byte
		for i := range 4 {
			packed, contents := sizesTar(t, 10*i, 300_000+i, 77)
			p := w.addTar(fmt.Sprintf("p%d", i), packed).Packet
			w.former(p, contents)
			if i == 0 {
				check(t, w.blobs.Delete(t.Context(), p.Archive.Digest))
				continue
			}
			all = append(all, contents...)
		}
		again := join(t, w.store, w.blobs)
		stop := again.run()
		defer stop()
		time.Sleep(time.Second)
		for _, content := range all {
			again.checkContent(content)
		}
		marked := 0
		for _, p := range again.Packets() {
			if p.Contents {
				marked++
			}
		}
		if marked != 3 {
			t.Errorf("%d packets are marked, want 3", marked)
		}
	})
}

// TestUnpackStopsAndGoesOn stops in the middle of the work; the next one ends it.
func TestUnpackStopsAndGoesOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		packed, contents := sizesTar(t, 10, 300_000, 77)
		w.former(w.addTar("a", packed).Packet, contents)
		s := &stuck{Store: w.blobs, here: make(chan struct{})}
		stop := join(t, w.store, s).run()
		<-s.here
		stop()
		again := join(t, w.store, w.blobs)
		if again.Packets()[0].Contents {
			t.Fatal("it is marked before its contents are there")
		}
		defer again.run()()
		time.Sleep(time.Second)
		if !again.Packets()[0].Contents {
			t.Error("it is not marked")
		}
		for _, content := range contents {
			again.checkContent(content)
		}
	})
}

// stuck is a blob store in which nothing is stored.
type stuck struct {
	blob.Store
	here chan struct{}
	told atomic.Bool
}

func (s *stuck) Put(ctx context.Context, form blob.Form, _ [][]byte) error {
	_, err := s.Create(ctx, form)
	return err
}

func (s *stuck) Create(ctx context.Context, _ blob.Form) (blob.Writer, error) {
	if !s.told.Swap(true) {
		close(s.here)
	}
	<-ctx.Done()
	return nil, james.Errorf(james.KindInterrupted, "blobs", "stopped")
}

// TestContentsMend adds a packet again whose contents, or their mark, are lost.
func TestContentsMend(t *testing.T) {
	t.Parallel()
	packed, contents := sizesTar(t, 10, 300_000, 77)
	for name, lose := range map[string]func(w *world, p james.Packet){
		"a content":     func(w *world, p james.Packet) { check(w.t, w.blobs.Delete(w.t.Context(), james.DigestOf(contents[1]))) },
		"all contents":  func(w *world, p james.Packet) { w.former(p, contents) },
		"only the mark": func(w *world, p james.Packet) { w.former(p, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			first := w.addTar("a", packed).Packet
			lose(w, first)
			again := w.addTar("a", packed)
			if again.Added || !again.Packet.Contents || again.Packet.Archive != first.Archive {
				t.Errorf("it is added again as %+v", again)
			}
			for _, content := range contents {
				w.checkContent(content)
			}
		})
	}
}

// TestCollectContents: a content goes after the last packet that has it.
func TestCollectContents(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.run()()
		shared, one, other := "shared", "one", "other"
		tarred := func(contents ...string) []byte {
			var buf bytes.Buffer
			tw := tar.NewWriter(&buf)
			for i, c := range contents {
				check(t, tw.WriteHeader(&tar.Header{Name: fmt.Sprint(i), Mode: 0o644, Size: int64(len(c))}))
				must(tw.Write([]byte(c)))
			}
			check(t, tw.Close())
			return buf.Bytes()
		}
		a := w.addTar("a", tarred(shared, one)).Packet
		b := w.addTar("b", tarred(shared, other)).Packet
		time.Sleep(3 * time.Hour)
		check(t, w.DeletePacket(t.Context(), "alice", a.Digest, false))
		time.Sleep(2 * time.Hour)
		w.checkContent([]byte(shared))
		w.checkContent([]byte(other))
		if n := len(digests(t, w.blobs)); n != 4 {
			t.Errorf("%d blobs are left, want the other packet's 4", n)
		}
		check(t, w.DeletePacket(t.Context(), "alice", b.Digest, false))
		time.Sleep(2 * time.Hour)
		if n := len(digests(t, w.blobs)); n != 0 {
			t.Errorf("%d blobs are left", n)
		}
	})
}

// TestCollectBesideLongUpload: an upload that takes so long that its first
// contents are collected as unused ends with a packet that has them.
func TestCollectBesideLongUpload(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		patient := func(o *fleet.Options) { o.SweepAge = 100 * time.Hour }
		w := newWorld(t, patient)
		other := join(t, w.store, w.blobs, patient) // in another process
		defer w.run()()
		defer other.run()()
		packed, contents := sizesTar(t, 2<<20, 300_000, 77)
		slow := io.MultiReader(bytes.NewReader(packed[:2<<20+100_000]), readerFunc(func([]byte) (int, error) {
			synctest.Wait()
			w.checkContent(contents[0])
			time.Sleep(30 * time.Hour)
			_, err := w.OpenContent(t.Context(), james.DigestOf(contents[0]))
			wantError(t, err, james.KindNotFound)
			return 0, io.EOF
		}), bytes.NewReader(packed[2<<20+100_000:]))
		resp, err := w.AddPacket(t.Context(), "alice", james.AddPacketRequest{Name: "a"}, slow)
		if err != nil || resp.Packet.Contents {
			t.Fatalf("it is added as %+v, %v", resp.Packet, err)
		}
		time.Sleep(time.Minute)
		for _, content := range contents {
			w.checkContent(content)
		}
		if p := must(w.Packet(resp.Packet.Digest)); !p.Contents {
			t.Error("the packet is not marked")
		}
	})
}

// TestCollectNothingInVain: while nothing can have become unused, the blobs are
// looked at only a few times a day.
func TestCollectNothingInVain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		blobs := &listing{Store: memblob.New()}
		w := join(t, &fragile{Store: memstore.New()}, blobs)
		defer w.run()()
		w.add("a v1")
		time.Sleep(48*time.Hour + time.Minute)
		if n := blobs.lists.Load(); n > 9 {
			t.Errorf("%d looks in two days", n)
		}
	})
}

type listing struct {
	blob.Store
	lists atomic.Int64
}

func (l *listing) List(ctx context.Context) iter.Seq2[blob.Listed, error] {
	l.lists.Add(1)
	return l.Store.List(ctx)
}

// TestCollectWithoutAManifest: while it is not known what a packet needs, nothing
// is deleted.
func TestCollectWithoutAManifest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.run()()
		a, b := w.add("a v1"), w.add("b v1")
		check(t, w.blobs.Delete(t.Context(), a.Digest))
		check(t, w.DeletePacket(t.Context(), "alice", b.Digest, false))
		time.Sleep(5 * time.Hour)
		w.checkContent([]byte("usr/bin/a"))
		w.checkContent([]byte("usr/bin/b"))
		w.add("a v1")
		time.Sleep(5 * time.Hour)
		w.checkContent([]byte("usr/bin/a"))
		if _, err := w.OpenContent(t.Context(), james.DigestOf([]byte("usr/bin/b"))); james.KindOf(err) != james.KindNotFound {
			t.Errorf("the unused content: %v", err)
		}
	})
}

// TestUsed: the set has all that was added, and little more.
func TestUsed(t *testing.T) {
	t.Parallel()
	random := rand.NewChaCha8([32]byte{1})
	digest := func() (d james.Digest) { _, _ = random.Read(d[:]); return d }
	const n = 200_000
	var in, out []james.Digest
	for range n {
		in, out = append(in, digest()), append(out, digest())
	}
	missing, wrong := fleet.TryUsed(n, in, out)
	if missing != 0 || wrong > n/500 {
		t.Errorf("%d of %d are missing, %d of as many others are found", missing, n, wrong)
	}
}
