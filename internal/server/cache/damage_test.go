package cache_test

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/trusch/jamesd/internal/server/cache"
	"github.com/trusch/jamesd/pkg/james"
)

// only returns the one entry's file of dir.
func only(t *testing.T, dir string) string {
	t.Helper()
	files := entryFiles(t, dir)
	if len(files) != 1 {
		t.Fatalf("there are %d files, want 1", len(files))
	}
	return files[0]
}

// entryFiles returns the files of dir but the lock.
func entryFiles(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*-*"))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// flip changes one byte; from the end where offset is negative.
func flip(t *testing.T, path string, offset int64) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if offset < 0 {
		offset += int64(len(raw))
	}
	raw[offset] ^= 0x10
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestDamage checks that damage is noticed, before and after a restart, at the
// latest when the block is read that it is in.
func TestDamage(t *testing.T) {
	t.Parallel()
	const size = 3*cache.Block + 100
	p := content(1, size)
	truncate := func(n int64) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			fi, err := os.Stat(path)
			if err == nil && n < 0 {
				n += fi.Size()
			}
			if err != nil || os.Truncate(path, n) != nil {
				t.Fatal("not truncated")
			}
		}
	}
	at := func(offset int64) func(*testing.T, string) {
		return func(t *testing.T, path string) { flip(t, path, offset) }
	}
	for _, row := range []struct {
		name   string
		damage func(*testing.T, string)
		sound  int // bytes that come before the damage is seen; -1: it is not opened
	}{
		{"first byte", at(0), 0},
		{"second block", at(cache.Block), cache.Block},
		{"last byte", at(size - 1), 3 * cache.Block},
		{"a checksum", at(size), -1},
		{"the tail", at(-30), -1},
		{"the last checksum", at(-1), -1},
		{"cut to nothing", truncate(0), -1},
		{"cut in the bytes", truncate(size / 2), -1},
		{"cut at the end", truncate(-1), -1},
		{"gone", func(t *testing.T, path string) { os.Remove(path) }, -1},
		{"zeros", func(t *testing.T, path string) { truncate(0)(t, path); truncate(size)(t, path) }, -1},
	} {
		for _, restart := range []bool{false, true} {
			t.Run(row.name, func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				c := open(t, dir, roomy)
				fill(t, c, "k", p)
				row.damage(t, only(t, dir))
				if restart {
					c.Close()
					c = open(t, dir, roomy)
				}
				checkDamaged(t, c, p, row.sound)
				fill(t, c, "k", p)
				has(t, c, "k", p)
			})
		}
	}
}

func checkDamaged(t *testing.T, c *cache.Cache, p []byte, sound int) {
	t.Helper()
	e, ok := c.Open(t.Context(), "k")
	if !ok {
		if sound >= 0 {
			t.Error("it is not there, but the start is sound")
		}
		return
	}
	defer e.Close()
	got, err := io.ReadAll(e)
	wantKind(t, err, james.KindCorrupt)
	if !bytes.Equal(got, p[:sound]) {
		t.Errorf("%d bytes came, want %d", len(got), sound)
	}
	if c.Stats().Damaged != 1 {
		t.Error("damage is not counted")
	}
}

// TestSwappedFiles checks that a file under another entry's name is not taken for it.
func TestSwappedFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := open(t, dir, roomy)
	fill(t, c, "a", content(1, 100))
	a := only(t, dir)
	raw, err := os.ReadFile(a)
	if err != nil {
		t.Fatal(err)
	}
	fill(t, c, "b", content(2, 100))
	for _, file := range entryFiles(t, dir) {
		if err := os.WriteFile(file, raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	has(t, c, "a", content(1, 100))
	lacks(t, c, "b")
}

// TestSameID checks that an ID names bytes.
func TestSameID(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	id := func(c *cache.Cache) string {
		e, ok := c.Open(t.Context(), "k")
		if !ok {
			t.Fatal("it is not there")
		}
		defer e.Close()
		return e.ID()
	}
	c := open(t, dir, roomy)
	fill(t, c, "k", content(1, 100))
	first := id(c)
	c.Close()
	c = open(t, dir, roomy)
	if got := id(c); got != first {
		t.Errorf("after a restart it is %s, not %s", got, first)
	}
	os.Remove(only(t, dir))
	fill(t, c, "k", content(2, 100))
	if id(c) == first {
		t.Error("other bytes have the same ID")
	}
}
