package xz_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/trusch/jamesd/internal/need"
	"github.com/trusch/jamesd/internal/xz"
)

// compress returns raw as a stream, written in pieces of at most that many bytes.
func compress(raw []byte, dictionary, piece int) ([]byte, error) {
	var buf bytes.Buffer
	w, err := xz.NewWriter(&buf, dictionary)
	if err == nil {
		err = writePieces(w, raw, piece)
	}
	if err == nil {
		err = w.Close()
	}
	return buf.Bytes(), err
}

func compressed(t testing.TB, raw []byte, dictionary, piece int) []byte {
	t.Helper()
	packed, err := compress(raw, dictionary, piece)
	if err != nil {
		t.Fatal(err)
	}
	return packed
}

func writePieces(w io.Writer, raw []byte, piece int) error {
	for part := range slices.Chunk(raw, piece) {
		if n, err := w.Write(part); n != len(part) || err != nil {
			return fmt.Errorf("%d of %d bytes were written: %w", n, len(part), err)
		}
	}
	return nil
}

func checkReads(t testing.TB, stream, want []byte, dictionary int) {
	t.Helper()
	got, err := io.ReadAll(xz.NewReader(bytes.NewReader(stream), xz.Options{MaxWindow: int64(dictionary)}))
	if err != nil || !bytes.Equal(got, want) {
		t.Fatalf("%d bytes of %d, or others: %v", len(got), len(want), err)
	}
}

// content is a content, and how many bytes it may become with a dictionary that holds
// all of it; 0 where that says nothing.
type content struct {
	raw  []byte
	most int
}

// contents are of kinds that are compressed in different ways.
var contents = sync.OnceValue(func() map[string]content {
	random := noise(80 << 10) // more than a chunk that is not compressed can hold
	var words []byte
	r := rand.New(rand.NewPCG(1, 2))
	for len(words) < 40<<10 {
		from := r.IntN(2000)
		words = append(words, random[from:from+r.IntN(30)]...)
	}
	return map[string]content{
		"nothing":             {},
		"a byte":              {raw: []byte{7}},
		"a few bytes":         {raw: []byte("abcabcab")},
		"text":                {[]byte(strings.Repeat("a packet is immutable; ", 1000)), 200},
		"zeros":               {make([]byte, 100<<10), 200},
		"random":              {raw: random},
		"words":               {words, 10_000},
		"random in words":     {raw: slices.Concat(words, random, words)},
		"the same, far apart": {slices.Concat(random, words, random), 100_000},
		"words, then zeros":   {raw: append(bytes.Clone(words), make([]byte, 50<<10)...)},
	}
})

// dictionaries are smaller than most contents, than some, and than none.
var dictionaries = []int{4 << 10, 64 << 10, 8 << 20}

// written is each of the contents as a stream, by the dictionary.
var written = sync.OnceValue(func() map[string]map[int][]byte {
	all := map[string]map[int][]byte{}
	for name, c := range contents() {
		all[name] = map[int][]byte{}
		for _, dictionary := range dictionaries {
			packed, err := compress(c.raw, dictionary, 1<<30)
			if err != nil {
				panic(err)
			}
			all[name][dictionary] = packed
		}
	}
	return all
})

func TestWriter(t *testing.T) {
	t.Parallel()
	for name, c := range contents() {
		packed := written()[name]
		for dictionary, stream := range packed {
			checkReads(t, stream, c.raw, dictionary)
			if most := len(c.raw) + len(c.raw)/(8<<10) + 100; len(stream) > most {
				t.Errorf("%s: %d bytes became %d", name, len(c.raw), len(stream))
			}
		}
		if n := len(packed[8<<20]); c.most > 0 && n > c.most {
			t.Errorf("%s: %d bytes, want %d at most", name, n, c.most)
		}
		if !bytes.Equal(packed[64<<10], compressed(t, c.raw, 64<<10, 10_007)) {
			t.Errorf("%s: other bytes where it was written in pieces", name)
		}
	}
}

// TestWriterKnown has the program read what the writer makes.
func TestWriterKnown(t *testing.T) {
	t.Parallel()
	program := need.Tool(t, "xz")
	for name, c := range contents() {
		for dictionary, packed := range written()[name] {
			cmd := exec.Command(program, "-dc")
			cmd.Stdin = bytes.NewReader(packed)
			if out, err := cmd.Output(); err != nil || !bytes.Equal(out, c.raw) {
				t.Errorf("%s, %d: xz has read %d bytes of %d: %v", name, dictionary, len(out), len(c.raw), err)
			}
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

// TestWriterLarge fills a chunk with content, and forgets what is far back.
func TestWriterLarge(t *testing.T) {
	t.Parallel()
	raw := append(make([]byte, 2<<20), contents()["words"].raw...)
	checkReads(t, compressed(t, raw, 16<<10, 40_009), raw, 16<<10)
}

// TestWriterFlush reads all that there is after each flush.
func TestWriterFlush(t *testing.T) {
	t.Parallel()
	raw := contents()["random in words"].raw
	var buf bytes.Buffer
	w, err := xz.NewWriter(&buf, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for part := range slices.Chunk(raw, 60_000) {
		if err := writePieces(w, part, 1<<20); err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second has nothing to do
			if err := w.Flush(); err != nil {
				t.Fatal(err)
			}
		}
		n += len(part)
		got, err := io.ReadAll(xz.NewReader(bytes.NewReader(buf.Bytes()), xz.Options{MaxWindow: 1 << 20}))
		if !errors.Is(err, io.ErrUnexpectedEOF) || !bytes.Equal(got, raw[:n]) {
			t.Fatalf("%d bytes after %d: %v", len(got), n, err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	checkReads(t, buf.Bytes(), raw, 1<<20)
}

// TestWriterRebase writes past the place where numbers of 32 bits end, at once and
// where what is far back is meant again.
func TestWriterRebase(t *testing.T) {
	t.Parallel()
	raw, plain := contents()["the same, far apart"].raw, written()["the same, far apart"][8<<20]
	for _, left := range []int{1, 100_000} {
		var buf bytes.Buffer
		w, err := xz.NewWriter(&buf, 8<<20)
		if err != nil {
			t.Fatal(err)
		}
		xz.NearRebase(w, left)
		if err := errors.Join(writePieces(w, raw, 1<<20), w.Close()); err != nil {
			t.Fatal(err)
		}
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
	if _, err := w.Write(contents()["random"].raw); !errors.Is(err, errFull) {
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
