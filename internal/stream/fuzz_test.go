package stream_test

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/trusch/jamesd/internal/stream"
	"github.com/trusch/jamesd/pkg/james"
)

// FuzzReader feeds a Reader anything: a frame's content, and, where raw is set, a
// stream as it comes. It must not fail otherwise than with james.KindCorrupt, and what
// it gives has to be in order.
func FuzzReader(f *testing.F) {
	for _, codec := range codecs {
		f.Add(makeStream(f, stream.Options{Codec: codec}, sample()...), true)
	}
	for _, plain := range malformed {
		f.Add(plain, false)
	}
	// Go reads the committed corpus by itself, and does not mind when it is gone.
	if kept, err := filepath.Glob("testdata/fuzz/FuzzReader/*"); err != nil || len(kept) < 10 {
		f.Fatalf("%d inputs in testdata/fuzz/FuzzReader: %v", len(kept), err)
	}
	f.Fuzz(func(t *testing.T, in []byte, raw bool) {
		if !raw {
			in = frame(t, stream.Zstd, in, 1<<20)
		}
		s := stream.NewReader(bytes.NewReader(in))
		defer s.Close()
		last := stream.Head{Entry: -1}
		for total := int64(0); total < 1<<20; {
			h, err := s.Next()
			if err == io.EOF {
				return
			}
			if err != nil {
				if james.KindOf(err) != james.KindCorrupt {
					t.Fatalf("kind %q: %v", james.KindOf(err), err)
				}
				return
			}
			checkFollows(t, last, h)
			total += 1 + readPiece(t, s, h)
			last = h
		}
	})
}

func checkFollows(t *testing.T, last, h stream.Head) {
	t.Helper()
	goesOn := h.Packet == last.Packet && h.Entry == last.Entry
	after := h.Packet > last.Packet || h.Packet == last.Packet && h.Entry > last.Entry
	if !after && !(goesOn && h.Offset == last.Offset+last.Size && h.Size > 0) || h.Offset < 0 || h.Size < 0 || h.Entry < 0 {
		t.Fatalf("%+v after %+v", h, last)
	}
}

func readPiece(t *testing.T, s *stream.Reader, h stream.Head) int64 {
	t.Helper()
	in := s.Whole()
	if h.Base != nil {
		in = s.Patch(bytes.NewReader(text(1500, 1)))
	}
	n, err := io.Copy(io.Discard, io.LimitReader(in, 1<<20))
	if err != nil && james.KindOf(err) != james.KindCorrupt {
		t.Fatalf("kind %q: %v", james.KindOf(err), err)
	}
	if err == nil && n != min(h.Size, 1<<20) {
		t.Fatalf("%d bytes of %+v", n, h)
	}
	return n
}

// TestFuzzCorpus keeps the corpus readable: Go skips what is not in its format
// only with an error that nobody sees until somebody fuzzes.
func TestFuzzCorpus(t *testing.T) {
	t.Parallel()
	kept, err := filepath.Glob("testdata/fuzz/FuzzReader/*")
	if err != nil || len(kept) < 10 {
		t.Fatalf("%d inputs: %v", len(kept), err)
	}
	for _, name := range kept {
		raw, err := os.ReadFile(name)
		if err != nil || !bytes.HasPrefix(raw, []byte("go test fuzz v1\n[]byte(")) {
			t.Errorf("%s: no input of a fuzz target: %v", name, err)
		}
	}
}
