package packed_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os/exec"
	"slices"
	"testing"
	"testing/iotest"

	"github.com/trusch/jamesd/internal/need"
	"github.com/trusch/jamesd/internal/server/blob/packed"
)

// words returns n bytes that compress well, noise n that do not.
func words(n int) []byte {
	b := bytes.Repeat([]byte("the same words in many places, "), n/31+1)[:n]
	for i := 0; i < n; i += 997 {
		b[i] = byte(i / 997)
	}
	return b
}

func noise(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

// store writes content in pieces and returns what is kept of it.
func store(t testing.TB, content []byte, compress bool, piece int) (stored []byte, isPacked bool) {
	t.Helper()
	var buf bytes.Buffer
	w := packed.NewWriter(&buf, compress)
	for part := range slices.Chunk(content, piece) {
		if n, err := w.Write(part); n != len(part) || err != nil {
			t.Fatalf("%d of %d bytes taken: %v", n, len(part), err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes(), w.Packed()
}

func load(stored []byte) ([]byte, error) {
	r, err := packed.Open(bytes.NewReader(stored), int64(len(stored)))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.NewSectionReader(r, 0, r.Size()))
}

func TestForms(t *testing.T) {
	t.Parallel()
	head, _ := store(t, words(100_000), true, 100_000)
	frame := packed.FrameSize
	half := slices.Concat(make([]byte, packed.HeadSize/2), head[packed.HeadSize/2:packed.HeadSize])
	for _, row := range []struct {
		name     string
		content  []byte
		compress bool
		packed   bool
	}{
		{"nothing", nil, true, false},
		{"little", words(50), true, false},
		{"words", words(1000), true, true},
		{"words, plain", words(1000), false, false},
		{"noise", noise(1000), true, false},
		{"one frame", words(frame), true, true},
		{"a byte more", words(frame + 1), true, true},
		{"several frames", words(3*frame - 1), true, true},
		{"several frames of noise", noise(2*frame + 5), true, false},
		{"noise after words", slices.Concat(words(frame), noise(2*frame)), true, true},
		{"words after noise", slices.Concat(noise(frame), words(frame)), true, false},
		{"what is packed", head, false, true},
		{"what is packed, to be compressed", head, true, true},
		{"several frames of it", slices.Concat(head, noise(frame)), false, true},
		{"a head that ends early", head[:30], false, true},
		{"the first byte of a head", head[:1], false, true},
		{"half a head", half, false, true},
		{"less than half a head", slices.Concat(head[:20], noise(100)), false, false},
	} {
		for _, piece := range []int{1, 39, 40, 41, 65_536, 1 << 20} {
			if piece == 1 && len(row.content) > 1000 {
				continue
			}
			t.Run(fmt.Sprintf("%s by %d", row.name, piece), func(t *testing.T) {
				t.Parallel()
				stored, isPacked := store(t, row.content, row.compress, piece)
				if isPacked != row.packed || packed.Is(stored[:min(len(stored), packed.HeadSize)]) != row.packed {
					t.Fatalf("packed: %v, looks so: %v", isPacked, packed.Is(stored))
				}
				if !isPacked {
					if !bytes.Equal(stored, row.content) {
						t.Error("what is plain is something else")
					}
					return
				}
				got, err := load(stored)
				if err != nil || !bytes.Equal(got, row.content) {
					t.Errorf("%d of %d bytes came back: %v", len(got), len(row.content), err)
				}
			})
		}
	}
}

// TestReadAt reads from everywhere.
func TestReadAt(t *testing.T) {
	t.Parallel()
	content := words(3*packed.FrameSize + 77)
	stored, _ := store(t, content, true, 10_000)
	r, err := packed.Open(bytes.NewReader(stored), int64(len(stored)))
	if err != nil {
		t.Fatal(err)
	}
	if err := iotest.TestReader(io.NewSectionReader(r, 0, r.Size()), content); err != nil {
		t.Error(err)
	}
}

// TestTool: what is packed is a zstd file for others.
func TestTool(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("zstd"); err != nil {
		need.Lack(t, need.Tools, "zstd is not installed")
	}
	content := words(2*packed.FrameSize + 5)
	stored, _ := store(t, content, true, 10_000)
	cmd := exec.CommandContext(t.Context(), "zstd", "-dc")
	cmd.Stdin = bytes.NewReader(stored)
	if got, err := cmd.Output(); err != nil || !bytes.Equal(got, content) {
		t.Errorf("%d of %d bytes came back: %v", len(got), len(content), err)
	}
}

// TestDamage flips every bit and cuts everywhere: it is always found out, also
// where the damage does not change what comes of it.
func TestDamage(t *testing.T) {
	t.Parallel()
	content := words(packed.FrameSize + 100)
	stored, _ := store(t, content, true, len(content))
	for at := range stored {
		for bit := range 8 {
			flipped := bytes.Clone(stored)
			flipped[at] ^= 1 << bit
			if !packed.Is(flipped[:packed.HeadSize]) {
				t.Fatalf("byte %d, bit %d: it looks plain", at, bit)
			}
			checkDamaged(t, content, flipped)
		}
	}
	for size := range stored {
		if size > 0 && !packed.Is(stored[:min(size, packed.HeadSize)]) {
			t.Fatalf("%d bytes of it look plain", size)
		}
		checkDamaged(t, content, stored[:size])
	}
	checkDamaged(t, content, append(bytes.Clone(stored), 0))
}

func checkDamaged(t *testing.T, content, stored []byte) {
	t.Helper()
	got, err := load(stored)
	if !errors.Is(err, packed.ErrDamaged) || !bytes.HasPrefix(content, got) {
		t.Fatalf("%d bytes were read: %v", len(got), err)
	}
}

// TestErrors: those of what is read and written are passed on.
func TestErrors(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	content := words(2 * packed.FrameSize)
	stored, _ := store(t, content, true, len(content))
	for after := range 5 {
		r, err := packed.Open(&failing{bytes.NewReader(stored), after, broken}, int64(len(stored)))
		if err == nil {
			_, err = io.ReadAll(io.NewSectionReader(r, 0, r.Size()))
		}
		if !errors.Is(err, broken) || errors.Is(err, packed.ErrDamaged) {
			t.Errorf("after %d reads: %v", after, err)
		}
	}
	for after := range 4 {
		w := packed.NewWriter(&full{after, broken}, true)
		_, err := w.Write(content)
		if err == nil {
			err = w.Close()
		}
		if !errors.Is(err, broken) {
			t.Errorf("after %d writes: %v", after, err)
		}
	}
}

type full struct {
	left int
	err  error
}

func (f *full) Write(p []byte) (int, error) {
	if f.left--; f.left < 0 {
		return 0, f.err
	}
	return len(p), nil
}

type failing struct {
	r    io.ReaderAt
	left int
	err  error
}

func (f *failing) ReadAt(b []byte, offset int64) (int, error) {
	if f.left--; f.left < 0 {
		return 0, f.err
	}
	return f.r.ReadAt(b, offset)
}

// FuzzOpen reads anything: it must not panic nor give more than it says.
func FuzzOpen(f *testing.F) {
	for _, content := range [][]byte{words(1000), words(packed.FrameSize + 1)} {
		stored, _ := store(f, content, true, len(content))
		f.Add(stored)
	}
	f.Fuzz(func(t *testing.T, stored []byte) {
		r, err := packed.Open(bytes.NewReader(stored), int64(len(stored)))
		if err != nil {
			return
		}
		got, err := io.ReadAll(io.NewSectionReader(r, 0, r.Size()))
		if err == nil && int64(len(got)) != r.Size() || err != nil && !errors.Is(err, packed.ErrDamaged) {
			t.Errorf("%d of %d bytes: %v", len(got), r.Size(), err)
		}
	})
}
