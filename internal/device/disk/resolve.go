package disk

import (
	"os"
	"path"
	"strings"
	"time"

	securejoin "github.com/cyphar/filepath-securejoin"

	"github.com/trusch/jamesd/pkg/james"
)

// Tree answers what lies at a physical path. A Disk is one; what a plan will
// make of a disk is another.
type Tree interface {
	// Lstat fails with KindNotFound where nothing lies.
	Lstat(path string) (Info, error)
	Readlink(path string) (string, error)
}

// Resolve returns the physical path of what path names in the tree, with every
// symbolic link followed, also the last. An absolute link starts at the root of
// the tree. Where a component does not exist, it and what follows stay as they
// are. Resolve fails with KindDenied for a relative link that leads out of the
// tree, unless the tree is that of "/", out of which nothing leads, and with
// KindConflict for a loop of links.
func (d *Disk) Resolve(path string, over Tree) (string, error) {
	if path == "." {
		return path, nil
	}
	full, err := securejoin.SecureJoinVFS("/", path, view{over, d.root == "/"})
	if err != nil {
		return "", failure(d.Abs(path), err)
	}
	return rel(full), nil
}

// rel makes a path of the tree from one that starts with slashes.
func rel(full string) string {
	if full = strings.TrimLeft(full, "/"); full == "" {
		return "."
	}
	return full
}

// view shows a Tree to securejoin.
type view struct {
	tree   Tree
	isRoot bool
}

func (v view) Lstat(name string) (os.FileInfo, error) {
	info, err := v.tree.Lstat(rel(name))
	if err != nil {
		return nil, err
	}
	return fileInfo{info, path.Base(name)}, nil
}

func (v view) Readlink(name string) (string, error) {
	target, err := v.tree.Readlink(rel(name))
	if err == nil && !v.isRoot && leadsOut(path.Dir(rel(name)), target) {
		return "", james.Errorf(james.KindDenied, rel(name), "is a symbolic link to %s, which leads out of the install root", target).
			WithHint("remove the link or let it start at /, which is the install root for a packet")
	}
	return target, err
}

// leadsOut reports whether target, seen from dir, climbs above the root.
func leadsOut(dir, target string) bool {
	if path.IsAbs(target) {
		dir, target = ".", strings.TrimLeft(target, "/")
	}
	joined := path.Join(dir, target)
	return joined == ".." || strings.HasPrefix(joined, "../")
}

// fileInfo is what securejoin reads of an Info: its mode.
type fileInfo struct {
	Info
	name string
}

func (f fileInfo) Name() string       { return f.name }
func (f fileInfo) Size() int64        { return f.Info.Size }
func (f fileInfo) ModTime() time.Time { return f.Time }
func (f fileInfo) Sys() any           { return nil }
func (f fileInfo) Mode() os.FileMode {
	switch f.Type {
	case james.TypeDir:
		return os.ModeDir
	case james.TypeSymlink:
		return os.ModeSymlink
	case james.TypeFile:
		return 0
	}
	return os.ModeIrregular
}
