package disk

import (
	"golang.org/x/sys/unix"

	"github.com/trusch/jamesd/pkg/james"
)

// Content is a file that is written from front to back, perhaps over several
// processes: whatever ends one of them, what the file holds is the beginning of
// its content.
type Content struct {
	d      *Disk
	path   string
	fd     int
	size   int64
	sparse bool
	ended  int64 // the length of the file as the file system knows it
}

// CreateContent makes the file at path with mode 0600. Whatever lies there loses
// its name; other names of it keep what it holds.
func (d *Disk) CreateContent(path string, sparse bool) (*Content, error) {
	fd, err := d.create(path, unix.O_EXCL)
	if james.KindOf(err) == james.KindConflict {
		if err := d.RemoveAll(path); err != nil {
			return nil, err
		}
		fd, err = d.create(path, unix.O_EXCL)
	}
	if err != nil {
		return nil, err
	}
	return &Content{d: d, path: path, fd: fd, sparse: sparse}, nil
}

// ContinueContent opens the file at path to write on at its end, which Size tells.
func (d *Disk) ContinueContent(path string, sparse bool) (*Content, error) {
	fd, err := d.walk(path, unix.O_WRONLY)
	if err != nil {
		return nil, failure(d.Abs(path), err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		unix.Close(fd)
		return nil, failure(d.Abs(path), err)
	}
	return &Content{d: d, path: path, fd: fd, sparse: sparse, size: st.Size, ended: st.Size}, nil
}

// Size returns how much of the content is there, in bytes.
func (c *Content) Size() int64 { return c.size }

// Write appends b. Zeros of a sparse file become holes.
func (c *Content) Write(b []byte) (int, error) {
	err := c.d.do(Op{Name: "append", Path: c.d.Abs(c.path), Size: int64(len(b))}, func() error {
		return put(c.fd, b, c.size, c.sparse)
	})
	if err != nil {
		return 0, err
	}
	c.size += int64(len(b))
	if !c.sparse {
		c.ended = c.size
	}
	return len(b), nil
}

// Close gives a sparse file the length of what was written, and closes it. It
// makes nothing durable.
func (c *Content) Close() error {
	var err error
	if c.ended < c.size {
		err = c.d.do(Op{Name: "truncate", Path: c.d.Abs(c.path), Size: c.size}, func() error { return unix.Ftruncate(c.fd, c.size) })
	}
	if c.ended = c.size; c.size >= writeback {
		_ = unix.SyncFileRange(c.fd, 0, 0, unix.SYNC_FILE_RANGE_WRITE) // only a hint: the sync that counts comes later
	}
	unix.Close(c.fd)
	return err
}
