package disk

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"github.com/trusch/jamesd/pkg/james"
)

// Mkdir makes a directory with the permissions of mode, whatever the umask says.
func (d *Disk) Mkdir(path string, mode uint32) error {
	return d.do(Op{Name: "mkdir", Path: d.Abs(path)}, func() error {
		return d.inDir(path, func(dir int, name string) error {
			if err := unix.Mkdirat(dir, name, mode&0o7777); err != nil {
				return err
			}
			return tolerate(dir, unix.Fchmodat(dir, name, mode&0o7777, 0))
		})
	})
}

// MkdirAll makes the directory at path and those above it that are missing.
func (d *Disk) MkdirAll(path string, mode uint32) error {
	info, err := d.Lstat(path)
	if err == nil && !info.IsDir() {
		return james.Errorf(james.KindConflict, d.Abs(path), "is a %s, not a directory", info.Type)
	}
	if !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if dir, _ := split(path); dir != "." {
		if err := d.MkdirAll(dir, mode); err != nil {
			return err
		}
	}
	return d.Mkdir(path, mode)
}

// Rmdir removes the directory at path. It fails with KindConflict, and
// errors.Is(err, unix.ENOTEMPTY), where it is not empty.
func (d *Disk) Rmdir(path string) error {
	return d.do(Op{Name: "rmdir", Path: d.Abs(path)}, func() error {
		return d.inDir(path, func(dir int, name string) error {
			d.closeDirs(path)
			err := unix.Unlinkat(dir, name, unix.AT_REMOVEDIR)
			if errors.Is(err, unix.EEXIST) { // POSIX allows either
				err = unix.ENOTEMPTY
			}
			return err
		})
	})
}

// Remove removes what lies at path, which is not a directory.
func (d *Disk) Remove(path string) error {
	return d.do(Op{Name: "remove", Path: d.Abs(path)}, func() error {
		return d.inDir(path, func(dir int, name string) error { return unix.Unlinkat(dir, name, 0) })
	})
}

// RemoveAll removes what lies at path and all below it. It follows no symbolic
// link and succeeds where nothing lies.
func (d *Disk) RemoveAll(path string) error {
	info, err := d.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return d.Remove(path)
	}
	names, err := d.ReadDir(path)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := d.RemoveAll(join(path, name)); err != nil {
			return err
		}
	}
	return d.Rmdir(path)
}

func join(dir, name string) string {
	if dir == "." {
		return name
	}
	return dir + "/" + name
}

// Rename gives what lies at from the name to. It replaces what lies there in one
// step, but no directory. It fails with errors.Is(err, unix.EXDEV) between two
// mounts.
func (d *Disk) Rename(from, to string) error {
	return d.do(Op{Name: "rename", Path: d.Abs(from), To: d.Abs(to)}, func() error {
		return d.inDirs(from, to, func(dirA int, nameA string, dirB int, nameB string) error {
			return unix.Renameat(dirA, nameA, dirB, nameB)
		})
	})
}

// Link makes to another name of the file at from.
func (d *Disk) Link(from, to string) error {
	return d.do(Op{Name: "link", Path: d.Abs(from), To: d.Abs(to)}, func() error {
		return d.inDirs(from, to, func(dirA int, nameA string, dirB int, nameB string) error {
			return unix.Linkat(dirA, nameA, dirB, nameB, 0)
		})
	})
}

// LinkFrom makes to another name of the file at path of another disk; both are
// physical there and here. The operation is one of d. It fails with errors.Is(err,
// unix.EXDEV) between two mounts; see Unlinkable.
func (d *Disk) LinkFrom(from *Disk, path, to string) error {
	return d.do(Op{Name: "link", Path: from.Abs(path), To: d.Abs(to)}, func() error {
		dirA, nameA := split(path)
		fd, err := from.walk(dirA, unix.O_PATH|unix.O_DIRECTORY)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return d.inDir(to, func(dir int, name string) error { return unix.Linkat(fd, nameA, dir, name, 0) })
	})
}

// Unlinkable reports whether err says that a file cannot have another name there,
// which a copy can.
func Unlinkable(err error) bool {
	for _, e := range []error{unix.EXDEV, unix.EPERM, unix.EMLINK, unix.ENOTSUP, unix.ENOSYS} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// Symlink makes a symbolic link at path that holds target.
func (d *Disk) Symlink(target, path string, m Meta) error {
	err := d.do(Op{Name: "symlink", Path: d.Abs(path), To: target}, func() error {
		return d.inDir(path, func(dir int, name string) error { return unix.Symlinkat(target, dir, name) })
	})
	if err != nil {
		return err
	}
	return d.setMeta(path, james.TypeSymlink, -1, m)
}

// Mknod makes a fifo or a device node at path.
func (d *Disk) Mknod(path string, t james.EntryType, major, minor uint32, m Meta) error {
	format := map[james.EntryType]uint32{
		james.TypeFifo: unix.S_IFIFO, james.TypeChar: unix.S_IFCHR, james.TypeBlock: unix.S_IFBLK,
	}[t]
	err := d.do(Op{Name: "mknod", Path: d.Abs(path)}, func() error {
		return d.inDir(path, func(dir int, name string) error {
			return unix.Mknodat(dir, name, format|0o600, int(unix.Mkdev(major, minor)))
		})
	})
	if err != nil {
		return err
	}
	return d.setMeta(path, t, -1, m)
}
