package disk

import (
	"errors"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// maxDirs bounds the directories that are kept open. Plans go through a tree in
// order, so a few are enough.
const maxDirs = 16

// inDir calls act with the open directory that holds path, and path's last
// component.
func (d *Disk) inDir(path string, act func(dir int, name string) error) error {
	dir, name := split(path)
	d.mu.Lock()
	defer d.mu.Unlock()
	fd, err := d.openDir(dir)
	if err != nil {
		return err
	}
	return act(fd, name)
}

// inDirs is inDir for two paths.
func (d *Disk) inDirs(a, b string, act func(dirA int, nameA string, dirB int, nameB string) error) error {
	dirA, nameA := split(a)
	dirB, nameB := split(b)
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.dirs) > maxDirs-2 {
		d.closeDirs(".") // so that opening b does not close a
	}
	fdA, err := d.openDir(dirA)
	if err != nil {
		return err
	}
	fdB, err := d.openDir(dirB)
	if err != nil {
		return err
	}
	return act(fdA, nameA, fdB, nameB)
}

// split returns the directory and the last component of path. The root is its
// own ".".
func split(path string) (dir, name string) {
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		return path[:i], path[i+1:]
	}
	return ".", path
}

// openDir returns a descriptor that belongs to the cache. d.mu is held.
func (d *Disk) openDir(dir string) (int, error) {
	if dir == "." {
		return d.fd, nil
	}
	if fd, ok := d.dirs[dir]; ok {
		return fd, nil
	}
	if len(d.dirs) >= maxDirs {
		d.closeDirs(".")
	}
	fd, err := d.walk(dir, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return -1, err
	}
	d.dirs[dir] = fd
	return fd, nil
}

// closeDirs closes the cached directories that are dir or lie below it. d.mu is
// held.
func (d *Disk) closeDirs(dir string) {
	for path, fd := range d.dirs {
		if dir == "." || path == dir || strings.HasPrefix(path, dir+"/") {
			unix.Close(fd)
			delete(d.dirs, path)
		}
	}
}

// walk opens a physical path below the root; it follows no symbolic link.
func (d *Disk) walk(path string, flags int) (int, error) {
	if path == "." {
		return retry(func() (int, error) { return unix.Openat(d.fd, ".", flags|unix.O_CLOEXEC, 0) })
	}
	how := unix.OpenHow{
		Flags:   uint64(flags | unix.O_NOFOLLOW | unix.O_CLOEXEC),
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	}
	fd, err := retry(func() (int, error) { return unix.Openat2(d.fd, path, &how) })
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) {
		return d.walkSlowly(path, flags) // before Linux 5.6, or a sandbox that does not know the call
	}
	return fd, err
}

func (d *Disk) walkSlowly(path string, flags int) (int, error) {
	dir, at := d.fd, strings.Split(path, "/")
	for i, name := range at {
		if name == ".." {
			return -1, unix.EXDEV
		}
		how := unix.O_PATH | unix.O_DIRECTORY
		if i == len(at)-1 {
			how = flags
		}
		fd, err := retry(func() (int, error) { return unix.Openat(dir, name, how|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0) })
		if dir != d.fd {
			unix.Close(dir)
		}
		if err != nil {
			return -1, err
		}
		dir = fd
	}
	return dir, nil
}

// retry calls f again while a signal interrupts it, or a rename elsewhere makes
// the kernel unsure of a path.
func retry(f func() (int, error)) (int, error) {
	for tries := 0; ; tries++ {
		v, err := f()
		if errors.Is(err, unix.EINTR) || (errors.Is(err, unix.EAGAIN) && tries < 32) {
			continue
		}
		return v, err
	}
}

// syncDir fsyncs a directory outside of a disk.
func syncDir(name string) error {
	dir, err := os.Open(name)
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}
