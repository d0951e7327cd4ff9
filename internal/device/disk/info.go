package disk

import (
	"errors"
	"io"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/trusch/jamesd/pkg/james"
)

// TypeSocket is the type of a socket, which no packet holds but a disk may.
const TypeSocket james.EntryType = "socket"

// Info describes what lies at a path.
type Info struct {
	Type     james.EntryType
	Mode     uint32 // permissions with setuid, setgid and sticky; as chmod takes them
	UID, GID uint32
	Size     int64 // bytes; of a symbolic link, the length of its target
	Blocks   int64 // of 512 bytes, allocated
	Time     time.Time
	Changed  time.Time // of the inode: content, metadata or names
	Dev, Ino uint64
	Links    uint64
	Rdev     uint64 // device number of a device node
}

// IsDir reports whether a directory lies there.
func (i Info) IsDir() bool { return i.Type == james.TypeDir }

// Lstat describes what lies at path. It fails with KindNotFound where nothing
// does, also where a directory of path is missing or none.
func (d *Disk) Lstat(path string) (Info, error) {
	var st unix.Stat_t
	err := d.inDir(path, func(dir int, name string) error {
		_, err := retry(func() (int, error) { return 0, unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW) })
		return err
	})
	if errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		err = unix.ENOENT
	}
	if err != nil {
		return Info{}, failure(d.Abs(path), err)
	}
	return newInfo(&st), nil
}

// Exists reports whether something lies at path.
func (d *Disk) Exists(path string) (bool, error) {
	_, err := d.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

func newInfo(st *unix.Stat_t) Info {
	return Info{
		Type:    typeOf(uint32(st.Mode)),
		Mode:    uint32(st.Mode) & 0o7777,
		UID:     st.Uid,
		GID:     st.Gid,
		Size:    st.Size,
		Blocks:  int64(st.Blocks),
		Time:    time.Unix(st.Mtim.Unix()).UTC(),
		Changed: time.Unix(st.Ctim.Unix()).UTC(),
		Dev:     uint64(st.Dev),
		Ino:     uint64(st.Ino),
		Links:   uint64(st.Nlink),
		Rdev:    uint64(st.Rdev),
	}
}

func typeOf(mode uint32) james.EntryType {
	switch mode & unix.S_IFMT {
	case unix.S_IFREG:
		return james.TypeFile
	case unix.S_IFDIR:
		return james.TypeDir
	case unix.S_IFLNK:
		return james.TypeSymlink
	case unix.S_IFIFO:
		return james.TypeFifo
	case unix.S_IFCHR:
		return james.TypeChar
	case unix.S_IFBLK:
		return james.TypeBlock
	}
	return TypeSocket
}

// Readlink returns what the symbolic link at path holds.
func (d *Disk) Readlink(path string) (string, error) {
	buf := make([]byte, james.MaxPathLen+1)
	n := 0
	err := d.inDir(path, func(dir int, name string) (err error) {
		n, err = unix.Readlinkat(dir, name, buf)
		return err
	})
	return string(buf[:max(n, 0)]), failure(d.Abs(path), err)
}

// ReadDir returns the sorted names of what is in the directory at path.
func (d *Disk) ReadDir(path string) ([]string, error) {
	fd, err := d.walk(path, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, failure(d.Abs(path), err)
	}
	dir := os.NewFile(uintptr(fd), d.Abs(path))
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	slices.Sort(names)
	return names, failure(d.Abs(path), err)
}

// OpenFile opens the regular file at path for reading. It fails with
// KindConflict where something else lies there.
func (d *Disk) OpenFile(path string) (*os.File, error) {
	info, err := d.Lstat(path)
	if err != nil {
		return nil, err
	}
	if info.Type != james.TypeFile { // opening a fifo blocks, and a device may do anything
		return nil, james.Errorf(james.KindConflict, d.Abs(path), "is a %s, not a regular file", info.Type)
	}
	fd, err := d.walk(path, unix.O_RDONLY|unix.O_NONBLOCK)
	if err != nil {
		return nil, failure(d.Abs(path), err)
	}
	return os.NewFile(uintptr(fd), d.Abs(path)), nil
}

// ReadFile returns the content of the regular file at path. It fails with
// KindCorrupt where it has more than limit bytes.
func (d *Disk) ReadFile(path string, limit int64) ([]byte, error) {
	file, err := d.OpenFile(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	raw, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err == nil && int64(len(raw)) > limit {
		return nil, james.Errorf(james.KindCorrupt, d.Abs(path), "is larger than the %d bytes it may have", limit)
	}
	return raw, failure(d.Abs(path), err)
}
