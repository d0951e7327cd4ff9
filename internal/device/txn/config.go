package txn

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"io"
	"slices"
	"unicode/utf8"

	"github.com/trusch/jamesd/internal/device/disk"
	"github.com/trusch/jamesd/pkg/james"
)

// Configuration files are the regular files and symbolic links of a packet below
// the configuration directories, but for files that have several names, which
// must stay one file. What becomes of one is decided by three contents, that of
// the old packet, the local one, and that of the new packet, never by asking:
//
//	local file                old packet    what happens
//	as the old packet's       any           the new packet's replaces it, or it goes with the packet
//	as the new packet's       any           it stays
//	changed                   as the new    it stays
//	changed                   other         it stays, the new packet's comes beside it
//	changed                   packet goes   it stays and belongs to nobody; purged, it goes
//	deleted                   as the new    it stays deleted
//	deleted                   other         it stays deleted, the new packet's comes beside
//	there, of no packet       none          it stays, the new packet's comes beside it
//
// The old packet is the one that the file belongs to: the version before, or a
// packet that the new one replaces. Where the administrator changed mode or owner
// alone, the new file gets them. What cannot come beside, such as a fifo, is
// refused where it would be the end of a changed file.
//
// "Beside" is a name that ends with besideSuffix; that file goes with its packet,
// too, as long as it is what the packet put there. Where somebody edited it, or
// the name is taken, the next comes under another name; where somebody removed
// it, the same content does not come again.
const besideSuffix = ".james-new"

// maxName is the length of the longest file name, in bytes.
const maxName = james.MaxComponentLen

// besides returns the names at which the version of e of the configuration file
// at path may lie beside it: the usual one, and one for when that is taken, which
// no other content has.
func besides(path string, e *james.Entry) [2]string {
	dir, name := parent(path), path[lastComponent(james.Path(path)):]
	usual := name + besideSuffix
	if len(usual) > maxName {
		usual = besideOf(name, sha256.Sum256([]byte(name)))
	}
	other := besideOf(name, sha256.Sum256(slices.Concat(e.Digest[:], []byte(e.Target), []byte(name))))
	return [2]string{join(dir, usual), join(dir, other)}
}

// besideOf returns a name that has as much of name as there is room for.
func besideOf(name string, sum [sha256.Size]byte) string {
	tail := fmt.Sprintf(".%x%s", sum[:4], besideSuffix)
	head := name[:min(len(name), maxName-len(tail))]
	for len(head) < len(name) && len(head) > 0 && !utf8.RuneStart(name[len(head)]) {
		head = head[:len(head)-1]
	}
	return head + tail
}

// inConfigDir reports whether a path, as a packet names it or the physical one,
// is below a configuration directory.
func (i *Installer) inConfigDir(paths ...james.Path) bool {
	return slices.ContainsFunc(paths, func(p james.Path) bool {
		return slices.ContainsFunc(i.ConfigDirs, func(dir james.Path) bool { return p != dir && p.Within(dir) })
	})
}

// configOf returns what tells the configuration files among the entries of m; path
// is the entry's physical one.
func (i *Installer) configOf(m *james.Manifest) func(e *james.Entry, path string) bool {
	linked := map[james.Path]bool{}
	for k := range m.Entries {
		if m.Entries[k].Type == james.TypeHardlink {
			linked[m.Entries[k].Link] = true
		}
	}
	return func(e *james.Entry, path string) bool {
		return (e.Type == james.TypeFile && !linked[e.Path] || e.Type == james.TypeSymlink) && i.inConfigDir(e.Path, james.Path(path))
	}
}

// changed reports whether the local file differs from the entry in content or
// type.
func (i *Installer) changed(path string, info disk.Info, e *james.Entry) (bool, error) {
	switch {
	case info.Type != e.Type || info.Size != e.Size && e.Type == james.TypeFile:
		return true, nil
	case e.Type == james.TypeSymlink:
		target, err := i.Disk.Readlink(path)
		return target != string(e.Target), err
	}
	file, err := i.Disk.OpenFile(path)
	if err != nil {
		return false, err
	}
	defer file.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, file); err != nil {
		return false, james.Errorf(james.KindUnavailable, file.Name(), "%w", err)
	}
	return james.Digest(sum.Sum(nil)) != e.Digest, nil
}

// sameContent reports whether two entries are files or links of one content.
func sameContent(a, b *james.Entry) bool {
	return a.Type == b.Type && a.Digest == b.Digest && a.Target == b.Target
}

// noteMeta keeps the mode and owner of a local file that are not those that its
// packet gave it.
func (b *builder) noteMeta(path string, info disk.Info, e *james.Entry) {
	want := b.ids.meta(e)
	if info.Type != james.TypeFile {
		return
	}
	if info.Mode != want.Mode || b.i.Disk.Privileged() && (info.UID != want.UID || info.GID != want.GID) {
		b.localMeta[path] = &info
	}
}

// former is the version of a configuration file that the local one comes from.
type former struct {
	*james.Entry
	beside bool // it lies beside the local one
	lost   bool // it went with another packet
	heir   bool // the new packet is the next version, or replaces the one it belongs to
}

// formerOf returns the version that was installed at path before; nil for none.
func (b *builder) formerOf(s *step, path string) *former {
	k := b.before.files[path]
	if k == nil || k.config == nil {
		return nil
	}
	heir := k.by.Name == s.New.App.Name || slices.Contains(s.New.m.Replaces, k.by.Name)
	return &former{k.config, k.by.beside[k.config.Path], slices.Contains(k.by.lost, k.config.Path), heir}
}

// decide returns the physical path that the entry is to be placed at: path, one
// beside it, or "" for nowhere.
func (b *builder) decide(s *step, e *james.Entry, path string) (string, error) {
	old := b.formerOf(s, path)
	if !b.isConfig[s.New.m](e, path) {
		delete(b.localMeta, path)
		return path, b.checkEdit(s, e, path, old)
	}
	heir := old != nil && old.heir
	if !heir {
		delete(b.localMeta, path)
	}
	same := heir && sameContent(old.Entry, e) && !old.beside
	info, there, err := b.view.lookup(path)
	if err != nil {
		return "", err
	}
	if !there {
		_, moved := b.away[path]
		switch {
		case moved || !heir || old.lost: // it was as packed, or never there
			return path, nil
		case same:
			return "", nil
		}
		return b.beside(s, e, path, old)
	}
	if info.IsDir() && old == nil {
		return path, nil // no edit of a file; refused later unless it is empty
	}
	if old != nil { // of a packet that stays, or goes later
		edited, err := b.i.changed(path, info, old.Entry)
		if err != nil {
			return "", err
		}
		if !edited && heir {
			b.noteMeta(path, info, old.Entry)
		}
		if !edited {
			return path, nil
		}
	}
	if same {
		return "", nil
	}
	changed, err := b.i.changed(path, info, e)
	if err != nil || !changed {
		return "", err
	}
	return b.beside(s, e, path, old)
}

// checkEdit refuses an entry that is no configuration file and would replace one
// that somebody changed, or that belongs to no packet.
func (b *builder) checkEdit(s *step, e *james.Entry, path string, old *former) error {
	if !b.i.inConfigDir(e.Path, james.Path(path)) || old == nil && b.before.files[path] != nil {
		return nil
	}
	info, there, err := b.view.lookup(path)
	if err != nil || !there || info.IsDir() {
		return err
	}
	if old != nil {
		if edited, err := b.i.changed(path, info, old.Entry); err != nil || !edited {
			return err
		}
	}
	if changed, err := b.i.changed(path, info, e); err != nil || !changed {
		return err
	}
	return james.Errorf(james.KindConflict, b.i.Disk.Abs(path), "was edited on the device, or belongs to no packet, and %s has a %s of that name with which it cannot be merged", s.New.App, e.Type).
		WithHint("move it away")
}

// spot is a name beside a configuration file.
type spot struct {
	there, moved bool // something lies there; has lain there until an earlier op
	claimed      bool // by a packet
	same         bool // what lies there is the version that is to come
}

func (s *spot) free() bool { return !s.there && !s.claimed }

func (b *builder) spotAt(name string, e *james.Entry) (s spot, err error) {
	info, there, err := b.view.lookup(name)
	if err != nil {
		return s, err
	}
	_, s.moved = b.away[name]
	_, s.claimed = b.before.besides[name]
	s.there = there
	s.claimed = s.claimed || b.coming[name] != nil || b.before.files[name] != nil
	if there && !s.claimed && !info.IsDir() {
		changed, err := b.i.changed(name, info, e)
		s.same = !changed
		return s, err
	}
	return s, nil
}

// beside returns where the new packet's version goes that does not get path, ""
// where it has lain there before and somebody has edited or removed it since.
func (b *builder) beside(s *step, e *james.Entry, path string, old *former) (string, error) {
	names := besides(path, e)
	usual, err := b.spotAt(names[0], e)
	if err != nil {
		return "", err
	}
	other, err := b.spotAt(names[1], e)
	if err != nil {
		return "", err
	}
	seen := old != nil && old.heir && old.beside && sameContent(old.Entry, e)
	if seen && !usual.there && !usual.moved && !other.there && !other.moved {
		return "", nil
	}
	s.New.beside[e.Path] = true
	switch {
	case other.there, usual.same, seen && usual.there && !other.moved:
		return "", nil
	case usual.free():
		return names[0], nil
	case other.free():
		return names[1], nil
	}
	return "", james.Errorf(james.KindConflict, james.Path(path).String(), "was edited, and the names beside it for the version of %s are taken: %s and %s",
		s.New.App, james.Path(names[0]), james.Path(names[1])).WithHint("move what is there away")
}

// entryIndex returns the index of the entry at p.
func entryIndex(m *james.Manifest, p james.Path) (int, bool) {
	return slices.BinarySearchFunc(m.Entries, p, func(e james.Entry, p james.Path) int { return cmp.Compare(e.Path, p) })
}
