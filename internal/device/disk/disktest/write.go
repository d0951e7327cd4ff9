package disktest

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/trusch/jamesd/pkg/james"
)

// Write makes the directories hold the image, and nothing else. They must exist.
func (i *Image) Write(dirs ...string) error {
	if len(dirs) != len(i.roots) {
		return fmt.Errorf("%d directories for an image of %d trees", len(dirs), len(i.roots))
	}
	made := map[*node]string{}
	for k, dir := range dirs {
		if err := clear(dir); err != nil {
			return err
		}
		if err := i.roots[k].fill(dir, made); err != nil {
			return err
		}
	}
	return nil
}

// clear removes what is in a directory.
func clear(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// fill gives an empty directory its names, and then its metadata: making names
// changes its time.
func (n *node) fill(dir string, made map[*node]string) error {
	for name, child := range n.names {
		if err := child.make(dir+"/"+name, made); err != nil {
			return err
		}
	}
	return n.setAttrs(dir)
}

func (n *node) make(path string, made map[*node]string) error {
	if first, ok := made[n]; ok {
		return os.Link(first, path)
	}
	made[n] = path
	switch n.kind {
	case james.TypeDir:
		if err := os.Mkdir(path, 0o700); err != nil {
			return err
		}
		return n.fill(path, made)
	case james.TypeSymlink:
		if err := os.Symlink(n.target, path); err != nil {
			return err
		}
	case james.TypeFile:
		if err := n.content.write(path); err != nil {
			return err
		}
	default:
		if err := unix.Mknod(path, formats[n.kind]|0o600, int(n.rdev)); err != nil {
			return &os.PathError{Op: "mknod", Path: path, Err: err}
		}
	}
	return n.setAttrs(path)
}

var formats = map[james.EntryType]uint32{
	james.TypeFifo: unix.S_IFIFO, james.TypeChar: unix.S_IFCHR, james.TypeBlock: unix.S_IFBLK,
}

// block is the unit in which a sparse file's zeros become holes.
const block = 4096

func (c *content) write(path string) error {
	if !c.sparse {
		return os.WriteFile(path, c.bytes, 0o600)
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	zeros := make([]byte, block)
	for at := 0; at < len(c.bytes); at += block {
		part := c.bytes[at:min(at+block, len(c.bytes))]
		if bytes.Equal(part, zeros[:len(part)]) {
			continue
		}
		if _, err := file.WriteAt(part, int64(at)); err != nil {
			return err
		}
	}
	return file.Truncate(int64(len(c.bytes)))
}

// setAttrs gives what lies at path, which this process has just made, its
// metadata. The owner comes first, as it clears setuid bits and capabilities.
func (n *node) setAttrs(path string) error {
	a := &n.attrs
	if err := os.Lchown(path, int(a.uid), int(a.gid)); err != nil {
		return err
	}
	if n.kind != james.TypeSymlink {
		if err := unix.Chmod(path, a.mode); err != nil {
			return &os.PathError{Op: "chmod", Path: path, Err: err}
		}
	}
	for name, value := range a.xattrs {
		if err := unix.Lsetxattr(path, name, []byte(value), 0); err != nil {
			return &os.PathError{Op: "setxattr", Path: path, Err: err}
		}
	}
	ts := unix.NsecToTimespec(a.time)
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return &os.PathError{Op: "utimes", Path: path, Err: err}
	}
	return nil
}
