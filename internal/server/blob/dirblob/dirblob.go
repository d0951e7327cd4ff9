// Package dirblob keeps blobs as files in a directory:
//
//	blobs/ab/abcdef...   one file for each blob, named by its digest; plain, or
//	                     in the form of package packed, which its head tells
//	incoming/blob-*      what unfinished writers have written
//
// What always holds: a file under blobs is whole, as it gets there by a rename
// after its bytes are on the disk, and is never changed afterwards; its time of
// modification is that of its last Commit or Renew. Several processes may use one
// directory. The whole directory must be on one file system.
package dirblob

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/trusch/jamesd/internal/server/blob"
	"github.com/trusch/jamesd/pkg/james"
)

// store is a directory of blobs.
type store struct {
	dir string
	now func() time.Time
}

// Open returns the blobs in dir, which it makes if need be, 0700. It fails with
// james.KindUnavailable where the directory cannot be made.
func Open(ctx context.Context, dir string) (blob.Store, error) {
	if err := blob.Interrupted(ctx, dir); err != nil {
		return nil, err
	}
	if dir == "" {
		return nil, james.Errorf(james.KindInvalid, "blob directory", "the name is empty")
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, james.Errorf(james.KindUnavailable, dir, "%w", err)
	}
	s := &store{dir: abs, now: time.Now}
	if err := s.prepare(); err != nil {
		return nil, s.failed(err)
	}
	return s, nil
}

// prepare makes all directories now, so that no commit depends on a directory
// that is not on the disk yet.
func (s *store) prepare() error {
	if err := os.MkdirAll(s.incoming(), 0o700); err != nil {
		return err
	}
	for b := range 256 {
		if err := os.MkdirAll(s.shard(byte(b)), 0o700); err != nil {
			return err
		}
	}
	for _, dir := range []string{s.blobs(), s.dir, filepath.Dir(s.dir)} {
		if err := syncDir(dir); err != nil {
			return err
		}
	}
	return nil
}

func (s *store) blobs() string    { return filepath.Join(s.dir, "blobs") }
func (s *store) incoming() string { return filepath.Join(s.dir, "incoming") }

func (s *store) shard(first byte) string {
	return filepath.Join(s.blobs(), fmt.Sprintf("%02x", first))
}

// path returns the file of a blob. The zero digest has one too, which is never there.
func (s *store) path(digest james.Digest) string {
	return filepath.Join(s.shard(digest[0]), hex.EncodeToString(digest[:]))
}

// Stat describes a blob.
func (s *store) Stat(ctx context.Context, digest james.Digest) (blob.Info, error) {
	f, err := s.open(ctx, digest)
	if err != nil {
		return blob.Info{}, err
	}
	_ = f.Close()
	return blob.Info{Digest: digest, Size: f.size, Modified: f.modified}, nil
}

// Missing returns those blobs that are not there.
func (s *store) Missing(ctx context.Context, digests []james.Digest) (missing []james.Digest, err error) {
	return s.each(ctx, digests, func(james.Digest) error { return nil })
}

// Renew sets the time of those blobs that there are.
func (s *store) Renew(ctx context.Context, digests []james.Digest) (missing []james.Digest, err error) {
	return s.each(ctx, digests, s.renew)
}

func (s *store) renew(digest james.Digest) error {
	now := s.now()
	unlock, err := s.lock(digest, syscall.LOCK_SH)
	if err != nil {
		return s.failed(err)
	}
	defer unlock()
	err = os.Chtimes(s.path(digest), now, now)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return s.missing(digest) // deleted meanwhile
	case err != nil:
		return s.failed(err)
	}
	return nil
}

// each calls do for those blobs that there are, and returns the others.
func (s *store) each(ctx context.Context, digests []james.Digest, do func(james.Digest) error) (missing []james.Digest, err error) {
	for _, digest := range digests {
		_, err := s.Stat(ctx, digest)
		if err == nil {
			err = do(digest)
		}
		switch kind := james.KindOf(err); {
		case kind == james.KindNotFound, kind == james.KindCorrupt:
			missing = append(missing, digest)
		case err != nil:
			return nil, err
		}
	}
	return missing, nil
}

// Delete removes a blob. Who reads it goes on reading.
func (s *store) Delete(ctx context.Context, digest james.Digest) error {
	if err := blob.Interrupted(ctx, blob.Subject(digest)); err != nil {
		return err
	}
	err := os.Remove(s.path(digest))
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return s.failed(err)
}

// Expire removes a blob of before that time.
func (s *store) Expire(ctx context.Context, digest james.Digest, before time.Time) (bool, error) {
	if err := blob.Interrupted(ctx, blob.Subject(digest)); err != nil {
		return false, err
	}
	unlock, err := s.lock(digest, syscall.LOCK_EX)
	if err != nil {
		return false, s.failed(err)
	}
	defer unlock()
	fi, err := os.Lstat(s.path(digest))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, s.failed(err)
	case fi.Mode().IsRegular() && !fi.ModTime().Before(before):
		return false, nil
	}
	if err := os.Remove(s.path(digest)); err != nil {
		return false, s.failed(err)
	}
	return true, nil
}

// rename puts a file in the place of a blob.
func (s *store) rename(file string, digest james.Digest) error {
	unlock, err := s.lock(digest, syscall.LOCK_SH)
	if err != nil {
		return err
	}
	defer unlock()
	return os.Rename(file, s.path(digest))
}

// lock keeps Expire, which takes it exclusively, from a blob of the shard whose time is
// being set or which is put in its place.
func (s *store) lock(digest james.Digest, how int) (unlock func(), err error) {
	dir, err := os.Open(s.shard(digest[0]))
	if err != nil {
		return nil, err
	}
	for {
		if err = syscall.Flock(int(dir.Fd()), how); !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		return nil, errors.Join(err, dir.Close())
	}
	return func() { _ = dir.Close() }, nil
}

// Ping fails when the directory is gone, as it is when its disk is not mounted.
func (s *store) Ping(ctx context.Context) error {
	if err := blob.Interrupted(ctx, s.dir); err != nil {
		return err
	}
	for _, dir := range []string{s.blobs(), s.incoming()} {
		if fi, err := os.Stat(dir); err != nil {
			return s.failed(err)
		} else if !fi.IsDir() {
			return james.Errorf(james.KindUnavailable, s.dir, "%s is not a directory", dir)
		}
	}
	return nil
}

// Close does nothing: nothing is held between calls.
func (s *store) Close() error { return nil }

// check tells a damaged blob where its name, type or size gives it away.
func (s *store) check(digest james.Digest, fi fs.FileInfo) error {
	empty := james.DigestOf(nil)
	switch {
	case !fi.Mode().IsRegular():
		return s.corrupt(digest, "is not a regular file")
	case fi.Size() == 0 && digest != empty:
		return s.corrupt(digest, "is empty")
	case fi.Size() != 0 && digest == empty:
		return s.corrupt(digest, "has %d bytes, but its digest is that of none", fi.Size())
	}
	return nil
}

// syncDir makes the names in dir durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
