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
// many blocks and streams there are, and 128 MiB of blocks that are decoded ahead.
// It is not parallel, as it looks at the whole process.
func TestMemory(t *testing.T) {
	raw := sample(3 << 19)
	tool := func(args ...string) func([]byte) []byte {
		return func(raw []byte) []byte { return xzTool(t, raw, args...) }
	}
	for _, row := range []struct {
		name    string
		limit   uint64
		raw     []byte
		pack    func([]byte) []byte
		workers int
	}{
		{"-6", 9 << 20, raw, tool("-6", "-T1"), 1},
		{"-6, many blocks", 1 << 20, raw, tool("-6", "-T2", "--block-size=32768"), 1},
		{"-6, many blocks, ahead", 2 << 20, raw, tool("-6", "-T2", "--block-size=32768"), 4},
		{"-9, large blocks, ahead", 130 << 20, make([]byte, 80<<20), tool("-9", "-T2", "--block-size=8MiB"), 8},
		{"-9, many streams", 65 << 20, raw, func(raw []byte) (out []byte) {
			for part := range slices.Chunk(raw, 1<<19) {
				out = append(out, xzTool(t, part, "-9", "-T1")...)
			}
			return out
		}, 1},
	} {
		t.Run(row.name, func(t *testing.T) {
			packed := row.pack(row.raw)
			before, used := heap(), uint64(0)
			x := xz.NewReader(bytes.NewReader(packed), xz.Options{MaxWindow: window, Workers: row.workers})
			defer x.Close()
			for {
				_, err := io.CopyN(io.Discard, x, int64(len(row.raw)/20))
				used = max(used, heap()-before)
				if err == io.EOF {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			if used > row.limit {
				t.Errorf("%d KiB alive, the limit is %d", used>>10, row.limit>>10)
			}
		})
	}
}

// TestMemoryAfter: of blocks that were decoded ahead nothing is held once they were
// read, but for dictionaries. It is not parallel, either.
func TestMemoryAfter(t *testing.T) {
	raw := noise(2 << 20)
	packed := xzTool(t, raw, "-0", "-T2", "--block-size=512KiB")
	before := heap()
	x := xz.NewReader(bytes.NewReader(packed), xz.Options{MaxWindow: window, Workers: 4})
	defer x.Close()
	if _, err := io.Copy(io.Discard, x); err != nil {
		t.Fatal(err)
	}
	if used := heap() - before; used > 3<<19 {
		t.Errorf("%d KiB alive", used>>10)
	}
	runtime.KeepAlive(packed)
}

// heap returns how many bytes the collector finds alive, once they are no more and no
// fewer: workers have then done all that they may.
func heap() uint64 {
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	for last := uint64(0); ; {
		runtime.GC()
		metrics.Read(live)
		now := live[0].Value.Uint64()
		if max(last, now)-min(last, now) < 64<<10 {
			return now
		}
		last = now
	}
}
