package disk

import (
	"errors"
	"maps"
	"os"
	"slices"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// Fsync makes the content of the file or directory at path durable.
func (d *Disk) Fsync(path string) error {
	return d.do(Op{Name: "fsync", Path: d.Abs(path)}, func() error {
		fd, err := d.walk(path, unix.O_RDONLY|unix.O_NONBLOCK)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		_, err = retry(func() (int, error) { return 0, unix.Fsync(fd) })
		return err
	})
}

// Batch collects what was changed on one mount and makes it durable at once:
// with one syncfs where that is as good as an fsync of everything, else with
// several fsyncs at a time.
type Batch struct {
	d     *Disk
	dir   string // absolute
	fd    int    // a directory of the mount; syncfs reports the write errors since it was opened
	dev   uint64
	whole bool
	dirty bool
	paths map[string]bool
}

// parallel is the number of fsyncs at a time. A journalling file system commits
// those that wait together.
const parallel = 8

// NewBatch returns the batch of the mount that dir is on.
func (d *Disk) NewBatch(dir string) (*Batch, error) {
	fd, err := d.walk(dir, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, failure(d.Abs(dir), err)
	}
	b := &Batch{d: d, dir: d.Abs(dir), fd: fd, whole: !d.ops.eachFile && syncfsSuffices(fd), paths: map[string]bool{}}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		unix.Close(fd)
		return nil, failure(b.dir, err)
	}
	b.dev = uint64(st.Dev)
	return b, nil
}

// Add notes that the file at path was written, or that names in the directory at
// path were changed.
func (b *Batch) Add(path string) {
	b.dirty = true
	if !b.whole {
		b.paths[path] = true
	}
}

// AddParent notes that the name path was made or removed.
func (b *Batch) AddParent(path string) {
	dir, _ := split(path)
	b.Add(dir)
}

// Flush makes durable what was added since the last Flush. A path that is gone
// again is passed over. After an error everything is still to be flushed.
func (b *Batch) Flush() error {
	if !b.dirty {
		return nil
	}
	if err := b.flush(); err != nil {
		return err
	}
	b.dirty = false
	clear(b.paths)
	return nil
}

func (b *Batch) flush() error {
	if b.whole {
		return b.d.do(Op{Name: "syncfs", Path: b.dir}, func() error { return unix.Syncfs(b.fd) })
	}
	var group errgroup.Group
	group.SetLimit(parallel)
	if b.d.ops.hook != nil {
		group.SetLimit(1) // in the same order every time
	}
	for _, path := range slices.Sorted(maps.Keys(b.paths)) {
		group.Go(func() error {
			if err := b.d.Fsync(path); !errors.Is(err, os.ErrNotExist) {
				return err
			}
			return nil
		})
	}
	return group.Wait()
}

// FlushAll flushes several batches. Of those that need only a syncfs of the same
// file system, one does it for all.
func FlushAll(batches ...*Batch) error {
	synced := map[uint64]bool{}
	for _, b := range batches {
		if b.dirty && b.whole && synced[b.dev] {
			b.dirty = false
			continue
		}
		if b.dirty && b.whole {
			synced[b.dev] = true
		}
		if err := b.Flush(); err != nil {
			return err
		}
	}
	return nil
}

// Close releases the batch. What was not flushed is not made durable.
func (b *Batch) Close() { unix.Close(b.fd) }

// syncfsSuffices reports whether one syncfs does for the file system of fd what
// an fsync of every changed file and directory does: writes it all through the
// device's cache, and reports every failed write.
func syncfsSuffices(fd int) bool {
	var fs unix.Statfs_t
	if unix.Fstatfs(fd, &fs) != nil {
		return false
	}
	switch uint32(fs.Type) {
	case unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC, unix.F2FS_SUPER_MAGIC, unix.TMPFS_MAGIC:
		return kernelAtLeast(5, 8) // before, syncfs did not report failed writes
	}
	return false
}

func kernelAtLeast(major, minor int) bool {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return false
	}
	var have [2]int
	at := 0
	for _, c := range u.Release {
		switch {
		case c >= '0' && c <= '9':
			have[at] = have[at]*10 + int(c-'0')
		case at == 1:
			return have[0] > major || have[0] == major && have[1] >= minor
		default:
			at++
		}
	}
	return have[0] > major || have[0] == major && have[1] >= minor
}

var _ Tree = (*Disk)(nil)
