package disk

import (
	"errors"

	"golang.org/x/sys/unix"
)

// Reservation is room on a file system that nothing else can take. It is a file
// without a name: when the process ends, however that happens, the room is free.
// Its methods work on nil, which has none.
type Reservation struct {
	d    *Disk
	dir  string // absolute
	fd   int
	left int64
	// given is what was given free and not asked for by Use yet.
	given int64
	piece int64
}

// pieces bounds into how many parts a reservation is given free, and minPiece how
// small they are: each costs a change to the tables of the file system.
const (
	pieces   = 16
	minPiece = 1 << 20
	// ahead is free at any time, for what is not asked for in bytes: directories
	// grow, and so do the tables of the file system.
	ahead = 256 << 10
)

// Reserve takes size bytes of the file system of the directory at path for later
// use. It fails with errors.Is(err, unix.ENOSPC) where there is not so much room.
// It returns nil where the file system cannot reserve room, and where its room is
// memory, which a device has better uses for.
func (d *Disk) Reserve(path string, size int64) (r *Reservation, err error) {
	if size <= 0 {
		return nil, nil
	}
	err = d.do(Op{Name: "reserve", Path: d.Abs(path), Size: size}, func() error {
		r, err = d.reserve(path, size)
		return err
	})
	if err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

func (d *Disk) reserve(path string, size int64) (*Reservation, error) {
	fd, err := d.nameless(path)
	if err != nil {
		return nil, err
	}
	if inMemory(fd) {
		return nil, unix.Close(fd)
	}
	err = fallocate(fd, size)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		return nil, unix.Close(fd)
	}
	r := &Reservation{d: d, dir: d.Abs(path), fd: fd, left: size, piece: max(minPiece, size/pieces)}
	if err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

// Grow takes size bytes more. It fails as Reserve does; what was taken before stays.
func (r *Reservation) Grow(size int64) error {
	if r == nil || size <= 0 {
		return nil
	}
	return r.d.do(Op{Name: "reserve", Path: r.dir, Size: r.left + size}, func() error {
		_, err := retry(func() (int, error) { return 0, unix.Fallocate(r.fd, 0, r.left, size) })
		if err == nil {
			r.left += size
		}
		return err
	})
}

// nameless opens a new file in a directory that no name leads to.
func (d *Disk) nameless(path string) (int, error) {
	fd, err := d.walk(path, unix.O_TMPFILE|unix.O_WRONLY)
	if err == nil || errors.Is(err, unix.ENOENT) {
		return fd, err
	}
	const name = "reserved" // for a moment: the file system knows no files without a name
	dir, err := d.walk(path, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return -1, err
	}
	defer unix.Close(dir)
	fd, err = retry(func() (int, error) {
		return unix.Openat(dir, name, unix.O_WRONLY|unix.O_CREAT|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	})
	if err != nil {
		return -1, err
	}
	if err := unix.Unlinkat(dir, name, 0); err != nil {
		return -1, errors.Join(err, unix.Close(fd))
	}
	return fd, nil
}

func fallocate(fd int, size int64) error {
	_, err := retry(func() (int, error) { return 0, unix.Fallocate(fd, 0, 0, size) })
	return err
}

// inMemory reports whether the file system of fd is made of memory.
func inMemory(fd int) bool {
	var fs unix.Statfs_t
	if unix.Fstatfs(fd, &fs) != nil {
		return false
	}
	return uint32(fs.Type) == unix.TMPFS_MAGIC || uint32(fs.Type) == unix.RAMFS_MAGIC
}

// Use gives n bytes free, right before they are taken. That it fails is no reason
// not to try to take them.
func (r *Reservation) Use(n int64) {
	if r == nil {
		return
	}
	r.given -= n
	if r.given >= ahead || r.left == 0 {
		return
	}
	give := min(max(ahead-r.given, r.piece), r.left)
	err := r.d.do(Op{Name: "truncate", Path: r.dir, Size: r.left - give}, func() error {
		_, err := retry(func() (int, error) { return 0, unix.Ftruncate(r.fd, r.left-give) })
		return err
	})
	if err == nil {
		r.left, r.given = r.left-give, r.given+give
	}
}

// Close gives everything free that is left.
func (r *Reservation) Close() {
	if r != nil && r.fd >= 0 {
		unix.Close(r.fd)
		r.fd, r.left = -1, 0
	}
}
