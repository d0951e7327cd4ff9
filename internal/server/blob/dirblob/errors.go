package dirblob

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"github.com/trusch/jamesd/internal/server/blob"
	"github.com/trusch/jamesd/pkg/james"
)

// failed returns what the operating system refused as an error about the
// directory, with what to do about it.
func (s *store) failed(err error) error {
	e := james.Errorf(james.KindUnavailable, s.dir, "%w", err)
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return e.WithHint("The disk is full: delete packets that no device needs any more, with jamesd-ctl delete-packet, or give the file system of %s more room.", s.dir)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return e.WithHint("The user that runs jamesd must own %s and be able to write there.", s.dir)
	case errors.Is(err, fs.ErrNotExist):
		return e.WithHint("Is the file system of %s mounted?", s.dir)
	}
	return e
}

// missing returns why a blob's file is not there: because the blob is not, or
// because the whole directory is not.
func (s *store) missing(digest james.Digest) error {
	if _, err := os.Stat(s.shard(digest[0])); err != nil {
		return s.failed(err)
	}
	return blob.NotFound(digest)
}

func (s *store) corrupt(digest james.Digest, format string, args ...any) error {
	return james.Errorf(james.KindCorrupt, blob.Subject(digest), "%s %w", s.path(digest), fmt.Errorf(format, args...)).
		WithHint("The disk may be failing. Add the packet again with the same archive to mend it.")
}
