package xz_test

import (
	"bytes"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/trusch/jamesd/internal/need"
	"github.com/trusch/jamesd/internal/xz"
)

// compressed returns raw as a stream, written in pieces of at most that many bytes.
func compressed(t testing.TB, raw []byte, dictionary, piece int) []byte {
	t.Helper()
	var buf bytes.Buffer
	w, err := xz.NewWriter(&buf, dictionary)
	if err != nil {
		t.Fatal(err)
	}
	writePieces(t, w, raw, piece)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func writePieces(t testing.TB, w io.Writer, raw []byte, piece int) {
	t.Helper()
	for len(raw) > 0 {
		n := min(piece, len(raw))
		if wrote, err := w.Write(raw[:n]); wrote != n || err != nil {
			t.Fatalf("%d of %d bytes were written: %v", wrote, n, err)
		}
		raw = raw[n:]
	}
}

func checkReads(t testing.TB, stream, want []byte, dictionary int) {
	t.Helper()
	got, err := io.ReadAll(xz.NewReader(bytes.NewReader(stream), xz.Options{MaxWindow: int64(dictionary)}))
	if err != nil || !bytes.Equal(got, want) {
		t.Fatalf("%d bytes of %d, or others: %v", len(got), len(want), err)
	}
}

// contents are of kinds that are compressed in different ways.
func contents() map[string][]byte {
	random := make([]byte, 100<<10)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(random)
	var words []byte
	r := rand.New(rand.NewPCG(1, 2))
	for len(words) < 150<<10 {
		from := r.IntN(2000)
		words = append(words, random[from:from+r.IntN(30)]...)
	}
	return map[string][]byte{
		"nothing":             nil,
		"a byte":              {7},
		"a few bytes":         []byte("abcabcab"),
		"text":                []byte(strings.Repeat("a packet is immutable; ", 3000)),
		"zeros":               make([]byte, 9<<18),
		"random":              random,
		"words":               words,
		"random in words":     append(append(bytes.Clone(words), random...), words...),
		"the same, far apart": append(append(bytes.Clone(random), words...), random...),
		"words, then zeros":   append(bytes.Clone(words), make([]byte, 1<<20)...),
	}
}

func TestWriter(t *testing.T) {
	t.Parallel()
	for name, raw := range contents() {
		for _, dictionary := range []int{4 << 10, 8 << 20} {
			checkReads(t, compressed(t, raw, dictionary, 1<<30), raw, dictionary)
		}
		first := compressed(t, raw, 64<<10, 1<<30)
		if !bytes.Equal(first, compressed(t, raw, 64<<10, 10_007)) {
			t.Errorf("%s: other bytes where it was written in pieces", name)
		}
		if most := len(raw) + len(raw)/8<<10 + 100; len(first) > most {
			t.Errorf("%s: %d bytes became %d", name, len(raw), len(first))
		}
	}
}

// TestWriterSmall has what compresses well, and so how well.
func TestWriterSmall(t *testing.T) {
	t.Parallel()
	all := contents()
	for name, most := range map[string]int{"zeros": 1000, "text": 200, "words": 60_000, "the same, far apart": 150_000} {
		if n := len(compressed(t, all[name], 8<<20, 1<<30)); n > most {
			t.Errorf("%s: %d bytes, want %d at most", name, n, most)
		}
	}
}

// TestWriterKnown has the program read what the writer makes.
func TestWriterKnown(t *testing.T) {
	t.Parallel()
	program := need.Tool(t, "xz")
	for name, raw := range contents() {
		cmd := exec.Command(program, "-dc")
		cmd.Stdin = bytes.NewReader(compressed(t, raw, 1<<20, 1<<30))
		if out, err := cmd.Output(); err != nil || !bytes.Equal(out, raw) {
			t.Errorf("%s: xz has read %d bytes of %d: %v", name, len(out), len(raw), err)
		}
	}
}

func TestWriterOfAny(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		var raw []byte
		seed := rapid.Uint64().Draw(rt, "seed")
		r := rand.New(rand.NewPCG(seed, 1))
		for range rapid.IntRange(0, 40).Draw(rt, "parts") {
			switch r.IntN(3) {
			case 0:
				for range r.IntN(300) {
					raw = append(raw, byte(r.Uint32()))
				}
			case 1:
				raw = append(raw, bytes.Repeat([]byte{byte(r.Uint32())}, r.IntN(700))...)
			default:
				from := r.IntN(len(raw) + 1)
				raw = append(raw, raw[from:from+r.IntN(len(raw)-from+1)]...)
			}
			raw = raw[:min(len(raw), 200_000)]
		}
		dictionary := 4096 << rapid.IntRange(0, 6).Draw(rt, "dictionary")
		checkReads(t, compressed(t, raw, dictionary, 1+r.IntN(50_000)), raw, dictionary)
	})
}

// TestWriterFlush reads all that there is after each flush.
func TestWriterFlush(t *testing.T) {
	t.Parallel()
	raw := contents()["random in words"]
	var buf bytes.Buffer
	w, err := xz.NewWriter(&buf, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	for n := 0; n < len(raw); n += 100_000 {
		writePieces(t, w, raw[n:min(len(raw), n+100_000)], 1<<20)
		for range 2 { // the second has nothing to do
			if err := w.Flush(); err != nil {
				t.Fatal(err)
			}
		}
		got, err := io.ReadAll(xz.NewReader(bytes.NewReader(buf.Bytes()), xz.Options{MaxWindow: 1 << 20}))
		if !errors.Is(err, io.ErrUnexpectedEOF) || !bytes.Equal(got, raw[:min(len(raw), n+100_000)]) {
			t.Fatalf("%d bytes after %d: %v", len(got), n+100_000, err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	checkReads(t, buf.Bytes(), raw, 1<<20)
}

// TestWriterRebase writes past the place where numbers of 32 bits end.
func TestWriterRebase(t *testing.T) {
	t.Parallel()
	raw := contents()["the same, far apart"]
	plain := compressed(t, raw, 1<<20, 1<<30)
	for _, left := range []int{1, 1000, 100_000} {
		var buf bytes.Buffer
		w, err := xz.NewWriter(&buf, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		xz.NearRebase(w, left)
		writePieces(t, w, raw, 1<<20)
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		checkReads(t, buf.Bytes(), raw, 1<<20)
		if !bytes.Equal(buf.Bytes(), plain) {
			t.Errorf("%d bytes before: %d bytes that are not the %d without", left, buf.Len(), len(plain))
		}
	}
}

// full fails after some bytes.
type full struct{ left int }

var errFull = errors.New("the disk is full")

func (f *full) Write(p []byte) (int, error) {
	if f.left -= len(p); f.left < 0 {
		return 0, errFull
	}
	return len(p), nil
}

func TestWriterErrors(t *testing.T) {
	t.Parallel()
	for _, dictionary := range []int{0, 4095, math.MaxInt32} {
		if _, err := xz.NewWriter(io.Discard, dictionary); err == nil {
			t.Errorf("a dictionary of %d bytes is no error", dictionary)
		}
	}
	if _, err := xz.NewWriter(&full{}, 1<<16); !errors.Is(err, errFull) {
		t.Errorf("the header: %v", err)
	}
	w, err := xz.NewWriter(&full{1000}, 1<<16)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(contents()["random"]); !errors.Is(err, errFull) {
		t.Errorf("a write: %v", err)
	}
	if err := w.Close(); !errors.Is(err, errFull) {
		t.Errorf("the close after it: %v", err)
	}
	w, err = xz.NewWriter(io.Discard, 1<<16)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte{1}); err == nil {
		t.Error("a write after the close is no error")
	}
}
