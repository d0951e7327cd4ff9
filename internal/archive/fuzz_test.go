package archive_test

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/trusch/jamesd/internal/archive"
	"github.com/trusch/jamesd/pkg/james"
)

// FuzzScan feeds Scan anything. It must not fail otherwise than with
// james.KindInvalid, nor take much memory, and what it accepts has to make a
// manifest with which Extract accepts it as well.
func FuzzScan(f *testing.F) {
	for _, name := range fixtures(f) {
		f.Add(fixture(f, name))
	}
	for _, format := range formats {
		f.Add(pack(f, format, sample(f)))
	}
	// Go reads the committed corpus by itself, and does not mind when it is gone.
	if kept, err := filepath.Glob("testdata/fuzz/FuzzScan/*"); err != nil || len(kept) < 10 {
		f.Fatalf("%d inputs in testdata/fuzz/FuzzScan: %v", len(kept), err)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		lim := archive.Limits{MaxEntries: 1000, MaxSize: 8 << 20, MaxArchive: 1 << 20, AllowDevices: true}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		entries, format, err := archive.Scan(context.Background(), bytes.NewReader(raw), lim)
		runtime.ReadMemStats(&after)
		// Dictionaries of growing sizes, up to the largest, and what comes with
		// each entry.
		if took := after.TotalAlloc - before.TotalAlloc; took > 512<<20 {
			t.Fatalf("%d MiB were allocated for %d bytes", took>>20, len(raw))
		}
		if err != nil {
			if james.KindOf(err) != james.KindInvalid || err.Error() == "" {
				t.Fatalf("kind %q: %v", james.KindOf(err), err)
			}
			return
		}
		checkAccepted(t, raw, entries, format)
	})
}

// checkAccepted has the laws of what Scan accepts.
func checkAccepted(t *testing.T, raw []byte, entries []james.Entry, format string) {
	t.Helper()
	m := &james.Manifest{Name: "fuzz", Entries: entries}
	encoded, digest, err := m.Encode()
	if err != nil {
		t.Fatalf("no manifest: %v", err)
	}
	decoded, err := james.DecodeManifest(bytes.NewReader(encoded), digest)
	if err != nil {
		t.Fatalf("the manifest cannot be read: %v", err)
	}
	if format == "" {
		t.Fatal("no format")
	}
	var size int64
	err = archive.Extract(context.Background(), bytes.NewReader(raw), decoded, func(e *james.Entry, content io.Reader) error {
		n, err := io.Copy(io.Discard, content)
		size += n
		return err
	})
	if err != nil || size != m.Size() {
		t.Fatalf("Extract gave %d of %d bytes: %v", size, m.Size(), err)
	}
}

// TestFuzzCorpus keeps the corpus readable: Go skips what is not in its format
// only with an error that nobody sees until somebody fuzzes.
func TestFuzzCorpus(t *testing.T) {
	t.Parallel()
	kept, err := filepath.Glob("testdata/fuzz/FuzzScan/*")
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
