package cache

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"github.com/trusch/jamesd/pkg/james"
)

// ErrNoRoom is what an error is where an entry was too large for the cache, or for
// what room the entries leave that are being read or made. Its kind is
// james.KindUnavailable; bytes can be had without the cache.
var ErrNoRoom = errors.New("no room in the cache")

// ErrDisk is what an error is where the cache's disk fails otherwise. Its kind is
// james.KindUnavailable; bytes can be had without the cache.
var ErrDisk = errors.New("the cache fails")

func (c *Cache) noRoom() error {
	return fmt.Errorf("%w: %w", ErrNoRoom, james.Errorf(james.KindUnavailable, c.dir, "the limit of %d bytes is taken by entries in use", c.limit).
		WithHint("Give the cache more room with --cache-size."))
}

// isFull reports whether a disk has no room.
func isFull(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }

// refused returns what the operating system refused of an entry.
func (c *Cache) refused(err error) error {
	if isFull(err) {
		return fmt.Errorf("%w: %w", ErrNoRoom, c.failed(err))
	}
	return fmt.Errorf("%w: %w", ErrDisk, c.failed(err))
}

// failed returns what the operating system refused as an error about the directory,
// with what to do about it.
func (c *Cache) failed(err error) error {
	e := james.Errorf(james.KindUnavailable, c.dir, "%w", err)
	switch {
	case isFull(err):
		return e.WithHint("The disk is full: lower --cache-size, or give the file system of %s more room.", c.dir)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return e.WithHint("The user that runs jamesd must own %s and be able to write there.", c.dir)
	case errors.Is(err, fs.ErrNotExist):
		return e.WithHint("Is the file system of %s mounted?", c.dir)
	}
	return e
}

func (c *Cache) isClosed() error {
	return james.Errorf(james.KindUnavailable, c.dir, "the cache is closed")
}

// interrupted returns the error of a context that has ended, nil while it has not.
func interrupted(ctx context.Context) error {
	if ctx.Err() == nil {
		return nil
	}
	return james.Errorf(james.KindInterrupted, "cache", "%w", context.Cause(ctx))
}

func readAfterClose() error {
	return james.Errorf(james.KindInternal, "cache", "an entry was read after its close")
}
