package supply_test

import (
	"io"
	"testing"

	"github.com/trusch/jamesd/pkg/james"
)

// TestDamaged: a content that is damaged at rest comes whole to nobody, and from then
// on its packet does not count as having it, so that devices take the archive.
func TestDamaged(t *testing.T) {
	t.Parallel()
	flip := func(p []byte) error {
		if len(p) > 0 {
			p[len(p)/2] ^= 1
		}
		return nil
	}
	fail := func([]byte) error { return james.Errorf(james.KindCorrupt, "blob", "is damaged") }
	for _, row := range []struct {
		name string
		rot  func([]byte) error
		req  func(old, new james.Packet) *james.BlobsRequest // nil for patches
	}{
		{"seen by the store", fail, func(_, new james.Packet) *james.BlobsRequest { return ask(new, []int{0}) }},
		{"seen by a device", flip, func(_, new james.Packet) *james.BlobsRequest {
			req := ask(new, []int{0})
			req.Packets[0].Whole = req.Packets[0].Entries
			return req
		}},
		{"seen by the store, while a patch is made", fail, nil},
		{"seen while a patch is made", flip, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 64<<20)
			old := w.add("p", "v1", contents{"f": noisy(1, 200_000)})
			new := w.add("p", "v2", contents{"f": edited(noisy(1, 200_000), 10_000)})
			d := w.manifest(new).Entries[0].Digest
			rot := func(blob james.Digest, p []byte) error {
				if blob == d {
					return row.rot(p)
				}
				return nil
			}
			w.blobs.rot.Store(&rot)
			if row.req == nil {
				w.has("d", old)
				w.want("d", new)
				w.run()
			} else if s, err := w.Stream(t.Context(), row.req(old, new)); err == nil {
				if _, err := io.Copy(io.Discard, s); james.KindOf(err) != james.KindCorrupt {
					t.Errorf("the stream ends with %v", err)
				}
				must(t, s.Close())
			} else if james.KindOf(err) != james.KindCorrupt {
				t.Fatal(err)
			}
			if p := w.fleet.Known(new.Digest); p.Contents {
				t.Error("it counts as having its contents")
			}
			if p := w.fleet.Known(old.Digest); !p.Contents {
				t.Error("another packet does not count as having its contents")
			}
			if _, err := w.Stream(t.Context(), ask(new, []int{0})); james.KindOf(err) != james.KindNotFound {
				t.Errorf("it is streamed: %v", err)
			}
		})
	}
}
