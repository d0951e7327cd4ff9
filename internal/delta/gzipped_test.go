package delta_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"

	"github.com/trusch/jamesd/internal/delta"
	"github.com/trusch/jamesd/internal/delta/regzip"
)

// zip returns the gzip file of a content.
func zip(t tb, content []byte) []byte {
	t.Helper()
	out, err := io.ReadAll(regzip.NewReader(bytes.NewReader(content), regzip.Form{Header: []byte(header), Level: 9}))
	if err != nil {
		t.Fatalf("zip: %v", err)
	}
	return out
}

func text(seed uint64, lines int) []byte {
	r := rand.New(rand.NewPCG(seed, 1))
	var b []byte
	for range lines {
		b = fmt.Appendf(b, "  * Fix %x, which made %x of %d (Closes: #%d).\n", r.IntN(1e4), r.IntN(1e3), r.IntN(100), r.IntN(1e6))
	}
	return b
}

func TestGzipFile(t *testing.T) {
	t.Parallel()
	content := text(1, 3000)
	old := zip(t, content)
	want := zip(t, append(text(2, 10), content...))
	p := mustMake(t, old, want, delta.Limits{})
	if p.Encoded() > 1000 {
		t.Errorf("the patch of a file of %d bytes takes %d", len(want), p.Encoded())
	}
	checkConcatenates(t, p.Split(100), old, want)
	for _, offset := range []int{-1, 0, 1, 10, 30_000, len(want) - 8, len(want), len(want) + 1} {
		rest := p.From(int64(offset))
		checkConcatenates(t, []*delta.Patch{rest}, old, want[min(max(offset, 0), len(want)):])
		checkMakes(t, rest.From(5), old, want[min(max(offset, 0)+5, len(want)):])
	}
	if err := iotest.TestReader(p.Reader(bytes.NewReader(old)), want); err != nil {
		t.Error(err)
	}
}

func TestGzipFileFails(t *testing.T) {
	t.Parallel()
	content := text(1, 3000)
	old := zip(t, content)
	p := mustMake(t, old, zip(t, append(text(2, 10), content...)), delta.Limits{})
	for name, base := range map[string][]byte{
		"empty": nil, "content": content, "short": old[:len(old)/2], "another": zip(t, text(3, 10)), "longer": zip(t, append(text(3, 9000), content...)),
	} {
		out, err := io.ReadAll(p.Reader(bytes.NewReader(base)))
		if err == nil && int64(len(out)) != p.Size() || err != nil && !isCorrupt(err) {
			t.Errorf("%s: %d bytes of %d: %v", name, len(out), p.Size(), err)
		}
	}
	if _, err := io.ReadAll(p.Reader(failing{})); !errors.Is(err, iotest.ErrTimeout) {
		t.Errorf("reading failed with %v, want %v", err, iotest.ErrTimeout)
	}
}

// TestGzipFileOther has gzip files that are patched as any file.
func TestGzipFileOther(t *testing.T) {
	t.Parallel()
	small, noise := zip(t, text(1, 300)), make([]byte, 8<<20)
	large := zip(t, noise)
	damaged := bytes.Clone(small)
	damaged[len(damaged)/2] ^= 1
	for name, pair := range map[string][2][]byte{
		"too large a base": {large, small}, "too large": {small, large}, "a damaged base": {damaged, small}, "damaged": {small, damaged},
		"two in one": {small, append(bytes.Clone(small), small...)}, "no base": {nil, small},
	} {
		p := mustMake(t, pair[0], pair[1], delta.Limits{})
		checkConcatenates(t, p.Split(500), pair[0], pair[1])
		if name == "no base" && len(p.Split(64)) < 2 {
			t.Error("the patch was not split")
		}
	}
}

// TestGzipFileLies has patches that say another size than that of the file they make.
func TestGzipFileLies(t *testing.T) {
	t.Parallel()
	old := zip(t, []byte("content"))
	for _, size := range []int{5, 20, len(old) - 1, len(old) + 1, 1 << 20} {
		batch := varints(1, 1, 0, 9, 7, size, 0, len(header), header, 0, 7, place(0), 0)
		patches, err := delta.DecodeBatch(batch)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, patches[0].Reader(bytes.NewReader(old))); !isCorrupt(err) || n > int64(size) {
			t.Errorf("a file of %d bytes said to have %d: %d, %v", len(old), size, n, err)
		}
	}
}
