package xz_test

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/trusch/jamesd/internal/xz"
)

// TestStreams reads what may follow one another in one file.
func TestStreams(t *testing.T) {
	t.Parallel()
	raw := sample(20_000)
	first, second := pack(t, raw[:9_000]), pack(t, raw[9_000:])
	zeros := make([]byte, 8)
	for name, packed := range map[string][]byte{
		"one":                pack(t, raw),
		"two":                slices.Concat(first, second),
		"an empty one":       slices.Concat(first, pack(t, nil), second),
		"padding inside":     slices.Concat(first, zeros[:4], second),
		"padding at the end": slices.Concat(first, second, zeros),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := mustUnpack(t, packed); !bytes.Equal(got, raw) {
				t.Errorf("%d bytes came out, which are others", len(got))
			}
			if got, err := unpackFrom(iotest.OneByteReader(bytes.NewReader(packed))); err != nil || !bytes.Equal(got, raw) {
				t.Errorf("byte by byte: %d bytes, %v", len(got), err)
			}
			if got, err := unpackFrom(iotest.DataErrReader(bytes.NewReader(packed))); err != nil || !bytes.Equal(got, raw) {
				t.Errorf("with the end beside the last bytes: %d bytes, %v", len(got), err)
			}
		})
	}
}

// TestTools reads what the system's xz makes, at all the settings that change the
// format of its output.
func TestTools(t *testing.T) {
	t.Parallel()
	raw := sample(100_000)
	for _, args := range []string{
		"-0", "-6", "-9e", "-T2 --block-size=30000", "-T1 --block-size=20000", "-6 --check=none",
		"--check=crc32", "--check=sha256", "--lzma2=dict=64MiB,lc=0,lp=4,pb=0",
	} {
		t.Run(args, func(t *testing.T) {
			t.Parallel()
			packed := xzTool(t, raw, strings.Fields(args)...)
			if got := mustUnpack(t, packed); !bytes.Equal(got, raw) {
				t.Error("something else came out")
			}
			for _, less := range []int{1, 4, 12, 29, len(packed) / 2} {
				if _, err := unpack(packed[:len(packed)-less]); !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Errorf("%d bytes less: %v", less, err)
				}
			}
		})
	}
}

// TestTruncated: no part of a stream is a stream.
func TestTruncated(t *testing.T) {
	t.Parallel()
	packed := pack(t, sample(5_000))
	for n := 1; n < len(packed); n++ {
		if _, err := unpack(packed[:n]); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("the first %d of %d bytes: %v", n, len(packed), err)
		}
	}
}

// TestFlipped changes every byte in turn: it is refused, or reads the same.
func TestFlipped(t *testing.T) {
	t.Parallel()
	raw := sample(2_000)
	for name, whole := range map[string][]byte{
		"one block":   pack(t, raw),
		"many blocks": xzTool(t, raw, "-T2", "--block-size=700"),
	} {
		for i := range whole {
			flipped := bytes.Clone(whole)
			flipped[i] ^= 0x10
			if got, err := unpack(flipped); err == nil && !bytes.Equal(got, raw) {
				t.Errorf("%s, byte %d: something else came out", name, i)
			}
		}
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	raw := sample(20_000)
	packed := pack(t, raw)
	check := bytes.Clone(packed)
	check[len(check)-28] ^= 1
	for _, row := range []struct {
		name   string
		packed []byte
		is     error
		says   string
	}{
		{"something else", []byte("something else"), xz.ErrMagic, "no xz stream"},
		{"something else behind it", append(bytes.Clone(packed), "something else"...), xz.ErrMagic, ""},
		{"three zeros behind it", append(bytes.Clone(packed), 0, 0, 0), io.ErrUnexpectedEOF, ""},
		{"padding before it", append(make([]byte, 4), packed...), xz.ErrMagic, ""},
		{"another filter", xzTool(t, raw, "--x86", "--lzma2"), xz.ErrFilter, "besides LZMA2"},
		{"a wrong checksum", check, nil, "checksum is wrong"},
		{"a dictionary code that does not exist", setDict(bytes.Clone(packed), 41), nil, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			_, err := unpack(row.packed)
			if err == nil || row.is != nil && !errors.Is(err, row.is) || !strings.Contains(err.Error(), row.says) {
				t.Errorf("error %v, want %v that says %q", err, row.is, row.says)
			}
		})
	}
}

// TestReadError: what the reader below fails with is passed on.
func TestReadError(t *testing.T) {
	t.Parallel()
	packed := pack(t, sample(20_000))
	broken := errors.New("connection reset")
	for _, n := range []int{0, 3, 100, len(packed) / 2, len(packed) - 1, len(packed)} {
		r := io.MultiReader(bytes.NewReader(packed[:n]), iotest.ErrReader(broken))
		if _, err := unpackFrom(r); !errors.Is(err, broken) {
			t.Errorf("after %d bytes: %v", n, err)
		}
	}
}

func TestClose(t *testing.T) {
	t.Parallel()
	r := xz.NewReader(bytes.NewReader(pack(t, sample(20_000))), xz.Options{MaxWindow: window})
	if _, err := r.Read(make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(r.Close(), r.Close()); err != nil {
		t.Error(err)
	}
	if n, err := r.Read(make([]byte, 10)); n != 0 || err == nil || err == io.EOF {
		t.Errorf("read after close: %d bytes, %v", n, err)
	}
}
