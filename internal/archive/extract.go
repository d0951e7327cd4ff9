package archive

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"hash"
	"io"
	"slices"

	"github.com/trusch/jamesd/pkg/james"
)

// Extract calls fn for every regular file of m in the archive's order, with its
// content; e points into m. Sparse files have zeros where their holes are.
//
// The content is checked while it is read: with the last byte, or instead of
// io.EOF, fn gets an error of james.KindCorrupt if it has not the size and
// digest of the manifest. What fn leaves is read and checked after it, so fn may
// ignore a file, but what it has read is known to be right only once it saw
// io.EOF, or Extract has gone on to the next file. An error of fn ends Extract
// and is returned as it is.
//
// Extract fails with james.KindCorrupt, naming the entry, where the archive and
// the manifest differ: an entry that the other lacks, of another type, or with
// another link target; and where the archive is not one that Scan accepts. Mode,
// owner, times and attributes are the manifest's and are not compared. It reads r
// to its end; the caller bounds r, as the size of the archive is known.
func Extract(ctx context.Context, r io.Reader, m *james.Manifest, fn func(e *james.Entry, content io.Reader) error) error {
	x := &extractor{m: m, fn: fn, seen: make([]bool, len(m.Entries)), hash: sha256.New()}
	if _, err := walk(ctx, r, manifestLimits(), x.visit); err != nil {
		return x.failure(err)
	}
	for i := range m.Entries {
		if e := &m.Entries[i]; !x.seen[i] && e.Path != "." {
			return corrupt(e, "is in the manifest and not in the archive")
		}
	}
	return nil
}

// extractor compares an archive with its manifest.
type extractor struct {
	m    *james.Manifest
	fn   func(e *james.Entry, content io.Reader) error
	seen []bool // by index of the manifest's entries
	hash hash.Hash
	// refused is what fn returned.
	refused error
}

// failure makes everything that is wrong with the archive james.KindCorrupt:
// it was in order when the server took it.
func (x *extractor) failure(err error) error {
	if x.refused != nil {
		return x.refused
	}
	return asCorrupt(err)
}

func asCorrupt(err error) error {
	var known *james.Error
	if !errors.As(err, &known) || known.Kind != james.KindInvalid {
		return err
	}
	out := *known
	out.Kind, out.Hint = james.KindCorrupt, "" // hints are for who made it
	return &out
}

func corrupt(e *james.Entry, format string, args ...any) *james.Error {
	return james.Errorf(james.KindCorrupt, e.Path.String(), format, args...)
}

func (x *extractor) visit(it item) error {
	if it.path == "." {
		return nil
	}
	i, ok := slices.BinarySearchFunc(x.m.Entries, it.path, func(e james.Entry, p james.Path) int { return cmp.Compare(e.Path, p) })
	if !ok {
		return corrupt(&james.Entry{Path: it.path}, "is in the archive and not in the manifest")
	}
	e := &x.m.Entries[i]
	if x.seen[i] && e.Type != james.TypeDir {
		return corrupt(e, "is in the archive twice")
	}
	x.seen[i] = true
	if err := x.compare(e, it); err != nil {
		return err
	}
	if e.Type != james.TypeFile {
		return nil
	}
	return x.file(e, it.content)
}

// compare checks what the header tells beside the attributes.
func (x *extractor) compare(e *james.Entry, it item) error {
	if is := typeOf(it.hdr.Typeflag); is != e.Type {
		return corrupt(e, "is a %s in the manifest, not so in the archive (tar type %q)", e.Type, it.hdr.Typeflag)
	}
	switch e.Type {
	case james.TypeFile:
		if it.hdr.Size != e.Size {
			return corrupt(e, "has %d bytes in the manifest and %d in the archive", e.Size, it.hdr.Size)
		}
	case james.TypeSymlink:
		if it.hdr.Linkname != string(e.Target) {
			return corrupt(e, "is a link to %s in the manifest and to %s in the archive", e.Target, james.Target(it.hdr.Linkname))
		}
	case james.TypeHardlink:
		return x.compareLink(e, it)
	}
	return nil
}

func (x *extractor) compareLink(e *james.Entry, it item) error {
	to, err := linkOf(it.hdr, it.path)
	if err != nil {
		return err
	}
	// The manifest names the file where the archive may name another link.
	if next, ok := x.m.Entry(to); ok && next.Type == james.TypeHardlink {
		to = next.Link
	}
	if to != e.Link {
		return corrupt(e, "is a hard link to %s in the manifest and to %s in the archive", e.Link, to)
	}
	return nil
}

// file hands a file to fn and reads what fn leaves.
func (x *extractor) file(e *james.Entry, content io.Reader) error {
	x.hash.Reset()
	v := &verifier{r: content, e: e, hash: x.hash}
	err := x.fn(e, v)
	if v.err != nil && v.err != io.EOF {
		return v.err // whatever fn made of it
	}
	if err != nil {
		x.refused = err
		return err
	}
	_, err = io.Copy(io.Discard, v)
	return err
}

// verifier reads the content of a file and compares it with the manifest.
type verifier struct {
	r    io.Reader
	e    *james.Entry
	hash hash.Hash
	n    int64
	err  error
}

func (v *verifier) Read(p []byte) (int, error) {
	if v.err != nil {
		return 0, v.err
	}
	n, err := v.r.Read(p)
	v.hash.Write(p[:n])
	v.n += int64(n)
	if err == io.EOF || err == nil && v.n == v.e.Size && n > 0 {
		if mismatch := v.check(); mismatch != nil {
			err = mismatch
		}
	}
	v.err = asCorrupt(err)
	return n, v.err
}

func (v *verifier) check() error {
	var sum james.Digest
	v.hash.Sum(sum[:0])
	if v.n != v.e.Size || sum != v.e.Digest {
		return corrupt(v.e, "has the content %s in the archive and %s in the manifest", sum.Short(), v.e.Digest.Short())
	}
	return nil
}
