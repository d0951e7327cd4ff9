package archive_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/trusch/jamesd/internal/archive"
	"github.com/trusch/jamesd/pkg/james"
)

// benchTar is 32 MiB of content that compresses about as programs do.
func benchTar(b *testing.B) []byte {
	var members []member
	random := noise(1 << 20)
	for i := range 256 {
		var content strings.Builder
		for content.Len() < 128<<10 {
			at := (i*7919 + content.Len()*31) % (1<<20 - 100)
			content.WriteString(random[at : at+40])
			content.WriteString("the same words in many places, ")
		}
		members = append(members, file(fmt.Sprintf("dir%02d/file%03d", i%16, i), content.String()))
	}
	return makeTar(b, members...)
}

// BenchmarkScan has MB/s of the unpacked tar; "copy" is the floor: hashing alone.
func BenchmarkScan(b *testing.B) {
	raw := benchTar(b)
	b.Run("copy", func(b *testing.B) {
		b.SetBytes(int64(len(raw)))
		for b.Loop() {
			james.DigestOf(raw)
		}
	})
	for _, format := range formats {
		packed := pack(b, format, raw)
		b.Run(format, func(b *testing.B) {
			b.SetBytes(int64(len(raw)))
			b.ReportAllocs()
			b.ReportMetric(float64(len(packed))/float64(len(raw)), "ratio")
			for b.Loop() {
				if _, _, err := archive.Scan(context.Background(), bytes.NewReader(packed), archive.Limits{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkExtract(b *testing.B) {
	raw := pack(b, "zstd", benchTar(b))
	m := manifestOf(b, raw)
	b.SetBytes(m.Size())
	b.ReportAllocs()
	for b.Loop() {
		if err := extract(raw, m, readAll); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkBuild(b *testing.B) {
	root := makeTree(b)
	size := (&james.Manifest{Entries: mustScan(b, build(b, root, archive.BuildOptions{Format: "tar"}))}).Size()
	for _, format := range []string{"xz", "zstd", "gzip", "tar"} {
		b.Run(format, func(b *testing.B) {
			b.SetBytes(size)
			for b.Loop() {
				if err := archive.Build(context.Background(), io.Discard, root, archive.BuildOptions{Format: format}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
