package xz_test

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"

	reference "github.com/ulikunitz/xz"

	"github.com/trusch/jamesd/internal/xz"
)

// FuzzReader compares the content with what another reader finds in the same
// stream. Only that of small dictionaries is asked, as it allocates what a header
// asks for.
func FuzzReader(f *testing.F) {
	raw := sample(5_000)
	f.Add(pack(f, raw))
	f.Add(xzTool(f, raw, "-T2", "--block-size=1000"))
	f.Add(append(pack(f, raw), pack(f, raw)...))
	// Go reads the committed corpus by itself, and does not mind when it is gone.
	if kept, err := filepath.Glob("testdata/fuzz/FuzzReader/*"); err != nil || len(kept) < 5 {
		f.Fatalf("%d inputs in testdata/fuzz/FuzzReader: %v", len(kept), err)
	}
	f.Fuzz(func(t *testing.T, packed []byte) {
		const most = 8 << 20
		x := xz.NewReader(bytes.NewReader(packed), xz.Options{MaxWindow: 1 << 20})
		defer x.Close()
		got, err := io.ReadAll(io.LimitReader(x, most))
		if err != nil || len(got) == most {
			return
		}
		ref, err := reference.ReaderConfig{DictCap: 1 << 20}.NewReader(bytes.NewReader(packed))
		if err != nil {
			t.Fatalf("%d bytes were read, the reference finds: %v", len(got), err)
		}
		want, err := io.ReadAll(ref)
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%d bytes were read, the reference finds %d: %v", len(got), len(want), err)
		}
	})
}

// TestFuzzCorpus keeps the corpus readable: Go skips what is not in its format
// only with an error that nobody sees until somebody fuzzes.
func TestFuzzCorpus(t *testing.T) {
	t.Parallel()
	kept, err := filepath.Glob("testdata/fuzz/FuzzReader/*")
	if err != nil || len(kept) < 5 {
		t.Fatalf("%d inputs: %v", len(kept), err)
	}
	for _, name := range kept {
		raw, err := os.ReadFile(name)
		if err != nil || !bytes.HasPrefix(raw, []byte("go test fuzz v1\n[]byte(")) {
			t.Errorf("%s: no input of a fuzz target: %v", name, err)
		}
	}
}
