package backup_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/trusch/jamesd/internal/logging"
	"github.com/trusch/jamesd/internal/server/backup"
	"github.com/trusch/jamesd/internal/server/blob"
	"github.com/trusch/jamesd/internal/server/blob/blobtest"
	"github.com/trusch/jamesd/internal/server/blob/memblob"
	"github.com/trusch/jamesd/internal/server/fleet"
	"github.com/trusch/jamesd/internal/server/store/memstore"
	"github.com/trusch/jamesd/pkg/james"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// database stands for the file of a store: the packets of the moment, and some bytes.
type database struct {
	packets []*james.Packet
	file    []byte
}

func (d database) Snapshot(_ context.Context, do func([]*james.Packet, int64, io.WriterTo) error) error {
	return do(d.packets, int64(len(d.file)), bytes.NewReader(d.file))
}

// source returns what a fleet with two packets keeps, and those packets.
func source(t *testing.T) (backup.Source, *fleet.Fleet) {
	t.Helper()
	blobs := memblob.New()
	f, err := fleet.New(t.Context(), fleet.Options{Store: memstore.New(), Blobs: blobs, Log: logging.Discard()})
	must(t, err)
	db := database{file: blobtest.Bytes(9, 100_000)}
	for i, sizes := range [][]int{{10, 300_000, 0}, {10, 1_500_000}} {
		resp, err := f.AddPacket(t.Context(), "alice", james.AddPacketRequest{Name: fmt.Sprint("p", i)}, bytes.NewReader(packetOf(t, sizes)))
		must(t, err)
		db.packets = append(db.packets, &resp.Packet)
	}
	w, err := blobs.Create(t.Context(), blob.Plain)
	must(t, err)
	_, err = w.Write([]byte("nothing refers to it"))
	must(t, err)
	_, err = w.Commit(t.Context(), james.Digest{})
	must(t, err)
	return backup.Source{Store: db, Blobs: blobs, Hold: f.HoldBlobs, Now: time.Now}, f
}

func packetOf(t *testing.T, sizes []int) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for i, size := range sizes {
		must(t, w.WriteHeader(&tar.Header{Name: fmt.Sprint("f", i), Mode: 0o644, Size: int64(size), ModTime: time.Unix(1, 0)}))
		_, err := w.Write(blobtest.Bytes(byte(i), size))
		must(t, err)
	}
	must(t, w.Close())
	return buf.Bytes()
}

// TestThereAndBack: what is needed arrives, and nothing else.
func TestThereAndBack(t *testing.T) {
	t.Parallel()
	src, _ := source(t)
	var out bytes.Buffer
	wrote, err := backup.Write(t.Context(), &out, src)
	must(t, err)
	var db bytes.Buffer
	blobs := memblob.New()
	read, err := backup.Read(t.Context(), &out, &db, blobs)
	must(t, err)
	if read != wrote || wrote.Packets != 2 || wrote.Blobs != 8 || wrote.Damaged != 0 {
		t.Errorf("wrote %+v, read %+v", wrote, read)
	}
	if !bytes.Equal(db.Bytes(), src.Store.(database).file) {
		t.Error("the database is another")
	}
	there := blobtest.Infos(t, blobs)
	if len(there) != 8 {
		t.Errorf("%d blobs are there", len(there))
	}
	must(t, fleet.EachNeeded(t.Context(), blobs, src.Store.(database).packets, func(p *james.Packet, err error) { t.Errorf("%s: %v", p.Name, err) }, func(b fleet.Blob) error {
		if _, ok := there[b.Digest]; !ok {
			t.Errorf("%s %s is missing", b.Part, b.Digest.Short())
		}
		return nil
	}))
}

// TestCutOff: no beginning of a backup is taken for one, and nothing of it that is
// changed, wherever that is.
func TestCutOff(t *testing.T) {
	t.Parallel()
	src, _ := source(t)
	var out bytes.Buffer
	_, err := backup.Write(t.Context(), &out, src)
	must(t, err)
	whole := out.Bytes()
	for n := 0; n < len(whole); n += max(1, len(whole)/60) {
		_, err := backup.Read(t.Context(), bytes.NewReader(whole[:n]), io.Discard, memblob.New())
		if james.KindOf(err) != james.KindCorrupt {
			t.Errorf("cut to %d of %d bytes: %v", n, len(whole), err)
		}
		changed := bytes.Clone(whole)
		changed[n] ^= 0x40
		_, err = backup.Read(t.Context(), bytes.NewReader(changed), io.Discard, memblob.New())
		if kind := james.KindOf(err); kind != james.KindCorrupt && kind != james.KindConflict {
			t.Errorf("changed at %d of %d bytes: %v", n, len(whole), err)
		}
	}
	_, err = backup.Read(t.Context(), io.MultiReader(bytes.NewReader(whole), bytes.NewReader([]byte("more"))), io.Discard, memblob.New())
	if james.KindOf(err) != james.KindCorrupt {
		t.Errorf("with something after it: %v", err)
	}
}

// bad is a blob store that has one blob damaged.
type bad struct {
	blob.Store
	digest james.Digest
	fails  error // reading it, in the middle; nil for wrong bytes
}

func (b bad) Open(ctx context.Context, d james.Digest) (blob.Reader, error) {
	r, err := b.Store.Open(ctx, d)
	if err != nil || d != b.digest {
		return r, err
	}
	return &badReader{r, b.fails, 0}, nil
}

type badReader struct {
	blob.Reader
	fails error
	n     int
}

func (b *badReader) Read(p []byte) (int, error) {
	if b.n++; b.n > 1 && b.fails != nil {
		return 0, b.fails
	}
	n, err := b.Reader.Read(p[:min(len(p), 5)])
	if b.fails == nil && n > 0 {
		p[0] ^= 1
	}
	return n, err
}

// TestDamaged: a damaged blob is left out, which both sides say; what the store has
// failed with for another reason ends it.
func TestDamaged(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name  string
		fails error
		kind  james.Kind
		gone  bool
	}{
		{"other bytes", nil, "", false},
		{"a checksum in the middle", james.Errorf(james.KindCorrupt, "blob", "is damaged"), "", false},
		{"gone", nil, "", true},
		{"away", james.Errorf(james.KindUnavailable, "disk", "is away"), james.KindUnavailable, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			src, f := source(t)
			d := james.DigestOf(blobtest.Bytes(1, 300_000))
			if row.gone {
				must(t, src.Blobs.Delete(t.Context(), d))
			} else {
				src.Blobs = bad{src.Blobs, d, row.fails}
			}
			var out bytes.Buffer
			wrote, err := backup.Write(t.Context(), &out, src)
			if james.KindOf(err) != row.kind {
				t.Fatalf("got %v", err)
			}
			blobs := memblob.New()
			read, err := backup.Read(t.Context(), &out, io.Discard, blobs)
			if row.kind != "" {
				if james.KindOf(err) != james.KindCorrupt {
					t.Errorf("what was written of it was taken: %v", err)
				}
				return
			}
			must(t, err)
			if wrote.Damaged != 1 || wrote.Blobs != 7 || read != wrote {
				t.Errorf("wrote %+v, read %+v", wrote, read)
			}
			blobtest.Absent(t, blobs, d)
			f.HoldBlobs()() // nothing holds it any more
		})
	}
}

// TestWriterFails: what w fails with is what is told.
func TestWriterFails(t *testing.T) {
	t.Parallel()
	src, _ := source(t)
	full := errors.New("no space left")
	_, err := backup.Write(t.Context(), failing{full}, src)
	if !errors.Is(err, full) || james.KindOf(err) != james.KindInterrupted {
		t.Errorf("got %v", err)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }
