package archive

import (
	"cmp"
	"context"
	"crypto/sha256"
	"hash"
	"io"
	"maps"
	"slices"

	"github.com/trusch/jamesd/pkg/james"
)

// Scan reads an archive to its end and returns its entries, sorted by path, and
// the format. They can be the entries of a manifest: james.Manifest.Validate has
// nothing against them. File content is hashed and not kept.
//
// It fails with james.KindInvalid, naming the entry, for anything that a packet
// must not hold: a name that is absolute or has "..", an entry below one that is
// no directory, a device unless lim allows it, a path listed twice, a hard link
// that names no file of the archive, more than lim allows, an archive that is
// truncated, damaged, followed by something else, or no tar at all. A directory
// may be listed twice with the same attributes, as tar does when it is told
// "etc etc/app": there is nothing to choose. It fails with
// james.KindInterrupted when r fails or ctx is done, within one read of r.
func Scan(ctx context.Context, r io.Reader, lim Limits) (entries []james.Entry, format string, err error) {
	return ScanTo(ctx, r, lim, nil)
}

// ScanTo is Scan that hands the content of each regular file to take, in the
// order of the archive, while it is hashed. e is what Scan knows by then, all but
// Digest and Data; what take leaves of content is read after it. Whether the
// archive is one that can be taken is known only at its end. An error of take ends
// ScanTo and is returned as it is.
func ScanTo(ctx context.Context, r io.Reader, lim Limits, take func(e *james.Entry, content io.Reader) error) (entries []james.Entry, format string, err error) {
	s := &scanner{lim: lim.orDefault(), take: take, hash: sha256.New(), buf: make([]byte, 64<<10), owners: make(map[string]string)}
	format, err = walk(ctx, r, s.lim, s.add)
	if err != nil {
		return nil, "", err
	}
	entries, err = s.finish()
	if err != nil {
		return nil, "", err
	}
	return entries, format, nil
}

// scanner collects the entries of an archive.
type scanner struct {
	lim     Limits
	take    func(e *james.Entry, content io.Reader) error // may be nil
	entries []james.Entry
	weight  int64 // of the entries in a manifest, at least, in bytes
	hash    hash.Hash
	buf     []byte
	owners  map[string]string // one copy of each name
}

func (s *scanner) add(it item) error {
	e, err := entryOf(it.hdr, it.path, s.lim.AllowDevices)
	if err != nil {
		return err
	}
	if e.Path == "." {
		if e.Type != james.TypeDir {
			return james.Errorf(james.KindInvalid, ".", "is the install root and must be a directory, not a %s", e.Type)
		}
		return nil
	}
	if len(s.entries) == s.lim.MaxEntries {
		return invalid("has more than %d entries, beginning with %s", s.lim.MaxEntries, e.Path)
	}
	if s.weight += weight(&e); s.weight > james.MaxManifest {
		return invalid("has names and attributes of more than %d MiB, beginning with those of %s", james.MaxManifest>>20, e.Path)
	}
	if e.Type == james.TypeFile {
		var data dataMeter
		if e.Sparse {
			it.content = io.TeeReader(it.content, &data)
		}
		if e.Digest, err = s.digest(&e, it.content); err != nil {
			return err
		}
		e.Data = data.data()
	}
	e.User, e.Group = s.intern(e.User), s.intern(e.Group)
	s.entries = append(s.entries, e)
	return nil
}

// weight returns how many bytes e takes in an encoded manifest, or less: enough
// to stop a small archive of large names before they fill the memory.
func weight(e *james.Entry) int64 {
	const frame = len(`{"path":"","type":"dir"},`)
	n := frame + len(e.Path) + len(e.Target) + len(e.Link) + len(e.User) + len(e.Group)
	for k, v := range e.Xattrs {
		n += len(k) + len(v)*4/3
	}
	return int64(n)
}

func (s *scanner) digest(e *james.Entry, content io.Reader) (d james.Digest, err error) {
	s.hash.Reset()
	if s.take != nil {
		if err := s.take(e, io.TeeReader(content, s.hash)); err != nil {
			return d, err
		}
	}
	if _, err := io.CopyBuffer(s.hash, content, s.buf); err != nil {
		return d, err
	}
	s.hash.Sum(d[:0])
	return d, nil
}

func (s *scanner) intern(name string) string {
	if known, ok := s.owners[name]; ok {
		return known
	}
	s.owners[name] = name
	return name
}

// finish sorts the entries and checks what only all of them together tell.
func (s *scanner) finish() ([]james.Entry, error) {
	slices.SortStableFunc(s.entries, func(a, b james.Entry) int { return cmp.Compare(a.Path, b.Path) })
	entries, err := unique(s.entries)
	if err != nil {
		return nil, err
	}
	m := &james.Manifest{Name: "archive", Entries: entries}
	if err := resolveLinks(m); err != nil {
		return nil, err
	}
	return entries, m.Validate()
}

// unique drops the second listing of a directory and refuses any other.
func unique(sorted []james.Entry) ([]james.Entry, error) {
	out := sorted[:0]
	for _, e := range sorted {
		if len(out) == 0 || out[len(out)-1].Path != e.Path {
			out = append(out, e)
			continue
		}
		first := &out[len(out)-1]
		switch {
		case first.Type != e.Type:
			return nil, james.Errorf(james.KindInvalid, e.Path.String(), "is listed twice, as a %s and as a %s", first.Type, e.Type)
		case e.Type != james.TypeDir:
			return nil, james.Errorf(james.KindInvalid, e.Path.String(), "is listed twice")
		case !sameAttributes(first, &e):
			return nil, james.Errorf(james.KindInvalid, e.Path.String(), "is listed twice, with another mode, owner, time or attributes")
		}
	}
	clear(sorted[len(out):])
	return out, nil
}

func sameAttributes(a, b *james.Entry) bool {
	return a.Mode == b.Mode && a.UID == b.UID && a.GID == b.GID && a.User == b.User && a.Group == b.Group &&
		a.Time.Equal(b.Time) && maps.EqualFunc(a.Xattrs, b.Xattrs, slices.Equal)
}

// maxHops bounds how many hard links may lead one to another.
const maxHops = 40

// resolveLinks makes each hard link name a file, where the archive has it name
// another hard link. Validate finds those that lead to no file.
func resolveLinks(m *james.Manifest) error {
	for i := range m.Entries {
		e := &m.Entries[i]
		for hops := 0; e.Type == james.TypeHardlink; hops++ {
			to, ok := m.Entry(e.Link)
			if !ok || to.Type != james.TypeHardlink {
				break
			}
			if hops == maxHops {
				return james.Errorf(james.KindInvalid, e.Path.String(), "is a hard link that leads to itself, or to more than %d others", maxHops)
			}
			e.Link = to.Link
		}
	}
	return nil
}
