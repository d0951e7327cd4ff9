package archive_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/trusch/jamesd/internal/archive"
	"github.com/trusch/jamesd/internal/xz"
	"github.com/trusch/jamesd/pkg/james"
)

func TestScanLimits(t *testing.T) {
	t.Parallel()
	raw := makeTar(t, dir("./"), file("a", "12345"), dir("b"), file("b/c", "12345"))
	packed := pack(t, "xz", raw)
	tests := []struct {
		name string
		raw  []byte
		lim  archive.Limits
		says []string // nil: accepted
	}{
		{"as many entries", raw, archive.Limits{MaxEntries: 3}, nil},
		{"one entry more", raw, archive.Limits{MaxEntries: 2}, []string{"more than 2 entries", "b/c"}},
		{"as many bytes", raw, archive.Limits{MaxSize: 10}, nil},
		{"one byte more", raw, archive.Limits{MaxSize: 9}, []string{"b/c: has 5 bytes", "limit of 9 bytes"}},
		{"as long an archive", packed, archive.Limits{MaxArchive: int64(len(packed))}, nil},
		{"one byte longer", packed, archive.Limits{MaxArchive: int64(len(packed)) - 1}, []string{"larger than the limit"}},
		{"as long a tar", raw, archive.Limits{MaxArchive: int64(len(raw))}, nil},
		{"one byte longer, tar", raw, archive.Limits{MaxArchive: int64(len(raw)) - 1}, []string{"larger than the limit"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, _, err := archive.Scan(context.Background(), bytes.NewReader(tt.raw), tt.lim)
			if tt.says == nil {
				if err != nil {
					t.Error(err)
				}
				return
			}
			checkRefused(t, err, james.KindInvalid, tt.says...)
			if errors.Is(err, archive.ErrMaxSize) != (tt.lim.MaxSize > 0) || errors.Is(err, archive.ErrMaxArchive) != (tt.lim.MaxArchive > 0) {
				t.Errorf("%v does not say which limit it is", err)
			}
		})
	}
}

func TestDefaultLimits(t *testing.T) {
	t.Parallel()
	want := archive.Limits{MaxEntries: 250_000, MaxSize: 16 << 30, MaxArchive: 8 << 30}
	if got := archive.DefaultLimits(); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// stream is a tar of any length that takes no memory.
func stream(write func(*tar.Writer) error) io.Reader {
	r, w := io.Pipe()
	go func() {
		tw := tar.NewWriter(w)
		err := write(tw)
		if err == nil {
			err = tw.Close()
		}
		w.CloseWithError(err)
	}()
	return r
}

// TestScanBomb: an archive that unpacks to more than its files, or to more
// files than a manifest can hold, is refused while it streams.
func TestScanBomb(t *testing.T) {
	t.Parallel()
	zeros := func(w io.Writer) error {
		_, err := io.CopyN(w, zeroReader{}, 1<<40)
		return err
	}
	tests := []struct {
		name   string
		packed bool
		write  func(w io.Writer) error
		says   string
		// entries is the limit, 0 for the default.
		entries int
	}{
		{"one large file", false, func(w io.Writer) error {
			if err := tar.NewWriter(w).WriteHeader(&tar.Header{Name: "zeros", Size: 1 << 40, Mode: 0o644}); err != nil {
				return err
			}
			return zeros(w)
		}, "zeros: has 1099511627776 bytes", 0},
		{"zeros after the end", true, zeros, "unpacks to far more than its files", 0},
		{"headers of nothing", false, func(w io.Writer) error {
			record := "10000 comment=" + strings.Repeat("x", 10_000-15) + "\n"
			head := block("pax", 'x', map[int]string{124: fmt.Sprintf("%011o\x00", len(record))})
			head = append(head, append([]byte(record), make([]byte, 512-len(record)%512)...)...)
			for {
				if _, err := w.Write(head); err != nil {
					return err
				}
			}
		}, "unpacks to far more than its files", 0},
		{"the root again and again", false, func(w io.Writer) error {
			root := makeTar(t, dir("./").with(record("comment", strings.Repeat("x", 10_000))))
			many := bytes.Repeat(root[:len(root)-1024], 100)
			for {
				if _, err := w.Write(many); err != nil {
					return err
				}
			}
		}, "unpacks to far more than its files", 100},
		{"large names", false, func(w io.Writer) error {
			// The same header again and again: the names are counted before they are compared.
			entry := makeTar(t, file(strings.Repeat(strings.Repeat("d", 250)+"/", 15)+"f", ""))
			for {
				if _, err := w.Write(entry[:len(entry)-1024]); err != nil {
					return err
				}
			}
		}, "names and attributes of more than 64 MiB", 0},
		{"large attributes", false, func(w io.Writer) error {
			entry := makeTar(t, file("f", "").with(xattr("user.a", strings.Repeat("v", 60_000))))
			for {
				if _, err := w.Write(entry[:len(entry)-1024]); err != nil {
					return err
				}
			}
		}, "names and attributes of more than 64 MiB", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r, w := io.Pipe()
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				if !tt.packed {
					w.CloseWithError(tt.write(w))
					return
				}
				packed, _ := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest))
				w.CloseWithError(tt.write(packed))
			}()
			_, _, err := archive.Scan(context.Background(), r, archive.Limits{MaxEntries: tt.entries})
			checkRefused(t, err, james.KindInvalid, tt.says)
			r.Close()
			<-ended
		})
	}
}

type zeroReader struct{}

func (zeroReader) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// TestScanSparseBomb: a hole counts as what it unpacks to.
func TestScanSparseBomb(t *testing.T) {
	t.Parallel()
	hole := block("hole", 'S', map[int]string{257: "ustar  \x00", 483: "\x80\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00"})
	_, _, err := scan(slices.Concat(hole, endMarker))
	checkRefused(t, err, james.KindInvalid, "hole: has 1099511627776 bytes", "limit")
}

// TestXzDictionary: no block of a stream gets a larger dictionary than xz -9
// asks for, wherever it is.
func TestXzDictionary(t *testing.T) {
	t.Parallel()
	raw := sample(t)
	half := len(raw) / 2
	packed := func(dict int, raw []byte) []byte {
		var buf bytes.Buffer
		w, err := xz.NewWriter(&buf, 1<<16)
		if err != nil {
			t.Fatal(err)
		}
		w.Write(raw)
		w.Close()
		return setDict(buf.Bytes(), dict)
	}
	tests := []struct {
		name string
		raw  []byte
		says string
	}{
		{"64 MiB", packed(28, raw), ""},
		{"96 MiB", packed(29, raw), "needs a dictionary of 96 MiB, the limit is 64 MiB"},
		{"4 GiB", packed(40, raw), "needs a dictionary of 4095 MiB"},
		{"code that does not exist", packed(41, raw), "damaged"},
		{"64 MiB in the second stream", slices.Concat(packed(4, raw[:half]), packed(28, raw[half:])), ""},
		{"4 GiB in the second stream", slices.Concat(packed(4, raw[:half]), packed(40, raw[half:])), "needs a dictionary of 4095 MiB"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, _, err := scan(tt.raw)
			if tt.says == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			checkRefused(t, err, james.KindInvalid, tt.says)
		})
	}
}

// setDict changes the dictionary size in the header of the first block of an xz
// file whose header has neither size: size, flags, filter, 1, dictionary.
func setDict(raw []byte, code int) []byte {
	const header = 12
	block := raw[header : header+(int(raw[header])+1)*4]
	block[4] = byte(code)
	fixCRC(block)
	return raw
}

func TestZstdWindow(t *testing.T) {
	t.Parallel()
	raw := makeTar(t, file("a", noise(100_000)))
	for _, tt := range []struct {
		window int
		single bool
		says   string
	}{
		{64 << 20, false, ""},
		{128 << 20, false, "window of more than 64 MiB"},
		{512 << 20, false, "window of more than 64 MiB"},
		{512 << 20, true, ""}, // a single segment has the window of its content
	} {
		var buf bytes.Buffer
		w, err := zstd.NewWriter(&buf, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(tt.window), zstd.WithSingleSegment(tt.single))
		if err != nil {
			t.Fatal(err)
		}
		if tt.single {
			buf.Write(w.EncodeAll(raw, nil))
		} else {
			w.Write(raw[:1024])
			w.Flush() // or else it sees that a small window is enough
			w.Write(raw[1024:])
			w.Close()
		}
		_, _, err = scan(buf.Bytes())
		if tt.says == "" {
			if err != nil {
				t.Errorf("window %d: %v", tt.window, err)
			}
			continue
		}
		checkRefused(t, err, james.KindInvalid, tt.says)
		if james.HintOf(err) == "" {
			t.Error("no hint")
		}
	}
	huge := []byte("\x28\xb5\x2f\xfd\xe0\x00\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00") // single segment of 4 GiB
	_, _, err := scan(huge)
	checkRefused(t, err, james.KindInvalid, "window of more than 64 MiB")
}

// TestScanMemory: what is alive while an archive is read does not depend on its
// size. It is not parallel, as it looks at the whole process.
func TestScanMemory(t *testing.T) {
	for _, tt := range []struct {
		name  string
		size  int
		limit int64
		pack  func([]byte) []byte
	}{
		{"tar", 16 << 20, 1 << 20, func(b []byte) []byte { return b }},
		{"gzip", 4 << 20, 1 << 20, func(b []byte) []byte { return pack(t, "gzip", b) }},
		{"bzip2", 2 << 20, 1 << 20, func(b []byte) []byte { return pack(t, "bzip2", b) }},
		{"zstd", 32 << 20, 26 << 20, func(b []byte) []byte { return pack(t, "zstd", b) }},
		{"xz -6", 8 << 20, 9 << 20, func(b []byte) []byte { return tool(t, b, "xz", "-6", "-c", "-T1") }},
		{"xz -6, many blocks", 4 << 20, 9 << 20, func(b []byte) []byte { return tool(t, b, "xz", "-6", "-c", "-T2", "--block-size=32768") }},
		{"xz -9", 8 << 20, 65 << 20, func(b []byte) []byte { return tool(t, b, "xz", "-9", "-c", "-T1") }},
		{"xz -9, many streams", 3 << 20, 65 << 20, func(b []byte) []byte {
			var out []byte
			for part := range slices.Chunk(b, 1<<20) {
				out = append(out, tool(t, part, "xz", "-9", "-c", "-T1")...)
			}
			return out
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			packed := tt.pack(makeTar(t, file("a", strings.Repeat(noise(8<<10), tt.size>>13))))
			before, used := heap(), int64(0)
			_, _, err := archive.ScanTo(context.Background(), bytes.NewReader(packed), archive.Limits{}, func(_ *james.Entry, content io.Reader) error {
				for {
					_, err := io.CopyN(io.Discard, content, int64(tt.size/8))
					used = max(used, heap()-before)
					if err == io.EOF {
						return nil
					}
					if err != nil {
						return err
					}
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			if used > tt.limit {
				t.Errorf("%d KiB alive, the limit is %d", used>>10, tt.limit>>10)
			}
		})
	}
}

// heap returns how many bytes are alive.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestScanKeepsNoHeaders: an entry must not keep the header it came from, which
// may have a megabyte.
func TestScanKeepsNoHeaders(t *testing.T) {
	const n = 50
	r := stream(func(w *tar.Writer) error {
		for i := range n {
			name := strings.Repeat("d", 150) + fmt.Sprint(i)
			hdr := tar.Header{Name: name, Mode: 0o644, Uname: strings.Repeat("ü", 20), PAXRecords: map[string]string{"VENDOR.pad": strings.Repeat("p", 600_000)}}
			if i%2 == 1 {
				hdr.Typeflag, hdr.Linkname = tar.TypeSymlink, strings.Repeat("t", 150)
			}
			if err := w.WriteHeader(&hdr); err != nil {
				return err
			}
		}
		return nil
	})
	before := heap()
	entries, _, err := archive.Scan(context.Background(), r, archive.Limits{})
	if err != nil || len(entries) != n {
		t.Fatalf("%d entries: %v", len(entries), err)
	}
	if used := heap() - before; used > 1<<20 {
		t.Errorf("%d entries keep %d KiB", n, used>>10)
	}
	runtime.KeepAlive(entries)
}
