// Package load is what is done to a device between two power cuts: packets in
// several versions, the states that a device can be in, the tree of files that
// each of them must be, to the byte, and what lies in a real one. It is made anew
// from fixed seeds wherever it is needed, so that the virtual machine and the
// program that judges it need not tell each other.
package load

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Node is all that there is to know of a path, so that two trees can be compared.
type Node struct {
	Mode   fs.FileMode
	Owner  string // UID:GID
	Time   int64  `json:",omitempty"` // of last modification, in nanoseconds since 1970
	Size   int64  `json:",omitempty"` // of files only
	Sum    string `json:",omitempty"` // the beginning of the content's sha256, in hex
	Target string `json:",omitempty"` // of a symbolic link
	// Links is the number of names of a file that has several, and First the first
	// of them.
	Links  int    `json:",omitempty"`
	First  string `json:",omitempty"`
	Holes  bool   `json:",omitempty"` // whether it takes less room than its size
	Xattrs string `json:",omitempty"`
}

// Tree describes a directory tree by paths relative to it.
type Tree map[string]Node

// List describes what lies below root, root itself as "." included. Of the
// directories whose paths are in skip nothing is described.
func List(root string, skip ...string) (Tree, error) {
	t, first := Tree{}, map[[2]uint64]string{}
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		if slices.Contains(skip, rel) {
			return fs.SkipDir
		}
		n, err := describe(path, rel, first)
		t[rel] = n
		return err
	})
	return t, err
}

func describe(path, rel string, first map[[2]uint64]string) (Node, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return Node{}, err
	}
	st := info.Sys().(*syscall.Stat_t)
	n := Node{Mode: info.Mode(), Owner: fmt.Sprintf("%d:%d", st.Uid, st.Gid), Time: info.ModTime().UnixNano()}
	if !info.IsDir() && st.Nlink > 1 {
		inode := [2]uint64{uint64(st.Dev), st.Ino}
		if first[inode] == "" {
			first[inode] = rel
		}
		n.Links, n.First = int(st.Nlink), first[inode]
	}
	switch {
	case info.Mode().IsRegular():
		n.Size = info.Size()
		n.Holes = st.Blocks*512 < info.Size() && info.Size() >= sparseSize
		if n.Sum, err = sumOf(path); err != nil {
			return n, err
		}
	case info.Mode()&fs.ModeSymlink != 0:
		if n.Target, err = os.Readlink(path); err != nil {
			return n, err
		}
	}
	n.Xattrs, err = xattrs(path)
	return n, err
}

func sumOf(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, file); err != nil {
		return "", err
	}
	return short(sum.Sum(nil)), nil
}

func short(sum []byte) string { return hex.EncodeToString(sum[:10]) }

func xattrs(path string) (string, error) {
	names := make([]byte, 4096)
	n, err := unix.Llistxattr(path, names)
	if err != nil || n == 0 {
		return "", ignore(err, unix.ENOTSUP)
	}
	all := map[string][]byte{}
	for name := range strings.SplitSeq(strings.TrimRight(string(names[:n]), "\x00"), "\x00") {
		value := make([]byte, 4096)
		n, err := unix.Lgetxattr(path, name, value)
		if err != nil {
			return "", err
		}
		all[name] = value[:n]
	}
	return encodeXattrs(all), nil
}

func encodeXattrs(all map[string][]byte) string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(all)) {
		out = append(out, fmt.Sprintf("%s=%q", name, all[name]))
	}
	return strings.Join(out, " ")
}

func ignore(err, what error) error {
	if err == what {
		return nil
	}
	return err
}

// Diff returns how b differs from a, a line for each side of a path, none where
// they are alike. Of the directories in timeless the time does not count.
func Diff(a, b Tree, timeless func(path string) bool) []string {
	var out []string
	for path := range union(a, b) {
		x, inA := a[path]
		y, inB := b[path]
		if timeless(path) && x.Mode.IsDir() && y.Mode.IsDir() {
			x.Time, y.Time = 0, 0
		}
		if inA && inB && x == y {
			continue
		}
		if inA {
			out = append(out, fmt.Sprintf("%s - %+v", path, x))
		}
		if inB {
			out = append(out, fmt.Sprintf("%s + %+v", path, y))
		}
	}
	slices.Sort(out)
	return out
}

func union(a, b Tree) map[string]bool {
	all := map[string]bool{}
	for path := range a {
		all[path] = true
	}
	for path := range b {
		all[path] = true
	}
	return all
}
