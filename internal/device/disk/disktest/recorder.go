package disktest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/trusch/jamesd/internal/device/disk"
	"github.com/trusch/jamesd/pkg/james"
)

// Recorder follows some directory trees while a disk changes them. What it finds
// in the beginning counts as durable.
type Recorder struct {
	mu    sync.Mutex
	dirs  []string
	h     History
	at    map[place]int // the names that there are
	known map[inode]int // the nodes that have one
	names map[int]int   // how many each has
	now   []attrs       // of the nodes
	holds []*content    // of the files
	first int64         // number of the first operation, less one
	begun bool
	// others says that something else may have run since the last operation.
	others bool
	err    error
}

// Record begins to follow the trees of the directories. Its Hook is to be given to
// a disk that changes them, or be called by the disk's hook.
func Record(dirs ...string) (*Recorder, error) {
	r := &Recorder{at: map[place]int{}, known: map[inode]int{}, names: map[int]int{}}
	image, err := Read(dirs...)
	if err != nil {
		return nil, err
	}
	for k, dir := range dirs {
		physical, err := filepath.EvalSymlinks(dir)
		if err != nil {
			return nil, err
		}
		r.dirs = append(r.dirs, physical)
		r.h.roots = append(r.h.roots, r.add(image.roots[k]))
	}
	for k, root := range image.roots {
		r.addNames(r.h.roots[k], root)
	}
	return r, nil
}

// add takes a node in.
func (r *Recorder) add(n *node) int {
	if k, ok := r.known[n.id]; ok {
		return k
	}
	k := len(r.h.nodes)
	r.h.nodes = append(r.h.nodes, birth{n.kind, n.attrs, n.content, n.target, n.rdev, n.id.dev})
	r.now, r.holds = append(r.now, n.attrs), append(r.holds, n.content)
	r.known[n.id] = k
	return k
}

// addNames takes in what is in a directory in the beginning.
func (r *Recorder) addNames(dir int, n *node) {
	walkNames(n, func(name string, child *node) {
		_, before := r.known[child.id]
		k := r.add(child)
		where := place{dir, name}
		r.at[where] = r.newLink(k, where)
		r.names[k]++
		if !before {
			r.addNames(k, child)
		}
	})
}

// newLink takes in a name that was at a place in the beginning, or nowhere.
func (r *Recorder) newLink(node int, where place) int {
	r.h.places, r.h.links = append(r.h.places, where), append(r.h.links, node)
	return len(r.h.links) - 1
}

// History returns what has happened until now.
func (r *Recorder) History() (*History, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.h
	h.settle()
	return &h, r.err
}

// Hook follows an operation. It returns nil: what the recorder does not
// understand is History's error.
func (r *Recorder) Hook(before bool, op disk.Op) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return nil
	}
	if err := r.follow(before, op); err != nil {
		r.err = fmt.Errorf("operation %d, %s %s: %w", len(r.h.Ops), op.Name, op.Path, err)
	}
	return nil
}

func (r *Recorder) follow(before bool, op disk.Op) error {
	if !before {
		// A disk may do several fsyncs at a time.
		return r.did(int(op.N-r.first), op)
	}
	if !r.begun {
		r.begun, r.first = true, op.N-1
	}
	r.h.Ops = append(r.h.Ops, op)
	if r.others {
		r.others = false
		return r.rescan()
	}
	return nil
}

// did notes what an operation has done.
func (r *Recorder) did(n int, op disk.Op) error {
	path, k, inside := r.inside(op.Path)
	if !inside && op.Name == "link" { // of a file that the model does not know
		op.Path = op.To
		path, k, inside = r.inside(op.To)
		op.Name = "create"
	}
	if !inside {
		return nil
	}
	switch op.Name {
	case "fsync":
		r.others = true // a transaction syncs its journal before it runs a script
		return r.fsync(n, k, path)
	case "syncfs":
		return r.syncfs(n, op.Path)
	case "mkdir", "create", "symlink", "mknod":
		return r.made(n, k, path, op.Path)
	case "link":
		return r.linked(n, k, path, op.To)
	case "rename":
		return r.renamed(n, k, path, op.To)
	case "remove", "rmdir":
		return r.removed(n, k, path)
	case "chown", "chmod", "setxattr", "removexattr", "utimes", "write", "append", "truncate", "reserve":
		return r.changed(event{op: n}, k, path)
	}
	return errors.New("the model does not know this operation")
}

// inside returns the path of an absolute name in the tree that it is in.
func (r *Recorder) inside(name string) (path string, tree int, ok bool) {
	for k, dir := range r.dirs {
		if name == dir {
			return ".", k, true
		}
		if rest, ok := strings.CutPrefix(name, dir+"/"); ok {
			return rest, k, true
		}
	}
	return "", 0, false
}

// abs is the name of a path in a tree.
func (r *Recorder) abs(tree int, path string) string { return filepath.Join(r.dirs[tree], path) }

// node returns the node at a path of a tree.
func (r *Recorder) node(tree int, path string) (int, error) {
	n := r.h.roots[tree]
	if path == "." {
		return n, nil
	}
	for name := range strings.SplitSeq(path, "/") {
		link, ok := r.at[place{n, name}]
		if !ok {
			return 0, fmt.Errorf("%s: the model has no %s", path, name)
		}
		n = r.h.links[link]
	}
	return n, nil
}

// where returns the place of a path.
func (r *Recorder) where(tree int, path string) (place, error) {
	dir, err := r.node(tree, filepath.Dir(path))
	return place{dir, filepath.Base(path)}, err
}

func (r *Recorder) note(e event) { r.h.events = append(r.h.events, e) }

// made notes a name with a new node. A file may have been there: then it was
// opened.
func (r *Recorder) made(n, tree int, path, name string) error {
	where, err := r.where(tree, path)
	if err != nil {
		return err
	}
	if _, ok := r.at[where]; ok {
		return nil
	}
	return r.born(event{op: n}, where, tree, path)
}

// born notes a node that has come to a place. What it held from the start, as
// only one that something else made does, is an event of its own.
func (r *Recorder) born(e event, where place, tree int, path string) error {
	n, err := stat(r.abs(tree, path))
	if err != nil {
		return err
	}
	if n.kind == james.TypeSymlink {
		if n.target, err = os.Readlink(r.abs(tree, path)); err != nil {
			return err
		}
	}
	if n.kind == james.TypeFile {
		n.content = newContent(nil, false)
	}
	k := r.add(n)
	e.kind, e.link, e.to = eventMove, r.newLink(k, place{}), where
	r.put(e)
	if err := r.changed(e, tree, path); err != nil {
		return err
	}
	return r.changed(e, tree, filepath.Dir(path))
}

// put notes the move of a name.
func (r *Recorder) put(e event) {
	r.note(e)
	if e.from.name != "" {
		delete(r.at, e.from)
		r.drop(r.h.links[e.link])
	}
	if e.to.name == "" {
		return
	}
	if other, ok := r.at[e.to]; ok {
		r.drop(r.h.links[other])
	}
	r.at[e.to] = e.link
	r.names[r.h.links[e.link]]++
}

// drop takes a name from a node. The system may give the number of a node without
// a name to a new one.
func (r *Recorder) drop(node int) {
	if r.names[node]--; r.names[node] > 0 {
		return
	}
	for id, k := range r.known {
		if k == node {
			delete(r.known, id)
		}
	}
}

func (r *Recorder) linked(n, tree int, path, to string) error {
	node, err := r.node(tree, path)
	if err != nil {
		return err
	}
	toPath, toTree, ok := r.inside(to)
	if !ok {
		return fmt.Errorf("%s is outside of the trees", to)
	}
	where, err := r.where(toTree, toPath)
	if err != nil {
		return err
	}
	r.put(event{kind: eventMove, op: n, link: r.newLink(node, place{}), to: where})
	return r.changed(event{op: n}, toTree, filepath.Dir(toPath))
}

func (r *Recorder) renamed(n, tree int, path, to string) error {
	toPath, toTree, ok := r.inside(to)
	if !ok {
		return fmt.Errorf("%s is outside of the trees", to)
	}
	from, err := r.where(tree, path)
	if err != nil {
		return err
	}
	where, err := r.where(toTree, toPath)
	if err != nil {
		return err
	}
	link, ok := r.at[from]
	if !ok {
		return errors.New("the model has no such name")
	}
	if other, ok := r.at[where]; ok && r.h.links[other] == r.h.links[link] {
		return nil // two names of one file: a rename does nothing
	}
	r.move(event{kind: eventMove, op: n, link: link, from: from, to: where})
	if err := r.changed(event{op: n}, tree, filepath.Dir(path)); err != nil {
		return err
	}
	return r.changed(event{op: n}, toTree, filepath.Dir(toPath))
}

// move is put for a name that stays one: its node keeps its number.
func (r *Recorder) move(e event) {
	r.names[r.h.links[e.link]]++
	r.put(e)
	r.names[r.h.links[e.link]]--
}

func (r *Recorder) removed(n, tree int, path string) error {
	where, err := r.where(tree, path)
	if err != nil {
		return err
	}
	link, ok := r.at[where]
	if !ok {
		return errors.New("the model has no such name")
	}
	r.put(event{kind: eventMove, op: n, link: link, from: where})
	return r.changed(event{op: n}, tree, filepath.Dir(path))
}

// changed notes how metadata and content of what lies at a path differ from what
// they were.
func (r *Recorder) changed(e event, tree int, path string) error {
	k, err := r.node(tree, path)
	if err != nil {
		return err
	}
	n, err := stat(r.abs(tree, path))
	if err != nil {
		return err
	}
	e.node = k
	if n.kind == james.TypeFile {
		if n.content, err = readContent(r.abs(tree, path)); err != nil {
			return err
		}
		if n.content.sum != r.holds[k].sum {
			e.kind, e.patch = eventData, newPatch(r.holds[k], n.content)
			r.holds[k] = n.content
			r.note(e)
		}
	}
	for _, f := range r.now[k].changes(n.attrs) {
		e.kind, e.field = eventSet, f
		r.note(e)
	}
	r.now[k] = n.attrs
	return nil
}

func (r *Recorder) fsync(n, tree int, path string) error {
	node, err := r.node(tree, path)
	if err != nil {
		return err
	}
	r.note(event{kind: eventFsync, op: n, node: node})
	for where, link := range r.at {
		if child := r.h.links[link]; where.dir == node && !syncable[r.h.nodes[child].kind] {
			r.note(event{kind: eventFsync, op: n, node: child})
		}
	}
	return nil
}

// syncable are the types that a program can open and sync.
var syncable = map[james.EntryType]bool{james.TypeFile: true, james.TypeDir: true}

func (r *Recorder) syncfs(n int, name string) error {
	of, err := stat(name)
	if err != nil {
		return err
	}
	r.note(event{kind: eventSyncfs, op: n, dev: of.id.dev})
	return nil
}
