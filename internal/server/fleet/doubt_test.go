package fleet_test

import (
	"context"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trusch/jamesd/internal/server/blob"
	"github.com/trusch/jamesd/internal/server/blob/memblob"
	"github.com/trusch/jamesd/internal/server/store/memstore"
	"github.com/trusch/jamesd/pkg/james"
)

// rotten is a blob store of which some blobs are damaged until they are stored anew.
type rotten struct {
	blob.Store
	mu      sync.Mutex
	damaged map[james.Digest]error // with which reading fails; nil for wrong bytes
}

// rot returns a world with a packet of that archive whose blobs can be damaged.
func rot(t *testing.T, packed []byte) (*world, *rotten, james.Packet) {
	blobs := &rotten{Store: memblob.New(), damaged: make(map[james.Digest]error)}
	w := join(t, &fragile{Store: memstore.New()}, blobs)
	return w, blobs, w.addTar("a", packed).Packet
}

func (r *rotten) rot(d james.Digest, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.damaged[d] = err
}

func (r *rotten) Open(ctx context.Context, d james.Digest) (blob.Reader, error) {
	src, err := r.Store.Open(ctx, d)
	r.mu.Lock()
	defer r.mu.Unlock()
	if failure, ok := r.damaged[d]; ok && err == nil {
		return &rottenReader{src, failure}, nil
	}
	return src, err
}

func (r *rotten) Delete(ctx context.Context, d james.Digest) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.damaged, d)
	return r.Store.Delete(ctx, d)
}

type rottenReader struct {
	blob.Reader
	err error
}

func (r *rottenReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if r.err != nil {
		return 0, r.err
	}
	for i := range p[:n] {
		p[i] ^= 1
	}
	return n, err
}

// TestDoubt: a content that is damaged is taken from the archive again, and meanwhile
// the packet does not count as having it.
func TestDoubt(t *testing.T) {
	t.Parallel()
	packed, contents := sizesTar(t, 10, 300_000, 77)
	doubted := james.DigestOf(contents[1])
	for _, row := range []struct {
		name   string
		damage func(w *world, r *rotten)
		marked bool // all the same
		kind   james.Kind
	}{
		{"nothing", func(*world, *rotten) {}, true, ""},
		{"other bytes", func(_ *world, r *rotten) { r.rot(doubted, nil) }, false, ""},
		{"a checksum", func(_ *world, r *rotten) { r.rot(doubted, james.Errorf(james.KindCorrupt, "blob", "is damaged")) }, false, ""},
		{"it is gone", func(w *world, r *rotten) { check(w.t, r.Delete(w.t.Context(), doubted)) }, false, ""},
		{"nobody knows", func(_ *world, r *rotten) { r.rot(doubted, james.Errorf(james.KindUnavailable, "blob", "is away")) }, true, james.KindUnavailable},
		{"two of them", func(_ *world, r *rotten) { r.rot(doubted, nil); r.rot(james.DigestOf(contents[2]), nil) }, false, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w, blobs, p := rot(t, packed)
				row.damage(w, blobs)
				if err := w.Doubt(t.Context(), p.Digest, doubted); james.KindOf(err) != row.kind {
					t.Fatalf("got %v", err)
				}
				if now := w.Packets()[0]; now.Contents != row.marked || now.Archive != p.Archive {
					t.Errorf("the packet is %+v", now)
				}
				defer w.run()()
				time.Sleep(time.Second)
				if !w.Packets()[0].Contents {
					t.Error("it is not marked again")
				}
				if row.kind != "" {
					return
				}
				for _, content := range contents {
					w.checkContent(content)
				}
			})
		})
	}
}

// TestDoubtOfDamagedArchive: what cannot be taken from the archive stays unmarked.
func TestDoubtOfDamagedArchive(t *testing.T) {
	t.Parallel()
	packed, contents := sizesTar(t, 10, 300_000, 77)
	synctest.Test(t, func(t *testing.T) {
		w, blobs, p := rot(t, packed)
		blobs.rot(james.DigestOf(contents[1]), nil)
		blobs.rot(p.Archive.Digest, nil)
		check(t, w.Doubt(t.Context(), p.Digest, james.DigestOf(contents[1])))
		defer w.run()()
		time.Sleep(3 * time.Hour)
		if w.Packets()[0].Contents {
			t.Error("it is marked")
		}
		if r, err := w.OpenContent(t.Context(), james.DigestOf(contents[1])); err == nil {
			got, _ := io.ReadAll(r)
			t.Errorf("a damaged content of %d bytes is there still", len(got))
		}
	})
}
