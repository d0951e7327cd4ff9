package txn

import (
	"errors"
	"os"

	"github.com/trusch/jamesd/internal/device/disk"
	"github.com/trusch/jamesd/pkg/james"
)

// view is the install root as the operations decided so far will leave it. It is
// a disk.Tree.
type view struct {
	d *disk.Disk
	// changed has, of a directory that is made or removed, also all that is in it: it
	// was empty before, as far as the view knows.
	changed map[string]node
	dirs    map[james.Path]string // resolved, forgotten when a link changes
}

// node is what will lie at a path; its zero value is nothing.
type node struct {
	kind   james.EntryType
	target string // of a symbolic link
}

func newView(d *disk.Disk) *view {
	return &view{d: d, changed: map[string]node{}, dirs: map[james.Path]string{}}
}

// Lstat tells the type alone of what is not there yet.
func (v *view) Lstat(path string) (disk.Info, error) {
	n, ok := v.changed[path]
	if !ok {
		if _, ok = v.changed[parent(path)]; !ok {
			return v.d.Lstat(path)
		}
	}
	if n.kind == "" {
		return disk.Info{}, james.Errorf(james.KindNotFound, path, "%w", os.ErrNotExist)
	}
	return disk.Info{Type: n.kind}, nil
}

func (v *view) Readlink(path string) (string, error) {
	if n, ok := v.changed[path]; ok {
		return n.target, nil
	}
	return v.d.Readlink(path)
}

// lookup is Lstat with a bool for absence.
func (v *view) lookup(path string) (disk.Info, bool, error) {
	info, err := v.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return info, false, nil
	}
	return info, err == nil, err
}

// set notes what will lie at path.
func (v *view) set(path string, n node) {
	before, _, _ := v.lookup(path)
	if before.Type == james.TypeSymlink || n.kind == james.TypeSymlink {
		clear(v.dirs)
	}
	v.changed[path] = n
}

// dir returns the physical path of the directory that a packet calls p.
func (v *view) dir(p james.Path) (string, error) {
	if known, ok := v.dirs[p]; ok {
		return known, nil
	}
	physical, err := v.d.Resolve(string(p), v)
	if err == nil {
		v.dirs[p] = physical
	}
	return physical, err
}

// locate returns the physical path of the file that a packet calls p; only its
// directory is resolved.
func (v *view) locate(p james.Path) (string, error) {
	dir, err := v.dir(p.Parent())
	if err != nil {
		return "", err
	}
	return join(dir, string(p[lastComponent(p):])), nil
}

func lastComponent(p james.Path) int {
	if dir := p.Parent(); dir != "." {
		return len(dir) + 1
	}
	return 0
}

// empty reports whether nothing will be in the directory at path.
func (v *view) empty(path string) (bool, error) {
	for p, n := range v.changed {
		if n.kind != "" && p != path && james.Path(p).Within(james.Path(path)) {
			return false, nil
		}
	}
	names, err := v.d.ReadDir(path)
	if errors.Is(err, os.ErrNotExist) {
		return true, nil // made by the plan
	}
	for _, name := range names {
		if _, there, err := v.lookup(join(path, name)); there || err != nil {
			return false, err
		}
	}
	return err == nil, err
}
