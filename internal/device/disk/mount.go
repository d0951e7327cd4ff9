package disk

import (
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Mount returns a number that two directories share if files can be renamed
// between them.
func (d *Disk) Mount(dir string) (id uint64, err error) {
	fd, err := d.walk(dir, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return 0, failure(d.Abs(dir), err)
	}
	defer unix.Close(fd)
	id, err = mountID(fd)
	return id, failure(d.Abs(dir), err)
}

func mountID(fd int) (uint64, error) {
	var sx unix.Statx_t
	err := unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_MNT_ID, &sx)
	if err == nil && sx.Mask&unix.STATX_MNT_ID != 0 {
		return sx.Mnt_id, nil
	}
	// Before Linux 5.8 only the device tells, which is the same for two bind
	// mounts of one file system.
	var st unix.Stat_t
	err = unix.Fstat(fd, &st)
	return uint64(st.Dev), err
}

// MountTop returns the topmost directory of the disk that is on the same mount
// as dir.
func (d *Disk) MountTop(dir string) (string, error) {
	id, err := d.Mount(dir)
	if err != nil {
		return "", err
	}
	for dir != "." {
		parent, _ := split(dir)
		above, err := d.Mount(parent)
		if err != nil {
			return "", err
		}
		if above != id {
			break
		}
		dir = parent
	}
	return dir, nil
}

// MountPoint returns the absolute name of the directory that the file system of
// dir is mounted at, which may be above the disk's own.
func (d *Disk) MountPoint(dir string) (string, error) {
	at := d.Abs(dir)
	id, err := mountOf(at)
	for err == nil && at != "/" {
		above := filepath.Dir(at)
		var other uint64
		if other, err = mountOf(above); err != nil || other != id {
			break
		}
		at = above
	}
	return at, failure(at, err)
}

// mountOf returns the mount of a directory outside of a disk.
func mountOf(dir string) (uint64, error) {
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	return mountID(fd)
}

// Space is what a file system has left.
type Space struct {
	Free  int64 // bytes, for any user
	Block int64 // bytes, the unit in which files take space
	// Files is how many more files there can be, -1 where there is no limit.
	Files int64
}

// Space returns what the file system of dir has left.
func (d *Disk) Space(dir string) (Space, error) {
	fd, err := d.walk(dir, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return Space{}, failure(d.Abs(dir), err)
	}
	defer unix.Close(fd)
	var fs unix.Statfs_t
	if _, err := retry(func() (int, error) { return 0, unix.Fstatfs(fd, &fs) }); err != nil {
		return Space{}, failure(d.Abs(dir), err)
	}
	s := Space{Block: max(int64(fs.Bsize), 1), Files: int64(fs.Ffree)}
	s.Free = int64(fs.Bavail) * s.Block
	if fs.Files == 0 {
		s.Files = -1
	}
	return s, nil
}
