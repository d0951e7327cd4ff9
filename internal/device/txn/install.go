package txn

import (
	"errors"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/trusch/jamesd/internal/device/disk"
	"github.com/trusch/jamesd/pkg/james"
)

// staged is an entry that is to be staged.
type staged struct {
	area int
	name string // in the work area
	path string // physical, where it goes
	// local, where not nil, is the mode and owner that an administrator gave the
	// configuration file that it replaces.
	local *disk.Info
	// late says that a name of the entry's owner was not known when it was staged;
	// a script may add it.
	late bool
	// file is, of a hard link whose file is staged for the link alone, that file.
	file *james.Entry
}

// install decides what a step's new packet brings: first all that is in the way
// goes, then the directories are made, then the files placed.
func (b *builder) install(n int, s *step) error {
	s.New.staged = map[int]*staged{}
	var mkdirs, places, finish []*op
	for k := range s.New.m.Entries {
		e := &s.New.m.Entries[k]
		if e.Path == "." {
			continue // the install root is not the packet's
		}
		if e.Type == james.TypeDir {
			made, last, err := b.listedDir(s, e)
			if err != nil {
				return err
			}
			mkdirs, finish = append(mkdirs, made...), append(finish, last...)
			continue
		}
		dir, made, err := b.ensureDir(s, e.Path.Parent(), nil)
		if err != nil {
			return err
		}
		mkdirs = append(mkdirs, made...)
		place, err := b.file(n, s, k, join(dir, string(e.Path[lastComponent(e.Path):])))
		if err != nil {
			return err
		}
		if place != nil {
			places = append(places, place)
		}
	}
	if err := b.checkLinks(n, s); err != nil {
		return err
	}
	b.barrier(opAway)
	slices.Reverse(finish) // a directory's time is set after those of its children
	b.ops = slices.Concat(b.ops, mkdirs, places, finish)
	return nil
}

// listedDir decides what becomes of a directory that the packet lists.
func (b *builder) listedDir(s *step, e *james.Entry) (mkdirs, finish []*op, err error) {
	path, mkdirs, err := b.ensureDir(s, e.Path, e)
	if err != nil || path == "." || !b.ours[path] {
		return mkdirs, nil, err // what is not ours keeps its mode, owner and time
	}
	at, err := b.area(path)
	if err != nil {
		return nil, nil, err
	}
	if len(mkdirs) == 0 && b.differs(s, e) {
		was, err := b.metaOf(path)
		switch {
		case err == nil:
			finish = append(finish, &op{Kind: opMeta, Path: james.Path(path), Area: at, Was: was, entry: e})
		case !errors.Is(err, os.ErrNotExist): // where an earlier step makes it
			return nil, nil, err
		}
	}
	if !e.Time.IsZero() {
		finish = append([]*op{{Kind: opTime, Path: james.Path(path), Area: at, entry: e}}, finish...)
	}
	return mkdirs, finish, nil
}

// differs reports whether the step's old packet had the directory otherwise, or
// not at all. Where it had it so, what an administrator made of it stays.
func (b *builder) differs(s *step, e *james.Entry) bool {
	if s.Old == nil {
		return true
	}
	before, ok := s.Old.m.Entry(e.Path)
	return !ok || before.Type != james.TypeDir || before.Mode != e.Mode ||
		before.UID != e.UID || before.GID != e.GID || before.User != e.User || before.Group != e.Group ||
		!maps.EqualFunc(before.Xattrs, e.Xattrs, func(a, b []byte) bool { return string(a) == string(b) })
}

// ensureDir returns the physical path of the directory that the packet calls p
// and the ops that make what is missing of it; e is p's entry, if it has one.
func (b *builder) ensureDir(s *step, p james.Path, e *james.Entry) (string, []*op, error) {
	path, err := b.view.dir(p)
	if err != nil {
		return "", nil, err
	}
	if _, ok := b.needed[path]; ok && e == nil || path == "." {
		return path, nil, nil
	}
	if err := b.checkReserved(path); err != nil {
		return "", nil, err
	}
	var mkdirs []*op
	for _, dir := range chain(path) {
		o, err := b.ensureOne(s, dir)
		if err != nil {
			return "", nil, err
		}
		if o != nil {
			mkdirs = append(mkdirs, o)
		}
		b.needed[dir] = s.New.App
	}
	if len(mkdirs) > 0 {
		mkdirs[len(mkdirs)-1].entry = e
	}
	return path, mkdirs, nil
}

// chain returns path and the directories above it, the topmost first.
func chain(path string) []string {
	var all []string
	for ; path != "."; path = parent(path) {
		all = append(all, path)
	}
	slices.Reverse(all)
	return all
}

// ensureOne returns the op that makes a directory, or nil where it is there.
func (b *builder) ensureOne(s *step, dir string) (*op, error) {
	info, there, err := b.view.lookup(dir)
	if err != nil {
		return nil, err
	}
	if there && info.IsDir() {
		return nil, nil
	}
	if owner, ok := b.ownerOf(dir); ok {
		return nil, conflictDir(dir, s.New.App, owner)
	}
	if there {
		return nil, james.Errorf(james.KindConflict, b.i.Disk.Abs(dir), "is a %s that belongs to no packet; %s needs a directory there", info.Type, s.New.App).
			WithHint("move it away or remove it")
	}
	at, err := b.area(dir)
	if err != nil {
		return nil, err
	}
	b.ours[dir] = true
	b.view.set(dir, node{kind: james.TypeDir})
	o := &op{Kind: opMkdir, Path: james.Path(dir), Area: at}
	if rmdir, ok := b.removed[dir]; ok {
		o.Pair = b.ops[rmdir].Name
	}
	return o, nil
}

// ownerOf returns an app of after that claims what is not a directory at path.
func (b *builder) ownerOf(path string) (james.App, bool) {
	for k := b.before.files[path]; k != nil; k = k.next {
		if k.by.stays {
			return k.by.App, true
		}
	}
	if k := b.coming[path]; k != nil {
		return k.by.App, true
	}
	a, ok := b.before.besides[path]
	return a, ok
}

// checkReserved refuses paths that are the agent's own.
func (b *builder) checkReserved(path string) error {
	state := b.i.stateInRoot()
	if state != "" && james.Path(path).Within(james.Path(state)) {
		return james.Errorf(james.KindDenied, james.Path(path).String(), "is in the state directory of the agent, which no packet may change")
	}
	for c := range strings.SplitSeq(path, "/") {
		if c == workDir {
			return james.Errorf(james.KindDenied, james.Path(path).String(), "has the name %s, which is the agent's own", workDir)
		}
	}
	return nil
}

// file decides what becomes of an entry that is not a directory, and returns its
// place, or nil where the local file stays as it is or belongs to a packet that
// replaces this one.
func (b *builder) file(n int, s *step, k int, path string) (*op, error) {
	e := &s.New.m.Entries[k]
	if err := b.checkReserved(path); err != nil {
		return nil, err
	}
	by := s.New.claimant()
	mine, err := b.contest(by, path)
	if err != nil || !mine {
		return nil, err
	}
	if err := b.checkFree(s, path); err != nil {
		return nil, err
	}
	if err := b.takeOver(s, path); err != nil {
		return nil, err
	}
	to, err := b.decide(s, e, path)
	if err != nil || to == "" {
		return nil, err
	}
	if to != path {
		if err := b.checkFree(s, to); err != nil {
			return nil, err
		}
		b.coming[to] = &claim{by: by}
	}
	if err := b.clear(s, to); err != nil {
		return nil, err
	}
	return b.place(n, s, k, to)
}

// checkFree refuses a path that an app of after needs for a directory, or for its
// version of a configuration file.
func (b *builder) checkFree(s *step, path string) error {
	for _, needed := range []map[string]james.App{b.needed, b.before.dirs} {
		if owner, ok := needed[path]; ok {
			return conflictDir(path, owner, s.New.App)
		}
	}
	if owner, ok := b.before.besides[path]; ok {
		return conflict(path, owner, s.New.App)
	}
	return nil
}

// takeOver takes away what the packet that path belongs to has put beside it,
// where the new packet replaces that one.
func (b *builder) takeOver(s *step, path string) error {
	k := b.before.files[path]
	if k == nil || k.config == nil || !k.by.beside[k.config.Path] || !slices.Contains(s.New.m.Replaces, k.by.Name) {
		return nil
	}
	for _, name := range besides(path, k.config) {
		delete(b.before.besides, name)
	}
	if k.by.stays {
		if b.taken[k.by.Name] == nil {
			b.taken[k.by.Name] = map[james.Path]bool{}
		}
		b.taken[k.by.Name][k.config.Path] = true
	}
	return b.removeBesides(path, k.config, false)
}

// clear takes away what lies at a path that a file comes to.
func (b *builder) clear(s *step, path string) error {
	info, there, err := b.view.lookup(path)
	if err != nil || !there {
		return err
	}
	if !info.IsDir() {
		return b.takeAway(path, info)
	}
	empty, err := b.view.empty(path)
	if err != nil {
		return err
	}
	if !empty {
		return james.Errorf(james.KindConflict, b.i.Disk.Abs(path), "is a directory with something in it that belongs to no packet; %s has a file of that name", s.New.App).
			WithHint("move what is in it away")
	}
	return b.removeDir(path, true)
}

// place returns the op that puts an entry at a physical path.
func (b *builder) place(n int, s *step, k int, path string) (*op, error) {
	e := &s.New.m.Entries[k]
	at, err := b.area(path)
	if err != nil {
		return nil, err
	}
	st := &staged{area: at, name: stageName(n, k), path: path, local: b.localMeta[path]}
	s.New.staged[k] = st
	o := &op{Kind: opPlace, Path: james.Path(path), Area: at, Name: st.name, entry: e, staged: st}
	if away, ok := b.away[path]; ok {
		o.Pair = b.ops[away].Name
	}
	b.view.set(path, node{e.Type, string(e.Target)})
	return o, nil
}

// checkLinks refuses hard links that would have to lead to another file system.
// What a link names may be left out, as another packet has its path; then it is
// staged for the link alone.
func (b *builder) checkLinks(n int, s *step) error {
	for k := range s.New.m.Entries {
		e := &s.New.m.Entries[k]
		st := s.New.staged[k]
		if e.Type != james.TypeHardlink || st == nil {
			continue
		}
		to, ok := entryIndex(s.New.m, e.Link)
		if ok && s.New.staged[to] == nil {
			s.New.staged[to] = &staged{area: st.area, name: stageName(n, to)}
		}
		if ok && s.New.staged[to].path == "" {
			st.file = &s.New.m.Entries[to]
		}
		if !ok || s.New.staged[to].area != st.area {
			return james.Errorf(james.KindConflict, e.Path.String(), "is a hard link to %s, which is on another file system here", e.Link).
				WithHint("use a symbolic link, or build the packet with two files")
		}
	}
	return nil
}
