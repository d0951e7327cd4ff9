package delta

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"

	"github.com/trusch/jamesd/internal/delta/regzip"
	"github.com/trusch/jamesd/pkg/james"
)

// maxContent is the largest content of a gzip file that is patched as what it is, in
// bytes: who applies the patch has the content of the base in memory.
const maxContent = 7 << 20

// gzipped is of a patch whose pieces make the content of a gzip file out of the content
// of another one.
type gzipped struct {
	form    regzip.Form
	content int64 // bytes of the base's content
	size    int64 // of the file that is made
	skip    int64 // bytes of it that are not wanted
}

// contents returns what is in two gzip files, and in which form the new one is made of
// it; false where one is no such file, or too large.
func contents(old, new []byte) (a, b []byte, f regzip.Form, ok bool) {
	if !regzip.IsGzip(old) || !regzip.IsGzip(new) {
		return nil, nil, f, false
	}
	if a, ok = regzip.Content(old, maxContent); !ok {
		return nil, nil, f, false
	}
	if b, ok = regzip.Content(new, maxContent); !ok {
		return nil, nil, f, false
	}
	f, ok = regzip.Recognize(new, b)
	return a, b, f, ok
}

// from returns g without the first bytes of what it makes.
func (g *gzipped) from(offset int64) *gzipped {
	rest := *g
	rest.skip = min(g.skip+max(offset, 0), g.size)
	return &rest
}

// gzipReader makes a gzip file. All of its content is made, also where only the end of
// the file is wanted.
type gzipReader struct {
	patch *Patch
	old   io.ReaderAt
	file  io.Reader // nil at first
	left  int64
	err   error
}

// Read makes the next bytes of the file.
func (r *gzipReader) Read(b []byte) (int, error) {
	if r.err == nil && r.file == nil {
		r.err = r.start()
	}
	if r.err != nil {
		return 0, r.err
	}
	n, err := r.file.Read(b[:min(int64(len(b)), r.left+1)])
	if r.left -= int64(n); r.left < 0 || err == io.EOF && r.left > 0 || errors.Is(err, regzip.ErrEffort) {
		r.err = james.Errorf(james.KindCorrupt, "patch of a gzip file", "makes another file than one of %d bytes", r.patch.gz.size)
		return 0, r.err
	}
	r.err = err
	return n, err
}

func (r *gzipReader) start() error {
	g := r.patch.gz
	content, err := unzip(r.old, g.content)
	if err != nil {
		return err
	}
	r.file = regzip.NewReader(r.patch.content(bytes.NewReader(content)), g.form)
	r.left = g.size - g.skip
	_, err = io.CopyN(io.Discard, r.file, g.skip)
	if err == io.EOF || errors.Is(err, regzip.ErrEffort) {
		return nil // the next read says so as well
	}
	return err
}

// unzip returns the first bytes of the content of a gzip file.
func unzip(file io.ReaderAt, size int64) ([]byte, error) {
	content := make([]byte, size)
	source := &sticky{Reader: io.NewSectionReader(file, 0, maxSize)}
	z, err := gzip.NewReader(source)
	if err == nil {
		_, err = io.ReadFull(z, content)
	}
	switch {
	case source.err != nil:
		return nil, source.err
	case err != nil:
		return nil, james.Errorf(james.KindCorrupt, "base of a patch", "is not the gzip file that it was: %w", err)
	}
	return content, nil
}

// sticky tells the errors of a file from those of what is in it.
type sticky struct {
	io.Reader
	err error
}

func (s *sticky) Read(b []byte) (int, error) {
	n, err := s.Reader.Read(b)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}
