package delta_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"github.com/trusch/jamesd/internal/delta"
	"pgregory.net/rapid"
)

// tb is what a test and a property have in common.
type tb interface {
	Helper()
	Fatalf(format string, args ...any)
}

func mustMake(t tb, old, new []byte, lim delta.Limits) *delta.Patch {
	t.Helper()
	p, err := delta.Make(context.Background(), old, new, lim)
	if err != nil {
		t.Fatalf("Make: %v", err)
	}
	return p
}

// checkMakes fails unless p makes want of old.
func checkMakes(t tb, p *delta.Patch, old, want []byte) {
	t.Helper()
	got, err := io.ReadAll(p.Reader(bytes.NewReader(old)))
	if err != nil {
		t.Fatalf("Reader: %v", err)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("the patch makes %d bytes other than the %d wanted", len(got), len(want))
	}
	if p.Size() != int64(len(want)) {
		t.Fatalf("the patch says that it makes %d bytes, and makes %d", p.Size(), len(want))
	}
}

// elf is how a library for Linux begins, on amd64.
const elf = "\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x03\x00\x3e\x00"

// drawContent draws bytes in which much comes again, as in programs.
func drawContent(t *rapid.T, name string) []byte {
	var b []byte
	if rapid.Bool().Draw(t, "program") {
		b = append(b, elf...)
	}
	for range rapid.IntRange(0, 6).Draw(t, name) {
		switch block := rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "block"); rapid.IntRange(0, 2).Draw(t, "kind") {
		case 0:
			b = append(b, block...)
		case 1:
			b = append(b, bytes.Repeat(block[:min(3, len(block))], 150)...)
		default:
			for i, c := range block {
				b = binary.LittleEndian.AppendUint32(append(b, c, 0xe8), uint32(i*100))
			}
		}
	}
	return b
}

// edit draws what is made of old by moving, changing, inserting and cutting.
func edit(t *rapid.T, old []byte) []byte {
	var b []byte
	for range rapid.IntRange(0, 6).Draw(t, "edits") {
		from := rapid.IntRange(0, len(old)).Draw(t, "from")
		part := bytes.Clone(old[from:rapid.IntRange(from, len(old)).Draw(t, "to")])
		if step := rapid.IntRange(1, 50).Draw(t, "step"); step > 5 {
			for i := 0; i < len(part); i += step {
				part[i] += byte(step)
			}
		}
		b = append(append(b, part...), rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(t, "inserted")...)
	}
	return b
}

func TestMake(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		old := drawContent(t, "old")
		want := edit(t, old)
		lim := delta.Limits{MaxMemory: rapid.SampledFrom([]int64{0, 1, 300, 1000}).Draw(t, "memory")}
		p := mustMake(t, old, want, lim)
		checkMakes(t, p, old, want)

		offset := rapid.IntRange(0, len(want)).Draw(t, "offset")
		checkMakes(t, p.From(int64(offset)), old, want[offset:])

		limit := rapid.IntRange(1, 2000).Draw(t, "limit")
		parts := p.Split(limit)
		for _, part := range parts {
			if bytes.HasPrefix(old, []byte(elf)) {
				continue // each part has all pieces
			}
			if n := len(delta.AppendBatch(nil, []*delta.Patch{part})); n > max(limit, 64)+48 {
				t.Fatalf("a part takes %d bytes, the limit was %d", n, limit)
			}
		}
		checkConcatenates(t, parts, old, want)
	})
}

// checkConcatenates fails unless the patches make want one after the other, also when
// they have been encoded and decoded.
func checkConcatenates(t tb, parts []*delta.Patch, old, want []byte) {
	t.Helper()
	decoded, err := delta.DecodeBatch(delta.AppendBatch(nil, parts))
	if err != nil {
		t.Fatalf("DecodeBatch: %v", err)
	}
	if len(decoded) != len(parts) {
		t.Fatalf("%d of %d patches were decoded", len(decoded), len(parts))
	}
	for i, part := range parts {
		if part.Size() > int64(len(want)) || decoded[i].Size() != part.Size() {
			t.Fatalf("part %d says that it makes %d bytes, decoded %d, of %d", i, part.Size(), decoded[i].Size(), len(want))
		}
		checkMakes(t, part, old, want[:part.Size()])
		checkMakes(t, decoded[i], old, want[:part.Size()])
		want = want[part.Size():]
	}
	if len(want) > 0 {
		t.Fatalf("%d bytes are missing", len(want))
	}
}

func TestFromBeyond(t *testing.T) {
	t.Parallel()
	p := mustMake(t, []byte("some old content"), []byte("some new content"), delta.Limits{})
	for _, offset := range []int64{-1, 0, 16, 17, 1 << 40} {
		want := []byte("some new content")[min(max(offset, 0), 16):]
		checkMakes(t, p.From(offset), []byte("some old content"), want)
	}
}

func TestMakeCancelled(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := delta.Make(ctx, nil, nil, delta.Limits{}); !errors.Is(err, context.Canceled) {
		t.Errorf("Make returned %v, want %v", err, context.Canceled)
	}
}

// TestMakeHard has contents whose parts occur nearly everywhere, for which comparing
// all there is to compare would take hours.
func TestMakeHard(t *testing.T) {
	t.Parallel()
	period := func(n, size int) []byte {
		return bytes.Repeat(append(make([]byte, n-1), 1), size/n)
	}
	for _, tt := range []struct {
		name     string
		old, new []byte
		most     int // bytes of the patch
	}{
		{"zeros", make([]byte, 4<<20), make([]byte, 5<<20), 1 << 10},
		{"two periods", period(1000, 2<<20), period(1001, 2<<20), 1 << 16},
		{"nothing in common", bytes.Repeat([]byte("ab"), 1<<20), bytes.Repeat([]byte("aab"), 1<<20), 3<<20 + 1<<10},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := mustMake(t, tt.old, tt.new, delta.Limits{})
			checkMakes(t, p, tt.old, tt.new)
			if p.Encoded() > tt.most {
				t.Errorf("the patch takes %d bytes, want %d at most", p.Encoded(), tt.most)
			}
		})
	}
}

// failing is a base whose disk fails.
type failing struct{}

func (failing) ReadAt([]byte, int64) (int, error) { return 0, iotest.ErrTimeout }

func TestReaderFails(t *testing.T) {
	t.Parallel()
	old := bytes.Repeat([]byte("content of a base "), 100)
	p := mustMake(t, old, old, delta.Limits{})
	if _, err := io.ReadAll(p.Reader(failing{})); !errors.Is(err, iotest.ErrTimeout) {
		t.Errorf("reading failed with %v, want %v", err, iotest.ErrTimeout)
	}
	for _, short := range []int{0, 1, len(old) - 1} {
		r := p.Reader(bytes.NewReader(old[:short]))
		if _, err := io.ReadAll(r); !isCorrupt(err) {
			t.Errorf("a base of %d bytes: %v, want it to be corrupt", short, err)
		}
	}
}

// TestReaderSteps reads as small as can be.
func TestReaderSteps(t *testing.T) {
	t.Parallel()
	old := bytes.Repeat([]byte("content of a base "), 100)
	want := append(bytes.ReplaceAll(old, []byte("base"), []byte("vase")), "end"...)
	p := mustMake(t, old, want, delta.Limits{})
	if err := iotest.TestReader(p.Reader(bytes.NewReader(old)), want); err != nil {
		t.Error(err)
	}
}
