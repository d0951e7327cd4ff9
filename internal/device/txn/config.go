package txn

import (
	"cmp"
	"crypto/sha256"
	"io"
	"slices"

	"github.com/trusch/jamesd/internal/device/disk"
	"github.com/trusch/jamesd/pkg/james"
)

// Configuration files are the regular files of a packet below the configuration
// directories. What becomes of one is decided by three contents, that of the old
// packet, the local one, and that of the new packet, never by asking:
//
//	local file                old packet    what happens
//	as the old packet's       any           the new packet's replaces it, or it goes with the packet
//	as the new packet's       any           it stays
//	changed                   as the new    it stays
//	changed                   other         it stays, the new packet's comes beside it
//	changed                   packet goes   it stays and belongs to nobody
//	deleted                   as the new    it stays deleted
//	deleted                   other         it stays deleted, the new packet's comes beside
//	there, of no packet       none          it stays, the new packet's comes beside it
//
// "Beside" is the name with besideSuffix; that file goes with its packet. Where
// the administrator changed mode or owner alone, the new file gets them.
const besideSuffix = ".james-new"

// isConfig reports whether the entry of m is a configuration file. A file that
// has several names is none: its names must stay one file.
func (b *builder) isConfig(m *james.Manifest, e *james.Entry) bool {
	if e.Type != james.TypeFile || b.linked(m)[e.Path] {
		return false
	}
	return slices.ContainsFunc(b.i.ConfigDirs, func(dir james.Path) bool { return e.Path != dir && e.Path.Within(dir) })
}

// linked returns the files of m that hard links name.
func (b *builder) linked(m *james.Manifest) map[james.Path]bool {
	if known, ok := b.links[m]; ok {
		return known
	}
	links := map[james.Path]bool{}
	for k := range m.Entries {
		if m.Entries[k].Type == james.TypeHardlink {
			links[m.Entries[k].Link] = true
		}
	}
	b.links[m] = links
	return links
}

// changed reports whether the local file differs from the entry in content or
// type.
func (b *builder) changed(path string, info disk.Info, e *james.Entry) (bool, error) {
	if info.Type != james.TypeFile || info.Size != e.Size {
		return true, nil
	}
	file, err := b.i.Disk.OpenFile(path)
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

// noteMeta keeps the mode and owner of a local file that are not those that the
// old packet gave it.
func (b *builder) noteMeta(path string, info disk.Info, e *james.Entry) {
	want := b.ids.meta(e)
	if info.Mode != want.Mode || b.i.Disk.Privileged() && (info.UID != want.UID || info.GID != want.GID) {
		b.localMeta[e.Path] = &info
	}
}

// decide returns the physical path that the entry is to be placed at: path, the
// one beside it, or "" for nowhere.
func (b *builder) decide(s *step, e *james.Entry, path string) (string, error) {
	if !b.isConfig(s.New.m, e) {
		delete(b.localMeta, e.Path)
		return path, nil
	}
	var before *james.Entry
	if s.Old != nil {
		if old, ok := s.Old.m.Entry(e.Path); ok && b.isConfig(s.Old.m, &old) {
			before = &old
		}
	}
	unchanged := before != nil && before.Digest == e.Digest && !s.Old.beside[e.Path]
	info, there, err := b.view.lookup(path)
	if err != nil {
		return "", err
	}
	if !there {
		_, moved := b.away[path]
		switch {
		case moved || before == nil: // it was as packed, or never there
			return path, nil
		case unchanged:
			return "", nil
		}
		return path + besideSuffix, nil
	}
	if info.IsDir() && before == nil {
		return path, nil // no edit of a file; refused later unless it is empty
	}
	if unchanged {
		return "", nil
	}
	changed, err := b.changed(path, info, e)
	if err != nil || !changed {
		return "", err
	}
	return path + besideSuffix, nil
}

// entryIndex returns the index of the entry at p.
func entryIndex(m *james.Manifest, p james.Path) (int, bool) {
	return slices.BinarySearchFunc(m.Entries, p, func(e james.Entry, p james.Path) int { return cmp.Compare(e.Path, p) })
}
