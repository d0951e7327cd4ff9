package stream_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"runtime"
	"runtime/metrics"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/zstd"

	"github.com/trusch/jamesd/internal/stream"
	"github.com/trusch/jamesd/internal/xz"
	"github.com/trusch/jamesd/pkg/james"
)

// TestTruncated ends a stream after every byte.
func TestTruncated(t *testing.T) {
	t.Parallel()
	for name, codec := range codecs {
		raw := makeStream(t, stream.Options{Codec: codec}, sample()...)
		for n := range raw {
			all, err := readStream(bytes.NewReader(raw[:n]), bases(sample()))
			if james.KindOf(err) != james.KindCorrupt {
				t.Fatalf("%s, %d of %d bytes: %d contents, %v", name, n, len(raw), len(all), err)
			}
			if n%5 != 0 {
				continue
			}
			lost := james.Errorf(james.KindInterrupted, "connection", "is lost")
			_, err = readStream(io.MultiReader(bytes.NewReader(raw[:n]), iotest.ErrReader(lost)), bases(sample()))
			if !errors.Is(err, lost) {
				t.Fatalf("%s, a connection lost after %d bytes: %v", name, n, err)
			}
		}
		_, err := readStream(bytes.NewReader(append(bytes.Clone(raw), 0)), bases(sample()))
		wantKind(t, err, james.KindCorrupt)
	}
}

// TestFlips changes bits all over a stream, in all places of a byte. All that may come of it is an error of
// KindCorrupt: the codec's checksum is over all that there is but the prefix.
func TestFlips(t *testing.T) {
	t.Parallel()
	for name, codec := range codecs {
		raw := makeStream(t, stream.Options{Codec: codec}, sample()...)
		step := 11
		if codec == stream.XZ {
			step = 83 // as it takes longer
		}
		for bit := 0; bit < 8*len(raw); bit += step {
			flipped := bytes.Clone(raw)
			flipped[bit/8] ^= 1 << (bit % 8)
			all, err := readStream(bytes.NewReader(flipped), bases(sample()))
			if err == nil {
				check(t, all, sample()) // a bit that says nothing
				continue
			}
			if james.KindOf(err) != james.KindCorrupt {
				t.Fatalf("%s, bit %d: %d contents, %v", name, bit, len(all), err)
			}
		}
	}
}

// frame returns a stream with a frame that was made of those bytes.
func frame(t testing.TB, codec stream.Codec, plain []byte, window int) []byte {
	t.Helper()
	var buf bytes.Buffer
	buf.WriteString("JBS\x01" + string(rune(codec)))
	var w io.WriteCloser
	var err error
	if codec == stream.Zstd {
		w, err = zstd.NewWriter(&buf, zstd.WithWindowSize(window), zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest))
	} else {
		w, err = xz.NewWriter(&buf, window)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(w, bytes.NewReader(plain)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// malformed are contents of frames that no writer makes.
var malformed = map[string][]byte{
	"nothing":                      {},
	"an unknown group":             {3},
	"a piece of no entry":          {1, 1, 0, 'x', 0},
	"an empty piece that goes on":  {1, 1, 1 << 2, 'x', 1, 0, 0, 0},
	"an offset that goes on":       {1, 1, 1 << 2, 'x', 1, 1, 2, 7, 'y', 0},
	"an offset of 0":               {1, 1, 1<<2 | 2, 0, 'x', 0},
	"another packet, the same":     {1, 1, 1<<2 | 1, 0, 'x', 0},
	"a packet beyond the limit":    {1, 1, 1<<2 | 1, 0xff, 0xff, 3, 'x', 0},
	"an entry beyond the limit":    {1, 1, 0xff, 0xff, 0xff, 0xff, 1, 'x', 0},
	"a size beyond the limit":      {1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 4, 'x', 0},
	"a number that is too long":    {1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1},
	"an offset beyond the limit":   {1, 1, 1<<2 | 2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 'x', 0},
	"a content without its end":    {1, 9, 4, 'x'},
	"a batch that is too large":    {2, 0xff, 0xff, 0xff, 0x7f},
	"a batch without its end":      {2, 9, 1},
	"an empty batch":               {2, 1, 0, 0},
	"a batch that is none":         {2, 3, 1, 9, 9, 0},
	"something after the end":      {1, 1, 4, 'x', 0, 0},
	"a second stream in the frame": append([]byte{0}, "JBS\x01z"...),
}

func TestMalformed(t *testing.T) {
	t.Parallel()
	for name, codec := range codecs {
		for what, plain := range malformed {
			all, err := readStream(bytes.NewReader(frame(t, codec, plain, 1<<20)), bases(nil))
			if james.KindOf(err) != james.KindCorrupt {
				t.Errorf("%s, %s: %d contents, %v", name, what, len(all), err)
			}
		}
		all, err := readStream(bytes.NewReader(frame(t, codec, []byte{1, 1, 4, 'x', 0}, 1<<20)), nil)
		if err != nil || len(all) != 1 {
			t.Errorf("%s, a stream that is sound: %v", name, err)
		}
	}
	for what, raw := range map[string]string{
		"empty": "", "another magic": "JBT\x01z", "another version": "JBS\x02z", "another codec": "JBS\x01q", "no frame": "JBS\x01zhello world",
	} {
		_, err := readStream(bytes.NewReader([]byte(raw)), nil)
		if james.KindOf(err) != james.KindCorrupt {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestShortBase reads a patch from a base that is not what it was, and goes on.
func TestShortBase(t *testing.T) {
	t.Parallel()
	s := stream.NewReader(bytes.NewReader(makeStream(t, stream.Options{Codec: stream.Zstd}, sample()...)))
	defer s.Close()
	failed, n := 0, 0
	for h, err := s.Next(); err != io.EOF; h, err = s.Next() {
		if err != nil {
			t.Fatal(err)
		}
		n++
		if h.Base == nil {
			continue
		}
		if _, err := io.Copy(io.Discard, s.Patch(bytes.NewReader(text(100, 1)))); err != nil {
			wantKind(t, err, james.KindCorrupt)
			failed++
		}
	}
	if failed != 3 || n != len(sample()) {
		t.Fatalf("%d of 3 patches failed, %d pieces of %d came", failed, n, len(sample()))
	}
}

// TestWindow has streams that ask for more memory than there may be.
func TestWindow(t *testing.T) {
	t.Parallel()
	const size = 300 << 10 // what is smaller than a block has the window of its content
	plain := binary.AppendUvarint([]byte{1}, size)
	plain = append(append(append(plain, 4), make([]byte, size)...), 0)
	for name, codec := range codecs {
		if _, err := readStream(bytes.NewReader(frame(t, codec, plain, stream.Window)), nil); err != nil {
			t.Errorf("%s, the largest window: %v", name, err)
		}
		_, err := readStream(bytes.NewReader(frame(t, codec, plain, 2*stream.Window)), nil)
		if james.KindOf(err) != james.KindCorrupt {
			t.Errorf("%s, a window twice as large: %v", name, err)
		}
	}
}

// TestMemory measures what a reader holds in the middle of a stream: one that fills the
// window of zstd, which grows; that of xz is there from the beginning. It is not
// parallel, as it looks at the whole process.
func TestMemory(t *testing.T) {
	old := noise(300<<10, 1)
	for name, large := range map[string]int{"zstd": 10 << 20, "xz": 500 << 10} {
		raw := makeStream(t, stream.Options{Codec: codecs[name]},
			piece{entry: 0, content: bytes.Repeat(noise(64<<10, 2), 2)},
			piece{entry: 1, content: append(bytes.Clone(old), noise(500<<10, 3)...), base: old},
			piece{entry: 2, content: bytes.Repeat(noise(64<<10, 4), large>>16)})
		before := heap()
		s := stream.NewReader(bytes.NewReader(raw))
		most := int64(0)
		for h, err := s.Next(); err != io.EOF; h, err = s.Next() {
			if err != nil {
				t.Fatal(err)
			}
			if h.Base == nil {
				if _, err := io.CopyN(io.Discard, s.Whole(), h.Size/2); err != nil {
					t.Fatal(err)
				}
			}
			most = max(most, heap()-before)
		}
		t.Logf("%s: %d KiB", name, most>>10)
		if most > 16<<20 || most < 4<<20 {
			t.Errorf("%s: reading takes %d KiB", name, most>>10)
		}
		s.Close()
		runtime.KeepAlive(raw)
	}
}

// heap returns the bytes that the collector finds alive. What a pool holds is let go of
// the second time.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(live)
	return int64(live[0].Value.Uint64())
}
