package dirblob

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/trusch/jamesd/internal/server/blob"
	"github.com/trusch/jamesd/internal/server/blob/packed"
	"github.com/trusch/jamesd/pkg/james"
)

// opened is a blob's file. It stays readable when it is deleted.
type opened struct {
	*os.File
	content  io.ReaderAt // what the blob reads as
	size     int64       // of content
	modified time.Time
}

// open opens a blob's file, in whatever form it is.
func (s *store) open(ctx context.Context, digest james.Digest) (*opened, error) {
	if err := blob.Interrupted(ctx, blob.Subject(digest)); err != nil {
		return nil, err
	}
	// Asking first keeps it from waiting on something that is not a file.
	fi, err := os.Lstat(s.path(digest))
	if err == nil {
		err = s.check(digest, fi)
	}
	var file *os.File
	if err == nil {
		file, err = os.Open(s.path(digest))
	}
	if err != nil {
		return nil, s.openError(digest, err)
	}
	f, err := s.openContent(digest, file)
	if err != nil {
		_ = file.Close()
		return nil, s.openError(digest, err)
	}
	return f, nil
}

func (s *store) openContent(digest james.Digest, file *os.File) (*opened, error) {
	fi, err := file.Stat()
	if err != nil {
		return nil, err
	}
	f := &opened{File: file, content: file, size: fi.Size(), modified: fi.ModTime().UTC()}
	var head [packed.HeadSize]byte
	n, err := file.ReadAt(head[:], 0)
	if err != nil && !errors.Is(err, io.EOF) || !packed.Is(head[:n]) {
		return f, ignoreEOF(err)
	}
	r, err := packed.Open(file, fi.Size())
	if err != nil {
		return nil, err
	}
	f.content, f.size = r, r.Size()
	return f, nil
}

func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// openError says what an error means that came of opening or reading a blob.
func (s *store) openError(digest james.Digest, err error) error {
	var known *james.Error
	switch {
	case err == nil, errors.As(err, &known):
		return err
	case errors.Is(err, fs.ErrNotExist):
		return s.missing(digest)
	case errors.Is(err, packed.ErrDamaged):
		return s.corrupt(digest, "is damaged: %w", err)
	}
	return s.failed(err)
}

// reader reads one blob.
type reader struct {
	ctx    context.Context
	store  *store
	digest james.Digest
	file   *opened // nil after Close
	pos    int64
	size   int64
}

// Open returns a blob for reading.
func (s *store) Open(ctx context.Context, digest james.Digest) (blob.Reader, error) {
	f, err := s.open(ctx, digest)
	if err != nil {
		return nil, err
	}
	r := &reader{ctx: ctx, store: s, digest: digest, file: f, size: f.size}
	if p, ok := f.content.(*packed.Reader); ok {
		return &framed{r, p}, nil
	}
	return r, nil
}

// framed reads a blob that is kept compressed.
type framed struct {
	*reader
	frames *packed.Reader
}

// WriteFrames is as in blob.Framed.
func (r *framed) WriteFrames(w io.Writer) error {
	if r.file == nil {
		return blob.Closed(r.digest)
	}
	return r.store.openError(r.digest, r.frames.WriteFrames(blob.Until(r.ctx, blob.Subject(r.digest), w)))
}

func (r *reader) Read(p []byte) (int, error) {
	if r.file == nil {
		return 0, blob.Closed(r.digest)
	}
	if err := blob.Interrupted(r.ctx, blob.Subject(r.digest)); err != nil {
		return 0, err
	}
	if r.pos >= r.size {
		return 0, io.EOF
	}
	n, err := r.file.content.ReadAt(p[:min(int64(len(p)), r.size-r.pos)], r.pos)
	r.pos += int64(n)
	switch {
	case n > 0 || err == nil:
		return n, nil // an error comes again with the next call
	case errors.Is(err, io.EOF):
		return 0, r.store.corrupt(r.digest, "was cut to %d of %d bytes while it was read", r.pos, r.size)
	}
	return 0, r.store.openError(r.digest, err)
}

func (r *reader) Seek(offset int64, whence int) (int64, error) {
	if r.file == nil {
		return 0, blob.Closed(r.digest)
	}
	pos, err := blob.Seek(r.pos, r.size, offset, whence)
	if err == nil {
		r.pos = pos
	}
	return pos, err
}

func (r *reader) Size() int64 { return r.size }

func (r *reader) Close() error {
	if r.file == nil {
		return nil
	}
	err := r.file.Close()
	r.file = nil
	return err
}
