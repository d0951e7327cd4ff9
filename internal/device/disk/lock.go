package disk

import (
	"errors"

	"golang.org/x/sys/unix"
)

// Lock is a file by which processes keep out of each other's way. It is not safe
// for concurrent use: within a process something else must do that.
type Lock struct {
	name string
	fd   int
}

// OpenLock opens the lock file at path, making it if it does not exist. It takes
// no lock yet.
func (d *Disk) OpenLock(path string) (*Lock, error) {
	fd, err := d.create(path, 0)
	if err != nil {
		return nil, err
	}
	return &Lock{d.Abs(path), fd}, nil
}

// Try takes the lock, alone or together with others that share it, until Release
// or the end of the process. It returns false where another process has it.
func (l *Lock) Try(shared bool) (bool, error) {
	how := unix.LOCK_EX
	if shared {
		how = unix.LOCK_SH
	}
	err := unix.Flock(l.fd, how|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return false, nil
	}
	return err == nil, failure(l.name, err)
}

// Release gives the lock free.
func (l *Lock) Release() {
	_ = unix.Flock(l.fd, unix.LOCK_UN) // a child between fork and exec may have the file open still
}

// Close gives the lock free and closes the file.
func (l *Lock) Close() {
	l.Release()
	unix.Close(l.fd)
}
