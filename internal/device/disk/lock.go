package disk

import (
	"errors"

	"golang.org/x/sys/unix"
)

// Lock takes the lock file at path for this process until it ends or release is
// called. It fails with errors.Is(err, unix.EWOULDBLOCK) where another process
// has it.
func (d *Disk) Lock(path string) (release func(), err error) {
	fd, err := d.create(path, 0)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(failure(d.Abs(path), err), unix.Close(fd))
	}
	return func() {
		_ = unix.Flock(fd, unix.LOCK_UN) // a child between fork and exec may have the file open still
		unix.Close(fd)
	}, nil
}
