package stream_test

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"

	"github.com/klauspost/compress/zstd"

	"github.com/trusch/jamesd/internal/stream"
	"github.com/trusch/jamesd/pkg/james"
)

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	for name, codec := range codecs {
		for _, level := range []stream.Level{stream.Fast, stream.Best} {
			raw := makeStream(t, stream.Options{Codec: codec, Level: level}, sample()...)
			for how, r := range map[string]io.Reader{
				"at once": bytes.NewReader(raw), "byte by byte": iotest.OneByteReader(bytes.NewReader(raw)),
			} {
				all, err := readStream(r, bases(sample()))
				if err != nil {
					t.Fatalf("%s, %s: %v", name, how, err)
				}
				check(t, all, sample())
			}
		}
	}
}

func TestRoundTripOfAny(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		pieces := drawPieces(t)
		codec := rapid.SampledFrom([]stream.Codec{stream.Zstd, stream.XZ}).Draw(t, "codec")
		var buf bytes.Buffer
		w, err := stream.NewWriter(&buf, stream.Options{Codec: codec})
		if err != nil {
			t.Fatalf("%v", err)
		}
		for _, p := range pieces {
			if err := write(w, p); err != nil {
				t.Fatalf("%v", err)
			}
			if rapid.IntRange(0, 9).Draw(t, "flush") == 0 {
				if err := w.Flush(); err != nil {
					t.Fatalf("%v", err)
				}
			}
		}
		if err := w.Close(); err != nil {
			t.Fatalf("%v", err)
		}
		all, err := readStream(&buf, bases(pieces))
		if err != nil {
			t.Fatalf("%v", err)
		}
		check(t, all, pieces)
	})
}

func drawPieces(t *rapid.T) []piece {
	var all []piece
	at := piece{entry: -1}
	for i := range rapid.IntRange(0, 20).Draw(t, "pieces") {
		if rapid.IntRange(0, 4).Draw(t, "packet") == 0 {
			at.packet, at.entry = at.packet+rapid.IntRange(1, 5).Draw(t, "packets"), -1
		}
		at.entry += rapid.IntRange(1, 70).Draw(t, "step")
		p := piece{packet: at.packet, entry: at.entry}
		p.content = text(rapid.IntRange(0, 3000).Draw(t, "size"), uint64(i))
		if rapid.Bool().Draw(t, "patched") && len(p.content) > 0 {
			p.base = p.content
			p.content = changed(p.base, uint64(i))
			p.from = stream.Base{Have: rapid.IntRange(0, 3).Draw(t, "have"), Entry: i*10 + rapid.IntRange(0, 9).Draw(t, "base")}
		}
		if rapid.IntRange(0, 3).Draw(t, "cut") == 0 {
			p.offset = int64(rapid.IntRange(0, len(p.content)).Draw(t, "offset"))
		}
		all = append(all, p)
	}
	return all
}

// TestLargePatch cuts what no batch can hold into pieces.
func TestLargePatch(t *testing.T) {
	t.Parallel()
	old := noise(200<<10, 1)
	p := piece{entry: 4, offset: 12345, content: append(bytes.Clone(old), noise(1200<<10, 2)...), base: old}
	raw := makeStream(t, stream.Options{Codec: stream.Zstd}, p)
	s, pieces := stream.NewReader(bytes.NewReader(raw)), 0
	defer s.Close()
	end := p.offset
	for h, err := s.Next(); err != io.EOF; h, err = s.Next() {
		if err != nil {
			t.Fatal(err)
		}
		if h.Offset != end || h.Entry != p.entry {
			t.Fatalf("a piece %+v after byte %d", h, end)
		}
		content, err := io.ReadAll(s.Patch(bytes.NewReader(old)))
		if err != nil || !bytes.Equal(content, p.content[end:][:h.Size]) {
			t.Fatalf("piece %+v: %d bytes: %v", h, len(content), err)
		}
		end += h.Size
		pieces++
	}
	if end != int64(len(p.content)) || pieces < 3 {
		t.Fatalf("%d pieces end at %d of %d", pieces, end, len(p.content))
	}
}

// TestSkip reads some pieces only, and some not to their end.
func TestSkip(t *testing.T) {
	t.Parallel()
	raw := makeStream(t, stream.Options{Codec: stream.Zstd}, sample()...)
	s, n := stream.NewReader(bytes.NewReader(raw)), 0
	defer s.Close()
	for {
		h, err := s.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Base == nil && n%2 == 0 {
			if _, err := io.CopyN(io.Discard, s.Whole(), h.Size/2); err != nil {
				t.Fatal(err)
			}
		}
		n++
	}
	if n != len(sample()) {
		t.Fatalf("%d pieces of %d", n, len(sample()))
	}
	if _, err := s.Next(); err != io.EOF {
		t.Fatalf("after the end: %v", err)
	}
}

// TestSolid has contents that are alike, with others between: with zstd as many as
// there may be, with xz, which takes long, fewer.
func TestSolid(t *testing.T) {
	t.Parallel()
	for name, between := range map[string]int{"zstd": 7 << 20, "xz": 200 << 10} {
		codec, first := codecs[name], noise(100<<10, 1)
		one := makeStream(t, stream.Options{Codec: codec}, piece{content: first})
		two := makeStream(t, stream.Options{Codec: codec}, piece{content: first},
			piece{entry: 1, content: noise(between, 2)}, piece{entry: 2, content: first})
		if extra := len(two) - len(one) - between; extra > 10<<10 {
			t.Errorf("%s: the second of two contents costs %d bytes", name, extra)
		}
	}
}

// TestFrames has contents that come as frames of zstd among others.
func TestFrames(t *testing.T) {
	t.Parallel()
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	kept := enc.EncodeAll(text(300<<10, 3), enc.EncodeAll(text(200<<10, 2), nil))
	frames := func(w io.Writer) error { _, err := w.Write(kept); return err }
	pieces := []piece{
		{content: text(1000, 1)},
		{entry: 1, content: slices.Concat(text(200<<10, 2), text(300<<10, 3))},
		{entry: 2, content: text(1000, 4)},
		{entry: 3, content: slices.Concat(text(200<<10, 2), text(300<<10, 3))},
		{entry: 4, content: slices.Concat(text(200<<10, 2), text(300<<10, 3))},
	}
	var buf bytes.Buffer
	w, err := stream.NewWriter(&buf, stream.Options{Codec: stream.Zstd})
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range pieces {
		if len(p.content) == 1000 {
			err = write(w, p)
		} else {
			err = w.Frames(stream.Head{Entry: i, Size: int64(len(p.content))}, frames)
		}
		if err == nil && i == 3 {
			err = w.Flush()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	all, err := readStream(&buf, nil)
	if err != nil {
		t.Fatal(err)
	}
	check(t, all, pieces)

	w, err = stream.NewWriter(&buf, stream.Options{Codec: stream.XZ})
	if err != nil {
		t.Fatal(err)
	}
	wantKind(t, w.Frames(stream.Head{Size: 500 << 10}, frames), james.KindInvalid)
	wantKind(t, w.Close(), james.KindInvalid)
	broken := errors.New("the disk is gone")
	w, _ = stream.NewWriter(&buf, stream.Options{Codec: stream.Zstd})
	if err := w.Frames(stream.Head{Size: 10}, func(io.Writer) error { return broken }); !errors.Is(err, broken) || !errors.Is(w.Close(), broken) {
		t.Errorf("%v", err)
	}
}

// TestSame makes a stream twice.
func TestSame(t *testing.T) {
	t.Parallel()
	for name, codec := range codecs {
		o := stream.Options{Codec: codec, Level: stream.Best}
		if !bytes.Equal(makeStream(t, o, sample()...), makeStream(t, o, sample()...)) {
			t.Errorf("%s: the same pieces make other bytes", name)
		}
	}
}

// TestSoon reads what a writer has written while it writes more: small contents come
// before a flush is due only with those after them, and all come after Flush.
func TestSoon(t *testing.T) {
	t.Parallel()
	var buf bytes.Buffer
	w, err := stream.NewWriter(&buf, stream.Options{Codec: stream.Zstd})
	if err != nil {
		t.Fatal(err)
	}
	const n, size = 400, 2 << 10 // 800 KiB
	for i := range n {
		if err := write(w, piece{entry: i, content: noise(size, uint64(i))}); err != nil {
			t.Fatal(err)
		}
	}
	all, err := readStream(bytes.NewReader(buf.Bytes()), nil)
	wantKind(t, err, james.KindCorrupt)
	if len(all) < n*3/5 {
		t.Fatalf("%d of %d small contents have come", len(all), n)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	all, _ = readStream(bytes.NewReader(buf.Bytes()), nil)
	if len(all) != n || len(all[n-1].content) != size {
		t.Fatalf("%d of %d small contents have come after Flush", len(all), n)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestWriterErrors(t *testing.T) {
	t.Parallel()
	broken := errors.New("the disk is gone")
	for name, c := range map[string]struct {
		pieces []piece
		last   func(w *stream.Writer) error
		kind   james.Kind
	}{
		"the same content again": {
			[]piece{{entry: 1, content: text(10, 1)}},
			func(w *stream.Writer) error { return write(w, piece{entry: 1, content: text(10, 1)}) }, james.KindInvalid,
		},
		"an entry before the last": {
			[]piece{{entry: 1, content: text(10, 1)}},
			func(w *stream.Writer) error { return write(w, piece{entry: 0, content: text(10, 1)}) }, james.KindInvalid,
		},
		"a packet before the last": {
			[]piece{{packet: 1, content: text(10, 1)}},
			func(w *stream.Writer) error { return write(w, piece{entry: 5, content: text(10, 1)}) }, james.KindInvalid,
		},
		"a negative offset": {
			nil, func(w *stream.Writer) error { return w.Whole(stream.Head{Offset: -1}, nil) }, james.KindInvalid,
		},
		"a content that is too short": {
			nil, func(w *stream.Writer) error { return w.Whole(stream.Head{Size: 5}, bytes.NewReader(text(4, 1))) }, james.KindCorrupt,
		},
		"a content that is too long": {
			nil, func(w *stream.Writer) error { return w.Whole(stream.Head{Size: 5}, bytes.NewReader(text(6, 1))) }, james.KindCorrupt,
		},
		"a content that fails": {
			nil, func(w *stream.Writer) error {
				return w.Whole(stream.Head{Size: 5}, iotest.ErrReader(james.Errorf(james.KindUnavailable, "blob", "%w", broken)))
			}, james.KindUnavailable,
		},
		"a base that cannot be": {
			nil, func(w *stream.Writer) error {
				return write(w, piece{content: text(10, 1), base: text(10, 2), from: stream.Base{Entry: james.MaxEntries}})
			}, james.KindInvalid,
		},
	} {
		var buf bytes.Buffer
		w, err := stream.NewWriter(&buf, stream.Options{Codec: stream.Zstd})
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range c.pieces {
			if err := write(w, p); err != nil {
				t.Fatal(err)
			}
		}
		first := c.last(w)
		if james.KindOf(first) != c.kind {
			t.Errorf("%s: %v, of kind %q", name, first, james.KindOf(first))
		}
		if again := write(w, piece{packet: 9, content: text(1, 1)}); !errors.Is(again, first) {
			t.Errorf("%s: then %v", name, again)
		}
		if err := w.Close(); !errors.Is(err, first) {
			t.Errorf("%s: closed with %v", name, err)
		}
	}
	if _, err := stream.NewWriter(io.Discard, stream.Options{}); james.KindOf(err) != james.KindInvalid {
		t.Errorf("no codec: %v", err)
	}
}
