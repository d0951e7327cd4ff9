package stream_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/trusch/jamesd/internal/delta"
	"github.com/trusch/jamesd/internal/stream"
	"github.com/trusch/jamesd/pkg/james"
)

var codecs = map[string]stream.Codec{"zstd": stream.Zstd, "xz": stream.XZ}

// piece is what a test writes: content[offset:], whole or made of base.
type piece struct {
	packet, entry int
	offset        int64
	content, base []byte
	from          stream.Base
}

// got is a piece as it was read, its content without what is there before.
type got struct {
	head    stream.Head
	content []byte
}

func makeStream(t testing.TB, o stream.Options, pieces ...piece) []byte {
	t.Helper()
	var buf bytes.Buffer
	w, err := stream.NewWriter(&buf, o)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pieces {
		if err := write(w, p); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func write(w *stream.Writer, p piece) error {
	h := stream.Head{Packet: p.packet, Entry: p.entry, Offset: p.offset, Size: int64(len(p.content)) - p.offset}
	if p.base == nil {
		return w.Whole(h, bytes.NewReader(p.content[p.offset:]))
	}
	patch, err := delta.Make(context.Background(), p.base, p.content, delta.Limits{})
	if err != nil {
		return err
	}
	h.Base = &p.from
	return w.Patch(h, patch.From(p.offset))
}

// readStream reads all pieces, those of one content joined. base returns the content
// of a base.
func readStream(r io.Reader, base func(stream.Base) []byte) ([]got, error) {
	s := stream.NewReader(r)
	defer s.Close()
	var all []got
	for {
		h, err := s.Next()
		if err == io.EOF {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		in := s.Whole()
		if h.Base != nil {
			in = s.Patch(bytes.NewReader(base(*h.Base)))
		}
		content, err := io.ReadAll(io.LimitReader(in, 64<<20))
		if err == nil && int64(len(content)) != h.Size {
			err = errors.New("a piece of another size than its head says")
		}
		all = join(all, got{h, content})
		if err != nil {
			return all, err
		}
	}
}

func join(all []got, g got) []got {
	if n := len(all) - 1; n >= 0 && all[n].head.Packet == g.head.Packet && all[n].head.Entry == g.head.Entry {
		all[n].content = append(all[n].content, g.content...)
		return all
	}
	return append(all, g)
}

// check compares what was read with what was written.
func check(t interface{ Fatalf(string, ...any) }, all []got, want []piece) {
	if len(all) != len(want) {
		t.Fatalf("%d contents of %d", len(all), len(want))
	}
	for i, g := range all {
		w := want[i]
		h := g.head
		if h.Packet != w.packet || h.Entry != w.entry || h.Offset != w.offset || (h.Base != nil) != (w.base != nil) || h.Base != nil && *h.Base != w.from {
			t.Fatalf("content %d: head %+v of %+v", i, h, w)
		}
		if !bytes.Equal(g.content, w.content[w.offset:]) {
			t.Fatalf("content %d, %+v: %d other bytes than the %d that were written", i, h, len(g.content), int64(len(w.content))-w.offset)
		}
	}
}

// noise returns n bytes that do not compress, the same for one seed.
func noise(n int, seed uint64) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)}).Read(b)
	return b
}

// text returns n bytes that compress.
func text(n int, seed uint64) []byte {
	r := rand.New(rand.NewPCG(seed, 1))
	words := []string{"the ", "packet ", "device ", "of ", "blob ", "journal ", "tag\n", "0x7f45 "}
	var b []byte
	for len(b) < n {
		b = append(b, words[r.IntN(len(words))]...)
	}
	return b[:n]
}

// changed returns b with some bytes changed, some inserted and some removed.
func changed(b []byte, seed uint64) []byte {
	r := rand.New(rand.NewPCG(seed, 2))
	out := bytes.Clone(b)
	for range 1 + len(b)/500 {
		if at := r.IntN(len(out) + 1); at < len(out) {
			out[at] += byte(1 + r.IntN(3))
		}
	}
	at, n := r.IntN(len(out)+1), r.IntN(200)
	out = append(append(bytes.Clone(out[:at]), noise(n, seed)...), out[min(len(out), at+r.IntN(100)):]...)
	return out
}

func wantKind(t *testing.T, err error, kind james.Kind) {
	t.Helper()
	if err == nil || james.KindOf(err) != kind {
		t.Fatalf("%v, of kind %q; want one of kind %q", err, james.KindOf(err), kind)
	}
}

// sample is a stream of all there is: several packets, contents whole and patched, a
// content that goes on, an empty one.
var sample = sync.OnceValue(func() []piece {
	old := text(1500, 1)
	return []piece{
		{packet: 0, entry: 0, content: text(200, 2)},
		{packet: 0, entry: 3, content: changed(old, 3), base: old, from: stream.Base{Have: 1, Entry: 7}},
		{packet: 0, entry: 4, content: changed(old, 4), base: old, from: stream.Base{Have: 1, Entry: 8}},
		{packet: 0, entry: 90, content: []byte{}},
		{packet: 2, entry: 5, offset: 300, content: changed(old, 5), base: old, from: stream.Base{Have: 0, Entry: 2}},
		{packet: 2, entry: 6, content: noise(50, 6)},
		{packet: 3, entry: 0, offset: 10, content: text(100, 7)},
	}
})

// bases returns the base of a piece of pieces.
func bases(pieces []piece) func(stream.Base) []byte {
	return func(b stream.Base) []byte {
		for _, p := range pieces {
			if p.base != nil && p.from == b {
				return p.base
			}
		}
		return nil
	}
}
