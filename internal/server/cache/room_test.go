package cache_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"syscall"
	"testing"

	"github.com/trusch/jamesd/internal/server/cache"
	"github.com/trusch/jamesd/pkg/james"
)

// TestLargerThanLimit checks that who asks gets what fits, and what others read or
// make is left alone.
func TestLargerThanLimit(t *testing.T) {
	t.Parallel()
	const limit = 5 * cache.Block
	c := open(t, t.TempDir(), limit)
	fill(t, c, "old", content(1, 1000))
	fill(t, c, "read", content(2, 1000))
	read, _ := c.Open(t.Context(), "read")
	defer read.Close()

	p := content(3, 10*cache.Block)
	e, err := c.Fill(t.Context(), "large", writing(p))
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	got, err := io.ReadAll(e)
	if !errors.Is(err, cache.ErrNoRoom) || james.HintOf(err) == "" {
		t.Errorf("error %v with hint %q", err, james.HintOf(err))
	}
	wantKind(t, err, james.KindUnavailable)
	if len(got) < 4*cache.Block || !bytes.HasPrefix(p, got) {
		t.Errorf("%d bytes came, or others", len(got))
	}
	lacks(t, c, "old")
	lacks(t, c, "large")
	has(t, c, "read", content(2, 1000))
	e.Close()
	c.Quiet()
	if s := c.Stats(); s.Used > 2*cache.Page {
		t.Errorf("%d bytes are still used", s.Used)
	}
	fill(t, c, "fits", content(4, 4*cache.Block))
}

// TestRemovedWhileRead checks that bytes count as long as they are on the disk.
func TestRemovedWhileRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := open(t, dir, roomy)
	p := content(1, 3*cache.Block)
	fill(t, c, "k", p)
	damaged, _ := c.Open(t.Context(), "k")
	sound, _ := c.Open(t.Context(), "k")
	flip(t, only(t, dir), 2*cache.Block)
	_, err := io.ReadAll(damaged)
	wantKind(t, err, james.KindCorrupt)
	damaged.Close()
	before := c.Stats().Used
	if before == 0 {
		t.Error("the file is there and does not count")
	}
	if got, _ := io.ReadAll(sound); !bytes.Equal(got, p[:2*cache.Block]) {
		t.Errorf("%d bytes came, or others", len(got))
	}
	sound.Close()
	if used := c.Stats().Used; used != 0 {
		t.Errorf("%d bytes count, and there is no file", used)
	}
	fill(t, c, "k", p)
}

func TestDiskFull(t *testing.T) {
	t.Parallel()
	full := &os.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}
	t.Run("others make room", func(t *testing.T) {
		t.Parallel()
		c := open(t, t.TempDir(), roomy)
		for _, key := range []string{"a", "b", "c"} {
			fill(t, c, key, content(1, 1000))
		}
		c.OnWrite(func(n int) (int, error) {
			if c.Stats().Entries > 1 {
				return n / 2, full
			}
			return n, nil
		})
		fill(t, c, "d", content(2, 3*cache.Block))
		lacks(t, c, "a")
		lacks(t, c, "b")
		has(t, c, "c", content(1, 1000))
		has(t, c, "d", content(2, 3*cache.Block))
	})
	t.Run("no room at all", func(t *testing.T) {
		t.Parallel()
		c := open(t, t.TempDir(), roomy)
		left := 2*cache.Block + 100
		c.OnWrite(func(n int) (int, error) {
			if n > left {
				return left, full
			}
			left -= n
			return n, nil
		})
		p := content(2, 5*cache.Block)
		e, err := c.Fill(t.Context(), "k", writing(p))
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		got, err := io.ReadAll(e)
		if !errors.Is(err, cache.ErrNoRoom) || !bytes.Equal(got, p[:2*cache.Block+100]) {
			t.Errorf("%d bytes came, or others, error %v", len(got), err)
		}
		wantKind(t, err, james.KindUnavailable)
	})
	t.Run("the end does not fit", func(t *testing.T) {
		t.Parallel()
		c := open(t, t.TempDir(), roomy)
		p := content(2, 5*cache.Block)
		left := len(p)
		c.OnWrite(func(n int) (int, error) {
			if left -= n; left < 0 {
				return 0, full
			}
			return n, nil
		})
		fill(t, c, "k", p)
		lacks(t, c, "k")
	})
	t.Run("another failure", func(t *testing.T) {
		t.Parallel()
		c := open(t, t.TempDir(), roomy)
		c.OnWrite(func(int) (int, error) { return 0, syscall.EIO })
		_, err := c.Fill(t.Context(), "k", writing([]byte("x")))
		wantKind(t, err, james.KindUnavailable)
		if errors.Is(err, cache.ErrNoRoom) || !errors.Is(err, cache.ErrDisk) {
			t.Error("a broken disk is not a full one")
		}
	})
}

// TestGone checks that a directory that vanishes is no reason to fall over.
func TestGone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := open(t, dir, roomy)
	fill(t, c, "k", content(1, 100))
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	lacks(t, c, "k")
	_, err := c.Fill(t.Context(), "k", func(context.Context, io.Writer) error { return nil })
	wantKind(t, err, james.KindUnavailable)
	if james.HintOf(err) == "" {
		t.Error("there is no hint")
	}
}
