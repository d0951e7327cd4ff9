package cache_test

import (
	"io"
	"strconv"
	"testing"

	"github.com/trusch/jamesd/internal/server/cache"
)

// BenchmarkRead reads a whole entry from the page cache, checksums included.
func BenchmarkRead(b *testing.B) {
	c, err := cache.Open(b.TempDir(), roomy)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	p := content(1, 32<<20)
	e, err := c.Fill(b.Context(), "k", writing(p))
	if err != nil || e.Wait() != nil {
		b.Fatal("not made")
	}
	defer e.Close()
	buf := make([]byte, cache.Block)
	b.SetBytes(int64(len(p)))
	for b.Loop() {
		e.Seek(0, io.SeekStart)
		if n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, e, buf); err != nil || n != int64(len(p)) {
			b.Fatal(n, err)
		}
	}
}

// BenchmarkFill makes an entry of bytes that are there.
func BenchmarkFill(b *testing.B) {
	c, err := cache.Open(b.TempDir(), roomy)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	p := content(1, 16<<20)
	b.SetBytes(int64(len(p)))
	for i := 0; b.Loop(); i++ {
		e, err := c.Fill(b.Context(), strconv.Itoa(i), writing(p))
		if err != nil || e.Wait() != nil {
			b.Fatal("not made")
		}
		e.Close()
		c.Quiet()
	}
}
