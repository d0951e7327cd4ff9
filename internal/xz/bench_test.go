package xz_test

import (
	"bytes"
	"io"
	"os"
	"testing"

	reference "github.com/ulikunitz/xz"

	"github.com/trusch/jamesd/internal/xz"
)

// BenchmarkReader decodes what JAMES_BENCH_XZ names, or a sample, with this package
// and with the library; a pair is in one run.
func BenchmarkReader(b *testing.B) {
	packed := pack(b, sample(8<<20))
	if name := os.Getenv("JAMES_BENCH_XZ"); name != "" {
		var err error
		if packed, err = os.ReadFile(name); err != nil {
			b.Fatal(err)
		}
	}
	size := int64(len(mustUnpack(b, packed)))
	for _, row := range []struct {
		name string
		open func(r io.Reader) (io.Reader, error)
	}{
		{"this", func(r io.Reader) (io.Reader, error) { return xz.NewReader(r, xz.Options{MaxWindow: window}), nil }},
		{"this, 2 workers", func(r io.Reader) (io.Reader, error) {
			return xz.NewReader(r, xz.Options{MaxWindow: window, Workers: 2}), nil
		}},
		{"reference", func(r io.Reader) (io.Reader, error) { return reference.NewReader(r) }},
	} {
		b.Run(row.name, func(b *testing.B) {
			b.SetBytes(size)
			for b.Loop() {
				r, err := row.open(bytes.NewReader(packed))
				if err == nil {
					_, err = io.Copy(io.Discard, r)
				}
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
