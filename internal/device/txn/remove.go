package txn

import (
	"maps"
	"slices"

	"github.com/trusch/jamesd/pkg/james"
)

// remove decides what of a step's old packet goes.
func (b *builder) remove(n int, s *step) error {
	dirs := map[string]bool{}
	for k := range slices.Backward(s.Old.m.Entries) {
		e := &s.Old.m.Entries[k]
		if e.Type == james.TypeDir {
			dir, err := b.first.dir(e.Path)
			if err != nil {
				return err
			}
			addChain(dirs, dir)
			continue
		}
		path, err := b.first.locate(e.Path) // where it was put
		if err != nil {
			return err
		}
		addChain(dirs, parent(path))
		if owner, _ := b.before.owner(path); owner.Name != s.Old.App.Name {
			continue // taken over by a packet that replaces this one
		}
		b.orphan(path)
		if err := b.removeFile(s, e, path); err != nil {
			return err
		}
		if s.Old.beside[e.Path] {
			if err := b.removeBesides(path, e, b.purges(s, e)); err != nil {
				return err
			}
		}
	}
	return b.removeDirs(dirs)
}

func addChain(dirs map[string]bool, dir string) {
	for ; dir != "." && !dirs[dir]; dir = parent(dir) {
		dirs[dir] = true
	}
}

// orphan notes the claim of a packet that stays on a configuration file that belongs
// to one that goes.
func (b *builder) orphan(path string) {
	for k := b.before.files[path].next; k != nil; k = k.next {
		if k.by.stays && k.config != nil {
			b.orphaned[path] = k
			return
		}
	}
}

// lost returns the configuration files, by app, that will not be there because they
// went with a packet that had taken them over, in this plan or before.
func (b *builder) lost() map[string][]james.Path {
	all := map[string][]james.Path{}
	note := func(path string, k *claim) {
		if _, there, err := b.view.lookup(path); err == nil && !there && b.coming[path] == nil {
			all[k.by.Name] = append(all[k.by.Name], k.config.Path)
		}
	}
	for path, k := range b.orphaned {
		note(path, k)
	}
	for path, k := range b.before.files {
		if k.config != nil && k.by.stays && slices.Contains(k.by.lost, k.config.Path) {
			note(path, k)
		}
	}
	for _, paths := range all {
		slices.Sort(paths)
	}
	return all
}

// removeFile takes a file away, unless it is not there any more, belongs to
// another step already, or is configuration that somebody changed.
func (b *builder) removeFile(s *step, e *james.Entry, path string) error {
	if b.coming[path] != nil {
		return nil
	}
	info, there, err := b.view.lookup(path)
	if err != nil || !there || info.IsDir() {
		return err
	}
	if b.isConfig[s.Old.m](e, path) && !b.purges(s, e) {
		changed, err := b.i.changed(path, info, e)
		if err != nil || changed {
			return err
		}
		b.noteMeta(path, info, e)
	}
	return b.takeAway(path, info)
}

// purges reports whether a configuration file goes with the step's old packet also
// where it was changed: not one that a packet of the plan takes over.
func (b *builder) purges(s *step, e *james.Entry) bool {
	return s.Purge && !slices.ContainsFunc(b.steps, func(other *step) bool {
		if other.New == nil || !slices.Contains(other.New.m.Replaces, s.Old.App.Name) {
			return false
		}
		_, has := other.New.m.Entry(e.Path)
		return has
	})
}

// removeBesides takes away what a packet has put beside the configuration file at
// path: what has its content still, or everything.
func (b *builder) removeBesides(path string, e *james.Entry, everything bool) error {
	for _, name := range besides(path, e) {
		info, there, err := b.view.lookup(name)
		if err != nil {
			return err
		}
		if !there || info.IsDir() || b.coming[name] != nil {
			continue
		}
		if !everything {
			changed, err := b.i.changed(name, info, e)
			if err != nil {
				return err
			}
			if changed {
				continue
			}
		}
		if err := b.takeAway(name, info); err != nil {
			return err
		}
	}
	return nil
}

// removeDirs removes those of an old packet's directories that the installer
// made and that no app of after needs, the deepest first.
func (b *builder) removeDirs(dirs map[string]bool) error {
	keep := b.dirsToCome()
	for _, dir := range slices.Backward(slices.Sorted(maps.Keys(dirs))) {
		if !b.ours[dir] {
			continue
		}
		info, there, err := b.view.lookup(dir)
		if err != nil {
			return err
		}
		if !there || !info.IsDir() {
			delete(b.ours, dir)
			continue
		}
		b.gone[dir] = true
		if keep[dir] || b.inUse(dir) {
			continue
		}
		if err := b.removeDir(dir, false); err != nil {
			return err
		}
	}
	return nil
}

// dirsToCome returns the directories that new packets of the plan will need, as
// far as that can be told before the links are in place: a directory that stays
// keeps its inode, and with it what has it open.
func (b *builder) dirsToCome() map[string]bool {
	if b.toCome != nil {
		return b.toCome
	}
	b.toCome = map[string]bool{}
	for _, s := range b.steps {
		if s.New == nil {
			continue
		}
		for k := range s.New.m.Entries {
			e := &s.New.m.Entries[k]
			p := e.Path
			if e.Type != james.TypeDir {
				p = p.Parent()
			}
			if dir, err := b.first.dir(p); err == nil {
				addChain(b.toCome, dir)
			}
		}
	}
	return b.toCome
}
