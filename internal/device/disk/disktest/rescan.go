package disktest

import (
	"maps"
	"path/filepath"
	"slices"

	"github.com/trusch/jamesd/pkg/james"
)

// rescan notes what something else, such as a script, has done to the trees since
// the last operation.
func (r *Recorder) rescan() error {
	for k, dir := range r.dirs {
		n, err := read(dir, map[inode]*node{})
		if err != nil {
			return err
		}
		e := event{op: len(r.h.Ops), by: true}
		r.dropMissing(e, r.h.roots[k], n)
		if err := r.compare(e, k, ".", n); err != nil {
			return err
		}
	}
	return nil
}

// dropMissing notes the names that are gone, or lead to something else.
func (r *Recorder) dropMissing(e event, dir int, n *node) {
	for where, link := range r.at {
		if where.dir != dir {
			continue
		}
		child, ok := n.names[where.name]
		if node, known := r.lookup(child); !ok || !known || node != r.h.links[link] {
			e.kind, e.link, e.from = eventMove, link, where
			r.put(e)
		}
	}
}

// lookup returns the node that the recorder knows for one of the disk.
func (r *Recorder) lookup(n *node) (int, bool) {
	if n == nil {
		return 0, false
	}
	k, ok := r.known[n.id]
	return k, ok && r.h.nodes[k].kind == n.kind && r.h.nodes[k].target == n.target
}

// compare notes what is new or different in a directory and below.
func (r *Recorder) compare(e event, tree int, path string, n *node) error {
	if err := r.changed(e, tree, path); err != nil {
		return err
	}
	dir, err := r.node(tree, path)
	if err != nil || n.kind != james.TypeDir {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(n.names)) {
		child, below, where := n.names[name], filepath.Join(path, name), place{dir, name}
		if _, ok := r.at[where]; !ok {
			if err := r.appeared(e, where, tree, below, child); err != nil {
				return err
			}
		}
		if node, ok := r.lookup(child); ok && child.kind == james.TypeDir {
			r.dropMissing(e, node, child)
		}
		if err := r.compare(e, tree, below, child); err != nil {
			return err
		}
	}
	return nil
}

// appeared notes a name that something else made.
func (r *Recorder) appeared(e event, where place, tree int, path string, n *node) error {
	if node, ok := r.lookup(n); ok {
		e.kind, e.link, e.to = eventMove, r.newLink(node, place{}), where
		r.put(e)
		return nil
	}
	delete(r.known, n.id)
	return r.born(e, where, tree, path)
}

// walkNames visits what is in a directory, in the order of names.
func walkNames(n *node, visit func(name string, child *node)) {
	for _, name := range slices.Sorted(maps.Keys(n.names)) {
		visit(name, n.names[name])
	}
}
