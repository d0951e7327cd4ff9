package disktest

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/trusch/jamesd/pkg/james"
)

// Image is the state of some directory trees. It is not changed once made.
type Image struct{ roots []*node }

// node is an inode. Two names of one file lead to one node.
type node struct {
	kind    james.EntryType
	attrs   attrs
	content *content // of a file
	target  string   // of a symbolic link
	rdev    uint64
	id      inode
	names   map[string]*node // of a directory
}

// inode is what the system calls a node.
type inode struct{ dev, ino uint64 }

// attrs is the metadata of a node. The map is not changed once made.
type attrs struct {
	mode, uid, gid uint32
	time           int64 // of modification, nanoseconds since 1970
	xattrs         map[string]string
}

// content is what a file holds. It is not changed once made.
type content struct {
	bytes  []byte
	sparse bool // it takes less room than it has bytes
	sum    [sha256.Size]byte
}

func newContent(b []byte, sparse bool) *content { return &content{b, sparse, sha256.Sum256(b)} }

// Read returns what the directories hold.
func Read(dirs ...string) (*Image, error) {
	image, known := &Image{}, map[inode]*node{}
	for _, dir := range dirs {
		root, err := read(dir, known)
		if err != nil {
			return nil, err
		}
		image.roots = append(image.roots, root)
	}
	return image, nil
}

// read reads what lies at path and all below it.
func read(path string, known map[inode]*node) (*node, error) {
	n, err := stat(path)
	if err != nil {
		return nil, err
	}
	if first, ok := known[n.id]; ok {
		return first, nil
	}
	known[n.id] = n
	switch n.kind {
	case james.TypeFile:
		n.content, err = readContent(path)
	case james.TypeSymlink:
		n.target, err = os.Readlink(path)
	case james.TypeDir:
		err = n.readNames(path, known)
	}
	return n, err
}

func (n *node) readNames(path string, known map[inode]*node) error {
	entries, err := os.ReadDir(path)
	n.names = make(map[string]*node, len(entries))
	for _, e := range entries {
		child, err := read(filepath.Join(path, e.Name()), known)
		if err != nil {
			return err
		}
		n.names[e.Name()] = child
	}
	return err
}

// stat returns the node at path without what it holds.
func stat(path string) (*node, error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return nil, &os.PathError{Op: "lstat", Path: path, Err: err}
	}
	kind, ok := kinds[uint32(st.Mode)&unix.S_IFMT]
	if !ok {
		return nil, fmt.Errorf("%s is of type %o, which this model does not know", path, st.Mode&unix.S_IFMT)
	}
	n := &node{kind: kind, id: inode{uint64(st.Dev), uint64(st.Ino)}}
	if kind == james.TypeChar || kind == james.TypeBlock {
		n.rdev = uint64(st.Rdev)
	}
	xattrs, err := readXattrs(path)
	n.attrs = attrs{uint32(st.Mode) & 0o7777, st.Uid, st.Gid, unix.TimespecToNsec(st.Mtim), xattrs}
	return n, err
}

var kinds = map[uint32]james.EntryType{
	unix.S_IFREG: james.TypeFile, unix.S_IFDIR: james.TypeDir, unix.S_IFLNK: james.TypeSymlink,
	unix.S_IFIFO: james.TypeFifo, unix.S_IFCHR: james.TypeChar, unix.S_IFBLK: james.TypeBlock,
}

func readContent(path string) (*content, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return nil, err
	}
	return newContent(b, st.Size > block && st.Blocks*512 < st.Size), nil
}

func readXattrs(path string) (map[string]string, error) {
	size, err := unix.Llistxattr(path, nil)
	if err == unix.ENOTSUP || err == nil && size == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, &os.PathError{Op: "listxattr", Path: path, Err: err}
	}
	list := make([]byte, size)
	if size, err = unix.Llistxattr(path, list); err != nil {
		return nil, &os.PathError{Op: "listxattr", Path: path, Err: err}
	}
	all, value := map[string]string{}, make([]byte, james.MaxXattr)
	for name := range strings.SplitSeq(strings.TrimRight(string(list[:size]), "\x00"), "\x00") {
		n, err := unix.Lgetxattr(path, name, value)
		if err != nil {
			return nil, &os.PathError{Op: "getxattr", Path: path, Err: err}
		}
		all[name] = string(value[:n])
	}
	return all, nil
}
