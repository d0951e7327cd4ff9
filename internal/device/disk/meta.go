package disk

import (
	"errors"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/trusch/jamesd/pkg/james"
)

// Meta is what a file has besides its content.
type Meta struct {
	Mode uint32 // as chmod takes it; ignored for a symbolic link
	// UID and GID are set by the superuser only: an agent of another user keeps
	// its own.
	UID, GID uint32
	Time     time.Time // of last modification; zero leaves it
	// Xattrs are set in addition to those that are there. Attributes in the
	// namespaces security and trusted are set by the superuser only.
	Xattrs map[string][]byte
}

// SetMeta gives what lies at path the mode, owner, extended attributes and time
// of m. The owner comes first, because changing it clears setuid bits and
// capabilities, and the time last. On a file system that has no owners and modes
// (FAT) what it refuses is left out.
func (d *Disk) SetMeta(path string, m Meta) error {
	info, err := d.Lstat(path)
	if err != nil {
		return err
	}
	if info.Type != james.TypeFile && info.Type != james.TypeDir {
		return d.setMeta(path, info.Type, -1, m)
	}
	fd, err := d.walk(path, unix.O_RDONLY|unix.O_NONBLOCK)
	if err != nil {
		return failure(d.Abs(path), err)
	}
	defer unix.Close(fd)
	return d.setMeta(path, info.Type, fd, m)
}

// TakeOver gives the regular file at path, which another name of it may have given
// other metadata, the metadata of m and none else: attributes that m has not are
// removed, but for the labels of security modules. It opens nothing, so the file may
// have any mode. It fails with KindConflict where something else lies at path, and
// where the file has not size bytes.
func (d *Disk) TakeOver(path string, size int64, m Meta) error {
	info, err := d.Lstat(path)
	if err != nil {
		return err
	}
	if info.Type != james.TypeFile || info.Size != size {
		return james.Errorf(james.KindConflict, d.Abs(path), "is a %s of %d bytes, not a file of %d", info.Type, info.Size, size)
	}
	have, err := d.Xattrs(path)
	if err != nil {
		return err
	}
	for _, attr := range slices.Sorted(maps.Keys(have)) {
		if _, ok := m.Xattrs[attr]; ok || !isGiven(attr) || !d.Settable(attr) {
			continue
		}
		if err := d.RemoveXattr(path, attr); err != nil {
			return err
		}
	}
	return d.setMeta(path, james.TypeFile, -1, m)
}

// isGiven reports whether an attribute is one that somebody gives a file, unlike the
// labels of security modules.
func isGiven(attr string) bool {
	switch namespace, _, _ := strings.Cut(attr, "."); namespace {
	case "user", "trusted":
		return true
	}
	return attr == "security.capability" || strings.HasPrefix(attr, "system.posix_acl_")
}

// setMeta is SetMeta for a path of known type; fd is open on a file or directory
// and -1 for all else.
func (d *Disk) setMeta(path string, t james.EntryType, fd int, m Meta) error {
	if d.Privileged() {
		if err := d.chown(path, m); err != nil {
			return err
		}
	}
	if t != james.TypeSymlink {
		if err := d.chmod(path, fd, m.Mode); err != nil {
			return err
		}
	}
	for _, attr := range slices.Sorted(maps.Keys(m.Xattrs)) {
		if !d.Settable(attr) {
			continue
		}
		if err := d.setXattr(path, fd, attr, m.Xattrs[attr]); err != nil {
			return err
		}
	}
	if m.Time.IsZero() {
		return nil
	}
	return d.SetTime(path, m.Time)
}

func (d *Disk) chown(path string, m Meta) error {
	return d.do(Op{Name: "chown", Path: d.Abs(path)}, func() error {
		return d.inDir(path, func(dir int, name string) error {
			return tolerate(dir, unix.Fchownat(dir, name, int(m.UID), int(m.GID), unix.AT_SYMLINK_NOFOLLOW))
		})
	})
}

func (d *Disk) chmod(path string, fd int, mode uint32) error {
	return d.do(Op{Name: "chmod", Path: d.Abs(path)}, func() error {
		if fd >= 0 {
			return tolerate(fd, unix.Fchmod(fd, mode))
		}
		return d.inDir(path, func(dir int, name string) error { // a node in a staging area, where no link can be
			return tolerate(dir, unix.Fchmodat(dir, name, mode, 0))
		})
	})
}

func (d *Disk) setXattr(path string, fd int, attr string, value []byte) error {
	return d.do(Op{Name: "setxattr", Path: d.Abs(path), To: attr, Size: int64(len(value))}, func() error {
		if fd >= 0 {
			return tolerate(fd, unix.Fsetxattr(fd, attr, value, 0))
		}
		return d.byName(path, func(name string) error { return unix.Lsetxattr(name, attr, value, 0) })
	})
}

// RemoveXattr removes an extended attribute of what lies at path, if it has it.
func (d *Disk) RemoveXattr(path, attr string) error {
	return d.do(Op{Name: "removexattr", Path: d.Abs(path), To: attr}, func() error {
		return d.byName(path, func(name string) error {
			err := unix.Lremovexattr(name, attr)
			if errors.Is(err, unix.ENODATA) {
				return nil
			}
			return ignoreUnsupported(err)
		})
	})
}

// SetTime sets the time of last modification of what lies at path.
func (d *Disk) SetTime(path string, t time.Time) error {
	return d.do(Op{Name: "utimes", Path: d.Abs(path)}, func() error {
		return d.inDir(path, func(dir int, name string) error {
			ts := timespec(t)
			return unix.UtimesNanoAt(dir, name, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW)
		})
	})
}

// timespec returns t, or the last second that the system's type can hold: 32-bit
// systems end in 2038.
func timespec(t time.Time) unix.Timespec {
	ts, err := unix.TimeToTimespec(t)
	if err != nil {
		ts = unix.NsecToTimespec(int64(math.MaxInt32) * int64(time.Second))
	}
	return ts
}

// tolerate drops the refusal of a file system that has no owners, modes and
// attributes. fd is open on any file of it.
func tolerate(fd int, err error) error {
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOTSUP) {
		if plain, failed := isPlain(fd); plain && failed == nil {
			return nil
		}
	}
	return err
}

// Plain reports whether the file system of the directory dir has no owners, modes
// and extended attributes.
func (d *Disk) Plain(dir string) (bool, error) {
	fd, err := d.walk(dir, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return false, failure(d.Abs(dir), err)
	}
	defer unix.Close(fd)
	plain, err := isPlain(fd)
	return plain, failure(d.Abs(dir), err)
}

func isPlain(fd int) (bool, error) {
	var fs unix.Statfs_t
	if _, err := retry(func() (int, error) { return 0, unix.Fstatfs(fd, &fs) }); err != nil {
		return false, err
	}
	magic := uint32(fs.Type)
	return magic == unix.MSDOS_SUPER_MAGIC || magic == unix.EXFAT_SUPER_MAGIC, nil
}
