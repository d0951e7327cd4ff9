package cache_test

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/trusch/jamesd/internal/need"
	"github.com/trusch/jamesd/internal/server/cache"
)

// TestRealDiskFull fills a real file system.
func TestRealDiskFull(t *testing.T) {
	mountpoint := need.SmallDisk(t)
	if mountpoint == "" {
		return
	}
	c := open(t, mountpoint, roomy)
	small := content(1, 1<<20)
	fill(t, c, "a", small)
	fill(t, c, "b", small)
	fill(t, c, "c", content(2, 5<<19)) // makes room by itself
	lacks(t, c, "a")
	has(t, c, "b", small)

	p := content(3, 8<<20)
	e, err := c.Fill(t.Context(), "d", writing(p))
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(e)
	if !errors.Is(err, cache.ErrNoRoom) || len(got) < 3<<20 || !bytes.HasPrefix(p, got) {
		t.Errorf("%d bytes came, or others, error %v", len(got), err)
	}
	e.Close()
	c.Quiet()
	fill(t, c, "b", small)
	has(t, c, "b", small)
}
