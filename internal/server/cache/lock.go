package cache

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"

	"github.com/trusch/jamesd/pkg/james"
)

// unlock gives the directory free. Closing the file is not enough: a child between
// fork and exec may have it open still.
func (c *Cache) unlock() error {
	return errors.Join(syscall.Flock(int(c.lock.Fd()), syscall.LOCK_UN), c.lock.Close())
}

// takeLock locks the directory until unlock.
func (c *Cache) takeLock() (*os.File, error) {
	file, err := os.OpenFile(filepath.Join(c.dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, c.failed(err)
	}
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		return file, nil
	}
	file.Close()
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, james.Errorf(james.KindConflict, c.dir, "another process has this cache").
			WithHint("Is another jamesd running? Each needs a directory of its own; --cache-dir names it.")
	}
	return nil, c.failed(err)
}
