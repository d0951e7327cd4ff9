package archive_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/trusch/jamesd/internal/archive"
	"github.com/trusch/jamesd/pkg/james"
)

// sample is a small archive with everything that has a place in the format.
func sample(t testing.TB) []byte {
	return makeTar(t, dir("./"), dir("etc"), file("etc/app.conf", "port=1\n"), file(strings.Repeat("l", 120), "long\n"),
		symlink("etc/link", "/etc/app.conf"), hardlink("etc/hard", "etc/app.conf"), file("bin/app", noise(700)))
}

// noise returns n bytes that do not compress.
func noise(n int) string {
	b := make([]byte, n)
	rng := rand.NewChaCha8([32]byte{1})
	rng.Read(b)
	return string(b)
}

// TestScanTruncated cuts an archive of each format everywhere: no part of an
// archive is an archive.
func TestScanTruncated(t *testing.T) {
	t.Parallel()
	for _, format := range formats {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			whole := pack(t, format, sample(t))
			mustScan(t, whole)
			for n := range whole {
				if !probed(format, n) {
					continue
				}
				_, _, err := scan(whole[:n])
				switch {
				case err == nil:
					t.Fatalf("the first %d of %d bytes were accepted", n, len(whole))
				case james.KindOf(err) != james.KindInvalid:
					t.Fatalf("the first %d bytes: kind %q: %v", n, james.KindOf(err), err)
				case n > blockSize && !strings.Contains(err.Error(), "truncated") && !strings.Contains(err.Error(), "too early"):
					t.Fatalf("the first %d bytes: %v", n, err)
				}
			}
		})
	}
}

const blockSize = 512

// probed reports whether an archive is probed at a byte: bzip2 takes its time to begin,
// and what is inside a block of a tar is alike.
func probed(format string, n int) bool {
	switch in := n % blockSize; format {
	case "tar":
		return in < 3 || in > blockSize-3 || in%17 == 0
	case "bzip2":
		return n%5 == 0
	}
	return true
}

func TestScanTruncatedNamesTheEntry(t *testing.T) {
	t.Parallel()
	raw := makeTar(t, file("a", "x"), file("b", noise(2000)))
	tests := []struct {
		name string
		raw  []byte
		says string
	}{
		{"in a header", raw[:1024+100], "after a; it is truncated"},
		{"in content", raw[:1024+512+100], "in b; it is truncated"},
		{"before the end marker", raw[:len(raw)-1024], "without an end marker, after b; it is truncated"},
		{"in the end marker", raw[:len(raw)-512], "without an end marker, after b; it is truncated"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, _, err := scan(tt.raw)
			checkRefused(t, err, james.KindInvalid, tt.says)
			_, _, err = scan(pack(t, "gzip", tt.raw))
			checkRefused(t, err, james.KindInvalid, tt.says)
		})
	}
	large := makeTar(t, file("a", "x"), file("b", noise(100_000)))
	for _, format := range formats[1:] {
		packed := pack(t, format, large)
		_, _, err := scan(packed[:len(packed)/2])
		checkRefused(t, err, james.KindInvalid, "the "+format+" stream ends too early", "truncated")
	}
}

// TestScanFlipped changes the bytes of an archive in turn: what carries a
// checksum is refused or reads the same.
func TestScanFlipped(t *testing.T) {
	t.Parallel()
	for _, format := range formats[1:] {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			whole := pack(t, format, sample(t))
			want := listing(mustScan(t, whole))
			for i := range whole {
				if !probed(format, i) {
					continue
				}
				flipped := bytes.Clone(whole)
				flipped[i] ^= 0x10
				entries, _, err := scan(flipped)
				if err == nil && listing(entries) != want {
					t.Fatalf("byte %d: other entries were accepted", i)
				}
				if err != nil && james.KindOf(err) != james.KindInvalid {
					t.Fatalf("byte %d: kind %q: %v", i, james.KindOf(err), err)
				}
			}
		})
	}
}

// TestScanChecksum damages checksums alone.
func TestScanChecksum(t *testing.T) {
	t.Parallel()
	raw := sample(t)
	fromEnd := map[string]int{"gzip": 8, "zstd": 4, "xz": 12 + 8 + 8}
	for format, n := range fromEnd {
		packed := pack(t, format, raw)
		packed[len(packed)-n] ^= 1
		_, _, err := scan(packed)
		checkRefused(t, err, james.KindInvalid, "the "+format+" stream is damaged")
	}
	packed := pack(t, "bzip2", raw)
	packed[10] ^= 1 // of the first block
	_, _, err := scan(packed)
	checkRefused(t, err, james.KindInvalid, "the bzip2 stream is damaged")
}

func TestScanTrailing(t *testing.T) {
	t.Parallel()
	raw := sample(t)
	for _, format := range formats {
		packed := pack(t, format, raw)
		for _, garbage := range []string{"x", "xy", "xyz", "garbage", "\x00\x00\x00\x01", strings.Repeat("x", 5000), "PK\x03\x04"} {
			_, _, err := scan(slices.Concat(packed, []byte(garbage)))
			if err == nil {
				t.Errorf("%s: accepted with %.10q behind it", format, garbage)
			} else if james.KindOf(err) != james.KindInvalid {
				t.Errorf("%s with %.10q: kind %q: %v", format, garbage, james.KindOf(err), err)
			}
		}
		_, _, err := scan(pack(t, format, append(bytes.Clone(raw), "evil"...)))
		checkRefused(t, err, james.KindInvalid, "data after the end of the tar")
		_, _, err = scan(pack(t, format, slices.Concat(raw, makeTar(t, file("evil", "x")))))
		checkRefused(t, err, james.KindInvalid, "data after the end of the tar")
		_, _, err = scan(slices.Concat(packed, pack(t, "gzip", nil)))
		if format != "gzip" {
			checkRefused(t, err, james.KindInvalid)
		}
	}
	_, _, err := scan(append(pack(t, "gzip", raw), "something else"...))
	checkRefused(t, err, james.KindInvalid, "there is something else after the gzip stream, after bin/app")
}

// TestScanFillers accepts what tools leave behind an archive.
func TestScanFillers(t *testing.T) {
	t.Parallel()
	raw := sample(t)
	half := len(raw) / 2
	skippable := []byte("\x50\x2a\x4d\x18\x04\x00\x00\x00abcd")
	tests := map[string][]byte{
		"tar record padding":   append(bytes.Clone(raw), make([]byte, 10240)...),
		"odd padding":          append(bytes.Clone(raw), 0),
		"xz streams":           slices.Concat(pack(t, "xz", raw[:half]), pack(t, "xz", nil), pack(t, "xz", raw[half:])),
		"xz stream padding":    append(pack(t, "xz", raw), make([]byte, 8)...),
		"xz padding inside":    slices.Concat(pack(t, "xz", raw[:half]), make([]byte, 4), pack(t, "xz", raw[half:])),
		"gzip members":         slices.Concat(pack(t, "gzip", raw[:half]), pack(t, "gzip", raw[half:])),
		"bzip2 streams":        slices.Concat(pack(t, "bzip2", raw[:half]), pack(t, "bzip2", raw[half:])),
		"zstd frames":          slices.Concat(pack(t, "zstd", raw[:half]), pack(t, "zstd", raw[half:])),
		"zstd skippable frame": slices.Concat(skippable, pack(t, "zstd", raw), skippable),
	}
	want := listing(mustScan(t, raw))
	for name, packed := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := listing(mustScan(t, packed)); got != want {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
		})
	}
	_, _, err := scan(append(pack(t, "xz", raw), 0, 0, 0))
	checkRefused(t, err, james.KindInvalid, "xz") // padding comes in fours
}

func TestScanGzipHeader(t *testing.T) {
	t.Parallel()
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	w.Name, w.Comment, w.Extra = "openvpn.tar", "by hand", []byte{1, 2}
	w.Write(sample(t))
	w.Close()
	mustScan(t, buf.Bytes())
	bad := bytes.Clone(buf.Bytes())
	bad[2] = 7 // a method that does not exist
	_, _, err := scan(bad)
	checkRefused(t, err, james.KindInvalid, "the gzip stream is damaged, at its beginning")
}

func TestScanZstdDictionary(t *testing.T) {
	t.Parallel()
	var buf bytes.Buffer
	w, err := zstd.NewWriter(&buf, zstd.WithEncoderDictRaw(7, []byte(noise(1000))))
	if err != nil {
		t.Fatal(err)
	}
	w.Write(sample(t))
	w.Close()
	_, _, err = scan(buf.Bytes())
	checkRefused(t, err, james.KindInvalid, "zstd stream is damaged", "dictionary")
}

// failing returns raw up to a point, and then err.
type failing struct {
	r   io.Reader
	err error
}

func (f *failing) Read(p []byte) (int, error) {
	n, err := f.r.Read(p)
	if err == io.EOF {
		err = f.err
	}
	return n, err
}

// TestScanReadError: a reader that fails is not an archive that is wrong, also
// where it fails as if it were.
func TestScanReadError(t *testing.T) {
	t.Parallel()
	broken := errors.New("connection reset")
	for _, format := range formats {
		whole := pack(t, format, makeTar(t, file("a", noise(20_000))))
		for _, n := range []int{0, 3, 100, len(whole) / 2, len(whole) - 1, len(whole)} {
			for _, tt := range []struct {
				err  error
				kind james.Kind
			}{
				{broken, james.KindInterrupted},
				{io.ErrUnexpectedEOF, james.KindInterrupted},
				{james.Errorf(james.KindUnavailable, "blob", "gone"), james.KindUnavailable},
			} {
				_, _, err := archive.Scan(context.Background(), &failing{bytes.NewReader(whole[:n]), tt.err}, archive.Limits{})
				if !errors.Is(err, tt.err) || james.KindOf(err) != tt.kind {
					t.Errorf("%s failing with %v after %d bytes: %v (%s)", format, tt.err, n, err, james.KindOf(err))
				}
			}
		}
	}
}

// cancelling cancels after some reads, and fails the test if it is read again.
type cancelling struct {
	t      *testing.T
	r      io.Reader
	left   int
	cancel context.CancelFunc
}

func (c *cancelling) Read(p []byte) (int, error) {
	if c.left == 0 {
		c.t.Error("read after the context was cancelled")
	}
	if c.left--; c.left == 0 {
		c.cancel()
	}
	return c.r.Read(p[:min(len(p), 4096)])
}

func TestScanCancelled(t *testing.T) {
	t.Parallel()
	for _, format := range formats {
		whole := pack(t, format, makeTar(t, file("a", noise(100_000))))
		for _, reads := range []int{1, 2, 20} {
			ctx, cancel := context.WithCancel(context.Background())
			_, _, err := archive.Scan(ctx, &cancelling{t, bytes.NewReader(whole), reads, cancel}, archive.Limits{})
			checkRefused(t, err, james.KindInterrupted, "stopped")
			if !errors.Is(err, context.Canceled) {
				t.Errorf("%s: %v", format, err)
			}
		}
	}
}

// TestScanOneByteReads: nothing depends on how much a read brings.
func TestScanOneByteReads(t *testing.T) {
	t.Parallel()
	want := listing(mustScan(t, sample(t)))
	for _, format := range formats {
		entries, _, err := archive.Scan(context.Background(), &oneByte{bytes.NewReader(pack(t, format, sample(t)))}, archive.Limits{})
		if err != nil || listing(entries) != want {
			t.Errorf("%s: %v\n%s", format, err, listing(entries))
		}
	}
}

type oneByte struct{ r io.Reader }

func (o *oneByte) Read(p []byte) (int, error) { return o.r.Read(p[:min(len(p), 1)]) }
