package disk

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/trusch/jamesd/pkg/james"
)

// Op is one operation that changes something or makes it durable.
type Op struct {
	// N counts the operations of a disk and of all disks made from it with At,
	// from 1.
	N int64
	// Name says what is done: "mkdir", "create", "write", "chown", "chmod",
	// "setxattr", "removexattr", "utimes", "symlink", "mknod", "link", "rename",
	// "remove", "rmdir", "append", "truncate", "reserve", "fsync" or "syncfs".
	Name string
	// Path is absolute. To is the new name of a rename or link, or what a symbolic
	// link holds.
	Path, To string
	// Size is the number of bytes of a write or append, or the length to truncate
	// or reserve to, where it is known.
	Size int64
}

// Hook is called before and after every operation. An error that it returns
// before is the operation's, which does not take place; one that it returns
// after takes the place of success. Several goroutines may call it at once, but a
// Batch has its fsyncs come in the same order every time.
type Hook func(before bool, op Op) error

// Options of a Disk.
type Options struct {
	// Hook is nil in production.
	Hook Hook
	// DirMode is the mode of the disk's directory if Open has to make it; 0
	// means 0755.
	DirMode uint32
	// EachFile has a Batch fsync every file by itself also where one syncfs would
	// do. That writes nothing that other programs have not synced yet.
	EachFile bool
}

// Disk is a directory tree to read and change. Its methods are safe for
// concurrent use.
type Disk struct {
	root string
	fd   int // of root, O_PATH
	uid  int // effective, of this process
	ops  *counter

	mu   sync.Mutex
	dirs map[string]int // open directories below root, by physical path
}

// counter is what a disk shares with those made from it.
type counter struct {
	hook     Hook
	eachFile bool
	n        atomic.Int64
}

// Open returns the disk of the directory root, which is made, with its parents,
// if it does not exist.
func Open(root string, o Options) (*Disk, error) {
	return open(root, o.DirMode, &counter{hook: o.Hook, eachFile: o.EachFile})
}

// At returns the disk of another directory, which is made with mode 0700 if it
// does not exist. It shares the hook and the count of operations with d.
func (d *Disk) At(root string) (*Disk, error) {
	return open(root, 0o700, d.ops)
}

func open(root string, mode uint32, ops *counter) (*Disk, error) {
	if mode == 0 {
		mode = 0o755
	}
	abs, err := filepath.Abs(root)
	if err != nil {
		return nil, james.Errorf(james.KindInvalid, root, "%w", err)
	}
	d := &Disk{root: abs, fd: -1, uid: os.Geteuid(), ops: ops, dirs: map[string]int{}}
	if err := d.makeRoot(mode); err != nil {
		return nil, err
	}
	// The link that the operator chose as root may be followed, none below it.
	if d.root, err = filepath.EvalSymlinks(abs); err != nil {
		return nil, failure(abs, err)
	}
	if d.fd, err = unix.Open(d.root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err != nil {
		return nil, failure(d.root, err)
	}
	return d, nil
}

// makeRoot makes the disk's directory and makes its name durable.
func (d *Disk) makeRoot(mode uint32) error {
	if _, err := os.Stat(d.root); err == nil {
		return nil
	}
	return d.do(Op{Name: "mkdir", Path: d.root}, func() error {
		return makeDirs(d.root, mode)
	})
}

// makeDirs makes dir and, with mode 0755, what is missing above it, and makes
// the names durable.
func makeDirs(dir string, mode uint32) error {
	parent := filepath.Dir(dir)
	if _, err := os.Stat(parent); errors.Is(err, os.ErrNotExist) {
		if err := makeDirs(parent, 0o755); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, os.FileMode(mode)); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return syncDir(parent)
}

// Root returns the disk's directory: absolute, without symbolic links.
func (d *Disk) Root() string { return d.root }

// Abs returns the absolute name of a path of the disk, for programs and people.
func (d *Disk) Abs(path string) string {
	switch {
	case path == ".":
		return d.root
	case d.root == "/":
		return d.root + path
	}
	return d.root + "/" + path // clean already, and asked for at every operation
}

// Privileged reports whether this process may give files to other users.
func (d *Disk) Privileged() bool { return d.uid == 0 }

// Close releases the open directories. The disk cannot be used afterwards.
func (d *Disk) Close() error {
	d.Forget()
	return unix.Close(d.fd)
}

// Forget drops what the disk remembers of its directories. It must be called
// after something else, such as a script, may have replaced one of them.
func (d *Disk) Forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for path, fd := range d.dirs {
		unix.Close(fd)
		delete(d.dirs, path)
	}
}

// do passes one operation through the hook.
func (d *Disk) do(op Op, act func() error) error {
	if d.ops.hook == nil {
		return failure(op.Path, act())
	}
	op.N = d.ops.n.Add(1)
	if err := d.ops.hook(true, op); err != nil {
		return failure(op.Path, err)
	}
	if err := act(); err != nil {
		return failure(op.Path, err)
	}
	return failure(op.Path, d.ops.hook(false, op))
}

// failure gives an error of the system its kind and names the file. It keeps an
// error that has them.
func failure(path string, err error) error {
	var known *james.Error
	if err == nil || errors.As(err, &known) {
		return err
	}
	var pe *os.PathError
	if errors.As(err, &pe) {
		err = pe.Err
	}
	known = james.Errorf(kindOf(err), path, "%w", err)
	switch {
	case errors.Is(err, os.ErrNotExist): // so often that it is asked first
	case errors.Is(err, os.ErrPermission) && os.Geteuid() != 0:
		return known.WithHint("run jamesc as root, or let user %d, as whom it runs, write there", os.Geteuid())
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return known.WithHint("free room, or names where it has no more of them, on its file system")
	case errors.Is(err, syscall.EROFS):
		return known.WithHint("mount its file system for writing; if it was so before, its errors made the kernel stop writing: look at dmesg and check it")
	}
	return known
}

func kindOf(err error) james.Kind {
	switch {
	case errors.Is(err, os.ErrNotExist):
		return james.KindNotFound
	case errors.Is(err, syscall.ENOTEMPTY), errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.EISDIR),
		errors.Is(err, syscall.EEXIST), errors.Is(err, syscall.ELOOP), errors.Is(err, syscall.EXDEV), errors.Is(err, syscall.ETXTBSY):
		return james.KindConflict
	case errors.Is(err, os.ErrPermission):
		return james.KindDenied
	case errors.Is(err, syscall.ENAMETOOLONG), errors.Is(err, syscall.EINVAL):
		return james.KindInvalid
	}
	// A full or failing disk, one that is mounted read-only, no free descriptors:
	// what is not there now.
	return james.KindUnavailable
}
