package archive

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/trusch/jamesd/pkg/james"
)

// node is one file, directory or link of a tree that is built into an archive.
type node struct {
	path james.Path
	info fs.FileInfo
	stat fileStat
	// first is the first path of the same file, where path is another one.
	first james.Path
}

// inode identifies a file whatever its names.
type inode struct{ dev, ino uint64 }

// fileStat is what fs.FileInfo does not tell.
type fileStat struct {
	inode
	links    uint64
	uid, gid int
}

func (n *node) mode() int64 {
	mode := int64(n.info.Mode().Perm())
	for bit, has := range map[int64]fs.FileMode{0o4000: fs.ModeSetuid, 0o2000: fs.ModeSetgid, 0o1000: fs.ModeSticky} {
		if n.info.Mode()&has != 0 {
			mode |= bit
		}
	}
	return mode
}

func (n *node) contentSize() int64 {
	if n.info.Mode().IsRegular() && n.first == "" {
		return n.info.Size()
	}
	return 0
}

// is reports whether info, which was read later, is of the same, unchanged file.
// The inode alone does not tell: the number of a removed file is used again.
func (n *node) is(info fs.FileInfo) bool {
	return os.SameFile(info, n.info) && info.Mode() == n.info.Mode() && info.Size() == n.info.Size() &&
		info.ModTime().Equal(n.info.ModTime())
}

// listTree opens dir and returns all that is below it, sorted by path.
func listTree(ctx context.Context, dir string) (*os.Root, []node, error) {
	dir, err := treeRoot(dir)
	if err != nil {
		return nil, nil, err
	}
	var nodes []node
	err = filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		name, _ = filepath.Rel(dir, name)
		switch {
		case ctx.Err() != nil:
			return stopped(ctx)
		case err != nil:
			return readFileError(james.Path(name), err)
		case name == ".":
			return nil
		case len(nodes) == james.MaxEntries:
			return james.Errorf(james.KindInvalid, dir, "has more than %d files and directories", james.MaxEntries)
		}
		n, err := nodeOf(name, d)
		nodes = append(nodes, n)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	slices.SortFunc(nodes, func(a, b node) int { return cmp.Compare(a.path, b.path) })
	findLinks(nodes)
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, nil, readFileError(james.Path(dir), err)
	}
	return root, nodes, nil
}

// findLinks finds the files that have several paths.
func findLinks(nodes []node) {
	first := make(map[inode]james.Path)
	for i := range nodes {
		n := &nodes[i]
		if !n.info.Mode().IsRegular() || n.stat.links < 2 {
			continue
		}
		if p, ok := first[n.stat.inode]; ok {
			n.first = p
		} else {
			first[n.stat.inode] = n.path
		}
	}
}

// treeRoot returns the directory that dir names, or leads to.
func treeRoot(dir string) (string, error) {
	real, err := filepath.EvalSymlinks(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return "", james.Errorf(james.KindNotFound, dir, "there is no such directory")
	}
	if err != nil {
		return "", readFileError(james.Path(dir), err)
	}
	info, err := os.Stat(real)
	if err != nil {
		return "", readFileError(james.Path(dir), err)
	}
	if !info.IsDir() {
		return "", james.Errorf(james.KindInvalid, dir, "is not a directory").
			WithHint("Name the directory that holds the packet's files as they lie below the install root.")
	}
	return real, nil
}

// kinds are the types of file that an archive cannot hold.
var kinds = map[fs.FileMode]string{
	fs.ModeSocket:                     "a socket",
	fs.ModeNamedPipe:                  "a fifo",
	fs.ModeDevice:                     "a block device",
	fs.ModeDevice | fs.ModeCharDevice: "a character device",
	fs.ModeIrregular:                  "of an unknown kind",
}

func nodeOf(name string, d fs.DirEntry) (node, error) {
	path, err := pathOf(name)
	if err != nil {
		return node{}, err
	}
	info, err := d.Info()
	if err != nil {
		return node{}, readFileError(path, err)
	}
	if what, bad := kinds[info.Mode().Type()]; bad {
		return node{}, james.Errorf(james.KindInvalid, path.String(), "is %s; a packet holds files, directories and links", what)
	}
	return node{path: path, info: info, stat: statOf(info)}, nil
}
