package dirblob

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"syscall"
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
	case errors.As(err, &known):
		return err
	case errors.Is(err, fs.ErrNotExist):
		return s.missing(digest)
	case errors.Is(err, packed.ErrDamaged):
		return s.corrupt(digest, "is damaged: %w", err)
	case errors.Is(err, syscall.EIO): // others can be read: List and Ping fail where the disk is gone
		return s.corrupt(digest, "cannot be read: %w", syscall.EIO)
	}
	return s.failed(err)
}

// Open returns a blob for reading.
func (s *store) Open(ctx context.Context, digest james.Digest) (blob.Reader, error) {
	f, err := s.open(ctx, digest)
	if err != nil {
		return nil, err
	}
	return blob.NewReader(ctx, blob.Content{ReaderAt: f.content, Digest: digest, Size: f.size, Close: f.Close, Failed: func(err error) error {
		if errors.Is(err, io.EOF) {
			return s.corrupt(digest, "was cut while it was read, it had %d bytes", f.size)
		}
		return s.openError(digest, err)
	}}), nil
}
