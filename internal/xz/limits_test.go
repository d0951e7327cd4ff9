package xz_test

import (
	"bytes"
	"errors"
	"io"
	"runtime"
	"runtime/metrics"
	"slices"
	"testing"

	"github.com/trusch/jamesd/internal/xz"
)

// TestWindow: no block of a stream gets a larger dictionary than is allowed,
// wherever it is.
func TestWindow(t *testing.T) {
	t.Parallel()
	raw := sample(20_000)
	half := len(raw) / 2
	dict := func(code int, raw []byte) []byte { return setDict(pack(t, raw), code) }
	for _, row := range []struct {
		name   string
		packed []byte
		size   int64 // that is refused
	}{
		{"as large as allowed", dict(28, raw), 0},
		{"larger", dict(29, raw), 96 << 20},
		{"4 GiB", dict(40, raw), 1<<32 - 1},
		{"as large as allowed, in the second stream", slices.Concat(dict(4, raw[:half]), dict(28, raw[half:])), 0},
		{"4 GiB in the second stream", slices.Concat(dict(4, raw[:half]), dict(40, raw[half:])), 1<<32 - 1},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			_, err := unpack(row.packed)
			var refused *xz.WindowError
			if errors.As(err, &refused) != (row.size != 0) || row.size != 0 && (refused.Size != row.size || refused.Max != window) {
				t.Errorf("%v", err)
			}
			if row.size == 0 && err != nil {
				t.Error(err)
			}
		})
	}
}

// TestMemory: what is alive while a stream is read is its dictionary, however
// many blocks and streams there are. It is not parallel, as it looks at the whole
// process.
func TestMemory(t *testing.T) {
	raw, large := sample(3<<20), make([]byte, 80<<20)
	for _, row := range []struct {
		name    string
		limit   int64
		pack    func() []byte
		workers int
	}{
		{"-6", 9 << 20, func() []byte { return xzTool(t, raw, "-6", "-T1") }, 1},
		{"-6, many blocks", 9 << 20, func() []byte { return xzTool(t, raw, "-6", "-T2", "--block-size=32768") }, 1},
		{"-6, many blocks, ahead", 4 << 20, func() []byte { return xzTool(t, raw, "-6", "-T2", "--block-size=32768") }, 4},
		{"-9, large blocks, ahead", 130 << 20, func() []byte { return xzTool(t, large, "-9", "-T2", "--block-size=8MiB") }, 8},
		{"-9, many streams", 65 << 20, func() (out []byte) {
			for part := range slices.Chunk(raw, 1<<20) {
				out = append(out, xzTool(t, part, "-9", "-T1")...)
			}
			return out
		}, 1},
	} {
		t.Run(row.name, func(t *testing.T) {
			packed := row.pack()
			w := &heapWatch{r: bytes.NewReader(packed), every: len(packed) / 8}
			w.look()
			before := w.peak
			x := xz.NewReader(w, xz.Options{MaxWindow: window, Workers: row.workers})
			for err := error(nil); err != io.EOF; _, err = io.CopyN(io.Discard, x, 4<<20) {
				if err != nil {
					t.Fatal(err)
				}
				w.look()
			}
			used := w.peak - before
			t.Logf("%d KiB alive", used>>10)
			if used > row.limit {
				t.Errorf("%d KiB alive, the limit is %d", used>>10, row.limit>>10)
			}
			x.Close()
		})
	}
}

// heapWatch measures the live heap now and then while it is read.
type heapWatch struct {
	r        io.Reader
	n, every int
	peak     int64
}

// look counts what the collector finds alive, and not what workers have let go of since.
// What a pool holds is let go of the second time.
func (h *heapWatch) look() {
	runtime.GC()
	runtime.GC()
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(live)
	h.peak = max(h.peak, int64(live[0].Value.Uint64()))
}

func (h *heapWatch) Read(p []byte) (int, error) {
	n, err := h.r.Read(p)
	if h.n += n; h.n >= h.every || err == io.EOF {
		h.n = 0
		h.look()
	}
	return n, err
}
