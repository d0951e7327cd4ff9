package disk

import (
	"bytes"
	"errors"
	"io"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/trusch/jamesd/pkg/james"
)

// New describes a file that is to be written.
type New struct {
	Meta
	Size   int64 // expected, for the Op; 0 where it is not known
	Sparse bool  // leave holes where the content is zero
}

// hole is the unit in which zeros become holes: the block size of most file
// systems.
const hole = james.DataUnit

// writeback is the size from which a file's way to the device is begun at once,
// so that the later fsync finds little left to do.
const writeback = 1 << 20

var buffers = sync.Pool{New: func() any { return new([256 << 10]byte) }}

// WriteNew makes a file at path, where nothing may lie, with the content and the
// metadata given. It is not durable before it is synced. An error of content is
// returned as it is; what was written until then stays.
func (d *Disk) WriteNew(path string, content io.Reader, n New) error {
	fd, err := d.create(path, unix.O_EXCL)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var readErr error
	err = d.do(Op{Name: "write", Path: d.Abs(path), Size: n.Size}, func() error {
		var writeErr error
		readErr, writeErr = fill(fd, content, n.Sparse)
		return writeErr
	})
	if err := errors.Join(readErr, err); err != nil {
		return err
	}
	return d.setMeta(path, james.TypeFile, fd, n.Meta)
}

func (d *Disk) create(path string, flag int) (fd int, err error) {
	err = d.do(Op{Name: "create", Path: d.Abs(path)}, func() error {
		return d.inDir(path, func(dir int, name string) error {
			fd, err = retry(func() (int, error) {
				return unix.Openat(dir, name, unix.O_WRONLY|unix.O_CREAT|unix.O_NOFOLLOW|unix.O_CLOEXEC|flag, 0o600)
			})
			return err
		})
	})
	if err != nil && fd > 0 {
		unix.Close(fd)
	}
	return fd, err
}

// fill copies content into the empty file fd.
func fill(fd int, content io.Reader, sparse bool) (readErr, writeErr error) {
	buf := buffers.Get().(*[256 << 10]byte)
	defer buffers.Put(buf)
	var size int64
	for readErr == nil {
		var n int
		n, readErr = io.ReadFull(content, buf[:])
		if err := put(fd, buf[:n], size, sparse); err != nil {
			return nil, err
		}
		size += int64(n)
	}
	if errors.Is(readErr, io.EOF) || errors.Is(readErr, io.ErrUnexpectedEOF) {
		readErr = nil
	}
	if sparse {
		writeErr = unix.Ftruncate(fd, size)
	}
	if size >= writeback {
		_ = unix.SyncFileRange(fd, 0, 0, unix.SYNC_FILE_RANGE_WRITE) // only a hint: the sync that counts comes later
	}
	return readErr, writeErr
}

// put writes b at the offset at, leaving out zeros where holes are wanted.
func put(fd int, b []byte, at int64, sparse bool) error {
	if !sparse {
		return writeAt(fd, b, at)
	}
	for len(b) > 0 {
		n := min(len(b), hole-int(at%hole))
		if !zero(b[:n]) {
			if err := writeAt(fd, b[:n], at); err != nil {
				return err
			}
		}
		b, at = b[n:], at+int64(n)
	}
	return nil
}

var zeros [hole]byte

func zero(b []byte) bool { return bytes.Equal(b, zeros[:len(b)]) }

func writeAt(fd int, b []byte, at int64) error {
	for len(b) > 0 {
		n, err := retry(func() (int, error) { return unix.Pwrite(fd, b, at) })
		if err != nil {
			return err
		}
		b, at = b[n:], at+int64(n)
	}
	return nil
}

// Replace makes b the content of the file at path, for good and in one step:
// after a crash the file has its old content or the new. It is for small files.
func (d *Disk) Replace(path string, b []byte, mode uint32) error {
	temp := path + ".new"
	if err := d.RemoveAll(temp); err != nil { // of a crash in here
		return err
	}
	own := Meta{Mode: mode, UID: uint32(d.uid), GID: uint32(unix.Getegid())}
	if err := d.WriteNew(temp, bytes.NewReader(b), New{Meta: own, Size: int64(len(b))}); err != nil {
		return err
	}
	if err := d.Fsync(temp); err != nil {
		return err
	}
	if err := d.Rename(temp, path); err != nil {
		return err
	}
	dir, _ := split(path)
	return d.Fsync(dir)
}
