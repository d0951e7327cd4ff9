package delta_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/trusch/jamesd/internal/delta"
	"github.com/trusch/jamesd/pkg/james"
)

func isCorrupt(err error) bool { return err != nil && james.KindOf(err) == james.KindCorrupt }

// varints encodes numbers and bytes.
func varints(parts ...any) []byte {
	var b []byte
	for _, n := range parts {
		switch n := n.(type) {
		case int:
			b = binary.AppendUvarint(b, uint64(n))
		case uint64:
			b = binary.AppendUvarint(b, n)
		case int64:
			b = binary.AppendVarint(b, n)
		case string:
			b = append(b, n...)
		}
	}
	return b
}

// place is a place in the base, or a step to one, which are signed.
func place(n int64) int64 { return n }

// header is of a gzip file.
const header = "\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03"

func TestDecodeBatchRefuses(t *testing.T) {
	t.Parallel()
	const huge = math.MaxInt64
	for _, tt := range []struct {
		name  string
		batch []byte
	}{
		{"nothing", nil},
		{"more after the end", varints(0, 0)},
		{"too many patches", varints(delta.MaxPatches+1, "................")},
		{"patches that are not there", varints(2, 1)},
		{"a longer form of a number", []byte{0x80, 0x00}},
		{"a number of 64 bits", []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01}},
		{"pieces that are not there", varints(1, uint64(huge), 0)},
		{"runs that are not there", varints(1, 0, uint64(huge))},
		{"an empty piece", varints(1, 1, 0, 0, 0, 0, place(0), 0)},
		{"a copy before the base", varints(1, 1, 0, 0, 0, 5, place(-1), 0)},
		{"a copy from before the base's beginning by two steps", varints(1, 2, 0, 0, 0, 5, 5, place(0), place(-6), 0, 0)},
		{"a copy of a number of 64 bits", varints(1, 1, 0, 0, 0, "\xfb\xff\xff\xff\xff\xff\xff\xff\xff\x01", place(9), 1, "a")},
		{"an insert of a number of 64 bits", varints(1, 1, 0, 0, 0, 1, place(0), "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")},
		{"a copy beyond all numbers", varints(1, 1, 0, 0, 0, 5, place(huge), 0)},
		{"a copy of all numbers", varints(1, 1, 0, 0, 0, uint64(huge), place(0), 0)},
		{"copies that overflow", varints(1, 2, 0, 0, 0, uint64(huge/4), uint64(huge/4), place(0), place(-huge/4), 0, 0)},
		{"an insert that is not there", varints(1, 1, 0, 0, 0, 0, place(0), 5, "abcd")},
		{"inserts that overflow", varints(1, 2, 0, 0, 0, 0, 0, place(0), place(0), uint64(huge), uint64(huge), "abcd")},
		{"an empty run", varints(1, 1, 1, 0, 0, 5, place(0), 0, 0, 0)},
		{"a run beyond the copies", varints(1, 1, 1, 0, 0, 5, place(0), 0, 5, 1, "a")},
		{"a run longer than the copies", varints(1, 1, 1, 0, 0, 5, place(0), 0, 0, 6, "abcdef")},
		{"a run that is not there", varints(1, 1, 1, 0, 0, 5, place(0), 0, 0, 5, "abcd")},
		{"runs that overflow", varints(1, 1, 2, 0, 0, 5, place(0), 0, 0, 0, uint64(huge), uint64(huge), "abcd")},
		{"a run whose length has no end", varints(1, 0, 1, 0, 0, 0, "\xff")},
		{"a run whose length is no number", varints(1, 0, 1, 0, 0, 0, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff")},
		{"an insert whose length is no number", varints(1, 1, 0, 0, 0, 0, place(0), "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff")},
		{"a machine that is not known", varints(1, 1, 0, 0, 2, 9, 0, 5, 0, 5, place(0), 0)},
		{"a program with more than its pieces make", varints(1, 1, 0, 0, 1, 9, 0, 6, 0, 5, place(0), 0)},
		{"a program from beyond what its pieces make", varints(1, 1, 0, 0, 1, 9, 3, 3, 0, 5, place(0), 0)},
		{"a program's overflowing size", varints(1, 1, 0, 0, 1, 9, uint64(huge), uint64(huge), 0, 5, place(0), 0)},
		{"a program's difference before what is wanted", varints(1, 1, 1, 0, 1, 9, 3, 2, 0, 5, place(0), 0, 0, 3, "abc")},
		{"a program's shift that is not whole", varints(1, 1, 0, 0, 1, 9, 0, 5, 2, 5, place(0), 0, 1, 1)},
		{"a program's shift too far", varints(1, 1, 0, 0, 1, 9, 0, 5, 3, 5, place(0), 0, 1, 1, place(1<<40))},
		{"a program's shift beyond all numbers", varints(1, 1, 0, 0, 1, 9, 0, 5, 3, 5, place(0), 0, uint64(huge), 1, place(1))},
		{"a program's shifts that are not there", varints(1, 1, 0, 0, 1, 9, 0, 5, uint64(huge), 5, place(0), 0)},
		{"a program of too many pieces", append(varints(1, 1<<17, 0, 0, 1, 9, 0, 1<<17, 0), bytes.Repeat([]byte{1}, 4<<17)...)},
		{"a program in a gzip file", varints(1, 1, 0, 9, 7, 30, 0, 10, header, 1, 9, 0, 5, 0, 5, place(0), 0)},
		{"a gzip file of no level", varints(1, 0, 0, 3, 0, 20, 0, 10, header, 0)},
		{"a gzip file of a level beyond", varints(1, 0, 0, 10, 0, 20, 0, 10, header, 0)},
		{"a gzip file without a header", varints(1, 0, 0, 9, 0, 20, 0, 9, header[:9], 0)},
		{"a gzip file's header that is not there", varints(1, 0, 0, 9, 0, 20, 0, 10, header[:9], 0)},
		{"a gzip file of too large a base", varints(1, 0, 0, 9, 8<<20, 20, 0, 10, header, 0)},
		{"a gzip file of too large a content", varints(1, 1, 0, 9, 0, 20, 0, 10, header, 0, 8<<20, place(0), 0)},
		{"too large a gzip file", varints(1, 0, 0, 9, 0, 15<<20, 0, 10, header, 0)},
		{"the end of a gzip file beyond it", varints(1, 0, 0, 9, 0, 20, 21, 10, header, 0)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if _, err := delta.DecodeBatch(tt.batch); !isCorrupt(err) {
				t.Errorf("DecodeBatch returned %v, want it to be corrupt", err)
			}
		})
	}
}

// TestDecodeBatchAccepts shows that the batches above are refused for what they say.
func TestDecodeBatchAccepts(t *testing.T) {
	t.Parallel()
	batch := varints(1, 2, 1, 0, 0, 5, 0, place(2), place(0), 0, 3, 1, 2, "\x01\x02", "end")
	patches, err := delta.DecodeBatch(batch)
	if err != nil || len(patches) != 1 {
		t.Fatalf("%d patches: %v", len(patches), err)
	}
	checkMakes(t, patches[0], []byte("__aaaaa"), []byte("abcaaend"))

	batch = varints(1, 1, 1, 0, 1, 9, 3, 4, 3, 5, place(2), 2, 1, 1, place(4), 1, 1, "\x02", "en")
	patches, err = delta.DecodeBatch(batch)
	if err != nil || len(patches) != 1 {
		t.Fatalf("%d patches: %v", len(patches), err)
	}
	checkMakes(t, patches[0], []byte("__aaaaa"), []byte("acen"))
}

// TestDecodeBatchMemory decodes the largest batches that say the most.
func TestDecodeBatchMemory(t *testing.T) {
	empty := varints(delta.MaxPatches)
	pieces := varints(1, delta.MaxBatch/3-10, 0, 0, 0)
	for name, batch := range map[string][]byte{
		"patches": append(empty, make([]byte, delta.MaxBatch-len(empty))...),
		"pieces":  append(pieces, bytes.Repeat([]byte{1}, delta.MaxBatch-len(pieces))...),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		delta.DecodeBatch(batch)
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; took > 2*delta.MaxBatch {
			t.Errorf("%s: %d KiB were allocated for a batch of %d KiB", name, took>>10, len(batch)>>10)
		}
	}
}

// watched is a base that says when it is read where it is not.
type watched struct {
	io.ReaderAt
	bad bool
}

func (w *watched) ReadAt(b []byte, at int64) (int, error) {
	w.bad = w.bad || at < 0 || at > math.MaxInt64/2
	return w.ReaderAt.ReadAt(b, at)
}

// FuzzDecodeBatch decodes anything and applies what it gets. It must not fail
// otherwise than with james.KindCorrupt, read before the base, or make another number
// of bytes than it says; and what it accepts must encode to the same bytes.
func FuzzDecodeBatch(f *testing.F) {
	old := bytes.Repeat([]byte("content of a base 0123456789"), 40)
	if kept, err := filepath.Glob("testdata/fuzz/FuzzDecodeBatch/*"); err != nil || len(kept) < 5 {
		f.Fatalf("%d inputs in testdata/fuzz/FuzzDecodeBatch: %v", len(kept), err)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		patches, err := delta.DecodeBatch(raw)
		if err != nil {
			if !isCorrupt(err) {
				t.Fatalf("kind %q: %v", james.KindOf(err), err)
			}
			return
		}
		if again := delta.AppendBatch(nil, patches); !bytes.Equal(again, raw) {
			t.Fatalf("decoded and encoded again: %x", again)
		}
		for _, p := range patches[:min(8, len(patches))] {
			base := &watched{ReaderAt: bytes.NewReader(old)}
			n, err := io.Copy(io.Discard, io.LimitReader(p.Reader(base), 1<<20))
			if base.bad || err != nil && !isCorrupt(err) || err == nil && n != min(p.Size(), 1<<20) {
				t.Fatalf("%d of %d bytes, read out of bounds %v: %v", n, p.Size(), base.bad, err)
			}
			rest := p.From(p.Size() / 2)
			if rest.Size() != p.Size()-p.Size()/2 {
				t.Fatalf("the rest has %d of %d bytes", rest.Size(), p.Size())
			}
		}
	})
}

// TestFuzzCorpus keeps the corpus readable: Go skips what is not in its format
// only with an error that nobody sees until somebody fuzzes.
func TestFuzzCorpus(t *testing.T) {
	t.Parallel()
	kept, err := filepath.Glob("testdata/fuzz/FuzzDecodeBatch/*")
	if err != nil || len(kept) < 5 {
		t.Fatalf("%d inputs: %v", len(kept), err)
	}
	for _, name := range kept {
		raw, err := os.ReadFile(name)
		if err != nil || !bytes.HasPrefix(raw, []byte("go test fuzz v1\n[]byte(")) {
			t.Errorf("%s: no input of a fuzz target: %v", name, err)
		}
	}
}
