package disk

import (
	"os"

	"golang.org/x/sys/unix"
)

// Appender is a file that grows.
type Appender struct {
	d    *Disk
	path string
	file *os.File
}

// OpenAppend opens the file at path for appending, making it with mode 0600 if
// it does not exist. The name of a new file is durable when OpenAppend returns.
func (d *Disk) OpenAppend(path string) (*Appender, error) {
	known, err := d.Exists(path)
	if err != nil {
		return nil, err
	}
	fd, err := d.create(path, unix.O_APPEND)
	if err != nil {
		return nil, err
	}
	a := &Appender{d, path, os.NewFile(uintptr(fd), d.Abs(path))}
	if !known {
		dir, _ := split(path)
		if err := d.Fsync(dir); err != nil {
			a.file.Close()
			return nil, err
		}
	}
	return a, nil
}

// Write appends b. After an error some of it may have been written.
func (a *Appender) Write(b []byte) (n int, err error) {
	err = a.d.do(Op{Name: "append", Path: a.file.Name(), Size: int64(len(b))}, func() error {
		n, err = a.file.Write(b)
		return err
	})
	return n, err
}

// Sync makes what was written durable.
func (a *Appender) Sync() error {
	return a.d.do(Op{Name: "fsync", Path: a.file.Name()}, a.file.Sync)
}

// Size returns the length of the file, in bytes.
func (a *Appender) Size() (int64, error) {
	st, err := a.file.Stat()
	if err != nil {
		return 0, failure(a.file.Name(), err)
	}
	return st.Size(), nil
}

// Truncate cuts the file to size bytes.
func (a *Appender) Truncate(size int64) error {
	return a.d.do(Op{Name: "truncate", Path: a.file.Name(), Size: size}, func() error { return a.file.Truncate(size) })
}

// Reserve asks the file system for room for the file to grow to size bytes, so
// that writing them does not fail for want of space later. Where the file system
// cannot, it does nothing.
func (a *Appender) Reserve(size int64) error {
	return a.d.do(Op{Name: "reserve", Path: a.file.Name(), Size: size}, func() error {
		return ignoreUnsupported(unix.Fallocate(int(a.file.Fd()), unix.FALLOC_FL_KEEP_SIZE, 0, size))
	})
}

// Close closes the file.
func (a *Appender) Close() error { return failure(a.file.Name(), a.file.Close()) }
