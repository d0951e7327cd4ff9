package dirblob

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"

	"github.com/trusch/jamesd/internal/server/blob"
	"github.com/trusch/jamesd/pkg/james"
)

// reader reads one blob's file. The file stays readable when it is deleted.
type reader struct {
	ctx    context.Context
	store  *store
	digest james.Digest
	file   *os.File // nil after Close
	pos    int64
	size   int64
}

// Open returns a blob for reading.
func (s *store) Open(ctx context.Context, digest james.Digest) (blob.Reader, error) {
	// Asking first keeps Open from waiting on something that is not a file.
	if _, err := s.Stat(ctx, digest); err != nil {
		return nil, err
	}
	file, err := os.Open(s.path(digest))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, s.missing(digest)
	}
	if err != nil {
		return nil, s.failed(err)
	}
	fi, err := file.Stat()
	if err != nil {
		_ = file.Close()
		return nil, s.failed(err)
	}
	return &reader{ctx: ctx, store: s, digest: digest, file: file, size: fi.Size()}, nil
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
	n, err := r.file.ReadAt(p[:min(int64(len(p)), r.size-r.pos)], r.pos)
	r.pos += int64(n)
	switch {
	case n > 0 || err == nil:
		return n, nil // an error comes again with the next call
	case errors.Is(err, io.EOF):
		return 0, r.store.corrupt(r.digest, "was cut to %d of %d bytes while it was read", r.pos, r.size)
	}
	return 0, r.store.failed(err)
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
