package api_test

import (
	"io"
	"testing"

	"github.com/trusch/jamesd/internal/server/api"
	"github.com/trusch/jamesd/pkg/james"
)

// TestObserveDownloads: how contents went out is told, and what that spared the device
// once it has gone out to its end.
func TestObserveDownloads(t *testing.T) {
	t.Parallel()
	told := make(chan api.Observation, 20)
	w := newWorld(t, func(o *api.Options) {
		o.Observe = func(ob api.Observation) {
			if ob.Way != "" {
				told <- ob
			}
		}
	})
	p := w.files(t, "p", "v1", noisy(1, 300_000), noisy(2, 100_000))
	req := w.wants(t, "device-1", p, 0)
	const spared = 100_000 // the other file; an archive of noise is as large as that
	for _, row := range []struct {
		name   string
		header []string
		status int
		saved  int64
	}{
		{"whole", nil, 200, spared},
		{"the rest", []string{"Range", "bytes=200000-"}, 206, spared},
		{"a part", []string{"Range", "bytes=5-9"}, 206, 0},
	} {
		got := w.askBlobs(t, "device-1", req, row.header...)
		ob := <-told
		if ob.Way != api.ByStream || ob.Status != row.status || ob.Out != int64(len(got.body)) || ob.Saved.Reused != row.saved || ob.Saved.Patched != 0 {
			t.Errorf("%s: told of %+v", row.name, ob)
		}
	}
	r, err := w.client(t, "device-1").Archive(t.Context(), p.Digest, p.Archive, 0)
	must(t, err)
	n, err := io.Copy(io.Discard, r)
	must(t, err)
	r.Close()
	if ob := <-told; ob.Way != api.ByArchive || ob.Out != n || ob.Saved.Reused != 0 {
		t.Errorf("of an archive it was told %+v", ob)
	}
	req.Offer = true
	w.askBlobs(t, "device-1", req)
	w.client(t, "device-1").Manifest(t.Context(), p.Digest)
	w.client(t, "device-2").ArchiveOf(t.Context(), james.DigestOf(nil))
	if len(told) != 0 {
		t.Errorf("of what is no download it was told %+v", <-told)
	}
}
