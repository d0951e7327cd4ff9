package regzip_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"
	"testing/iotest"

	"github.com/trusch/jamesd/internal/delta/regzip"
	"github.com/trusch/jamesd/internal/need"
)

// contents are made to reach every decision that gzip takes: blocks of each kind,
// codes that are too long, windows that move, matches of each length and distance.
var contents = []struct {
	name string
	make func() []byte
}{
	{"empty", func() []byte { return nil }},
	{"one byte", func() []byte { return []byte("a") }},
	{"two bytes", func() []byte { return []byte("ab") }},
	{"few different", func() []byte { return bytes.Repeat([]byte("a"), 300) }},
	{"noise", func() []byte { return noise(200_000, 256) }},
	{"noise of few letters", func() []byte { return noise(200_000, 16) }},
	{"words", func() []byte { return words(400_000, 3000) }},
	{"rare words", func() []byte { return words(300_000, 100_000) }},
	{"zeros", func() []byte { return make([]byte, 500_000) }},
	{"a window", func() []byte { return words(32<<10, 1000) }},
	{"two windows", func() []byte { return words(64<<10, 1000) }},
	{"two windows and a lookahead", func() []byte { return words(64<<10+262, 1000) }},
	{"three windows less a byte", func() []byte { return words(96<<10-1, 1000) }},
	{"counts of Fibonacci", fibonacci},
	{"words and noise", func() []byte {
		return bytes.Join([][]byte{words(90_000, 500), noise(90_000, 256), words(90_000, 500)}, nil)
	}},
}

func noise(n, letters int) []byte {
	r := rand.New(rand.NewPCG(uint64(n), uint64(letters)))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.IntN(letters))
	}
	return b
}

func words(n, different int) []byte {
	r := rand.New(rand.NewPCG(uint64(n), uint64(different)))
	var b []byte
	for len(b) < n {
		k := r.IntN(1 + r.IntN(different))
		b = fmt.Appendf(b, "%x%s ", int64(k)*int64(k)*2654435761, []string{"", "ing", ",", ".\n", "_t"}[k%5])
	}
	return b[:n]
}

// fibonacci returns letters so unevenly often that Huffman's codes are too long.
func fibonacci() []byte {
	var b []byte
	for i, x, y := 0, 1, 1; i < 24; i, x, y = i+1, y, x+y {
		b = append(b, bytes.Repeat([]byte{byte(i * 7)}, x)...)
	}
	r := rand.New(rand.NewPCG(1, 2))
	r.Shuffle(len(b), func(i, j int) { b[i], b[j] = b[j], b[i] })
	return b[:30_000]
}

func form(level int) regzip.Form {
	header := []byte("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03")
	if level == 9 {
		header[8] = 2
	}
	return regzip.Form{Header: header, Level: level}
}

func compress(t *testing.T, content []byte, level int) []byte {
	t.Helper()
	out, err := io.ReadAll(regzip.NewReader(iotest.HalfReader(bytes.NewReader(content)), form(level)))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestGolden compares with what gzip 1.12 made.
func TestGolden(t *testing.T) {
	t.Parallel()
	for _, c := range contents {
		for level, want := range golden[c.name] {
			t.Run(fmt.Sprint(c.name, " at ", level), func(t *testing.T) {
				t.Parallel()
				content := c.make()
				file := compress(t, content, level)
				checkRecognized(t, file, content, level)
				sum := sha256.Sum256(file)
				if got := hex.EncodeToString(sum[:8]); got != want {
					t.Errorf("the file has the digest %s, that of gzip %s", got, want)
				}
			})
		}
	}
}

// TestGzip compares with the gzip that is there, at the levels that are not golden.
func TestGzip(t *testing.T) {
	t.Parallel()
	need.Tool(t, "gzip")
	for _, c := range contents {
		for _, level := range []int{5, 7, 8} {
			t.Run(fmt.Sprint(c.name, " at ", level), func(t *testing.T) {
				t.Parallel()
				checkGzip(t, c.make(), level)
			})
		}
	}
}

func checkGzip(t *testing.T, content []byte, level int) {
	t.Helper()
	cmd := exec.Command("gzip", fmt.Sprintf("-%dnc", level))
	cmd.Stdin = bytes.NewReader(content)
	if f, err := os.CreateTemp(t.TempDir(), ""); err != nil { // as gzip reads pipes in pieces
		t.Fatal(err)
	} else if _, err := f.Write(content); err != nil {
		t.Fatal(err)
	} else if _, err := f.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	} else {
		defer f.Close()
		cmd.Stdin = f
	}
	want, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(compress(t, content, level), want) {
		t.Error("the file is not that of gzip")
	}
	checkRecognized(t, want, content, level)
}

// checkRecognized checks what is known of a file that gzip has made.
func checkRecognized(t *testing.T, want, content []byte, level int) {
	t.Helper()
	f, ok := regzip.Recognize(want, content)
	if known := level == 6 || level == 9; known && !ok {
		t.Error("it is not recognized")
	} else if ok && !f.Valid() {
		t.Errorf("recognized as of level %d", f.Level)
	}
	if got, ok := regzip.Content(want, len(content)); !ok || !bytes.Equal(got, content) {
		t.Error("the content is another one")
	}
	if _, ok := regzip.Content(want, len(content)-1); ok {
		t.Error("there is more content than the limit")
	}
}

func TestRecognizeHeaders(t *testing.T) {
	t.Parallel()
	content := words(1000, 50)
	body := compress(t, content, 9)[10:]
	for _, tt := range []struct {
		name, header string
		want         bool
	}{
		{"plain", "\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03", true},
		{"a name and a time", "\x1f\x8b\x08\x08\x12\x34\x56\x78\x02\x03name\x00", true},
		{"a comment", "\x1f\x8b\x08\x10\x12\x34\x56\x78\x02\x03comment\x00", true},
		{"an extra field, a name and a checksum", "\x1f\x8b\x08\x0e\x12\x34\x56\x78\x02\x03\x02\x00xxname\x00cs", true},
		{"a level that is not tried", "\x1f\x8b\x08\x00\x00\x00\x00\x00\x04\x03", false},
		{"an endless extra field", "\x1f\x8b\x08\x04\x00\x00\x00\x00\x02\x03\xff\xff", false},
		{"another method", "\x1f\x8b\x07\x00\x00\x00\x00\x00\x02\x03", false},
		{"no gzip file", "0123456789", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f, ok := regzip.Recognize(append([]byte(tt.header), body...), content)
			if ok != tt.want || ok && string(f.Header) != tt.header {
				t.Errorf("recognized: %v, header %q", ok, f.Header)
			}
		})
	}
	for _, damaged := range [][]byte{nil, body[:5], append([]byte(contents[1].name), 'x')} {
		if _, ok := regzip.Recognize(append([]byte("\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03"), damaged...), content); ok {
			t.Errorf("a file that ends in %x is recognized", damaged)
		}
	}
}

func TestReaderFails(t *testing.T) {
	t.Parallel()
	for _, before := range []int{0, 10, 200_000} {
		in := io.MultiReader(bytes.NewReader(words(before, 50)), iotest.ErrReader(iotest.ErrTimeout))
		if _, err := io.ReadAll(regzip.NewReader(in, form(9))); !errors.Is(err, iotest.ErrTimeout) {
			t.Errorf("after %d bytes: %v, want %v", before, err, iotest.ErrTimeout)
		}
	}
}

func TestEffort(t *testing.T) {
	t.Parallel()
	if _, err := io.ReadAll(regzip.NewReader(bytes.NewReader(noise(400_000, 3)), form(9))); !errors.Is(err, regzip.ErrEffort) {
		t.Errorf("compressing noise of three letters: %v, want %v", err, regzip.ErrEffort)
	}
}

// BenchmarkReader compresses text.
func BenchmarkReader(b *testing.B) {
	content := words(1<<20, 3000)
	b.SetBytes(int64(len(content)))
	b.ReportAllocs()
	for b.Loop() {
		io.Copy(io.Discard, regzip.NewReader(bytes.NewReader(content), form(9)))
	}
}
