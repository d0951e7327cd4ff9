package dirblob

import (
	"context"
	"errors"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/trusch/jamesd/internal/server/blob"
	"github.com/trusch/jamesd/pkg/james"
)

// List iterates over the blobs, shard by shard, so that it holds the names of one
// in 256 at a time. A file that is not named as a blob of its shard is none.
func (s *store) List(ctx context.Context) iter.Seq2[blob.Listed, error] {
	return func(yield func(blob.Listed, error) bool) {
		for b := range 256 {
			if !s.listShard(ctx, byte(b), yield) {
				return
			}
		}
	}
}

// listShard reports whether List goes on.
func (s *store) listShard(ctx context.Context, first byte, yield func(blob.Listed, error) bool) bool {
	if err := blob.Interrupted(ctx, s.dir); err != nil {
		yield(blob.Listed{}, err)
		return false
	}
	entries, err := os.ReadDir(s.shard(first))
	if err != nil {
		yield(blob.Listed{}, s.failed(err))
		return false
	}
	for _, entry := range entries {
		digest, err := james.ParseDigest(entry.Name())
		if err != nil || digest[0] != first {
			continue
		}
		fi, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // deleted meanwhile
		}
		if err != nil {
			yield(blob.Listed{}, s.failed(err))
			return false
		}
		if !yield(blob.Listed{Digest: digest, Stored: fi.Size(), Modified: fi.ModTime().UTC()}, nil) {
			return false
		}
	}
	return true
}

// Sweep removes the files of unfinished writers that have not been written to
// since before that time.
func (s *store) Sweep(ctx context.Context, before time.Time) error {
	if err := blob.Interrupted(ctx, s.dir); err != nil {
		return err
	}
	entries, err := os.ReadDir(s.incoming())
	if err != nil {
		return s.failed(err)
	}
	for _, entry := range entries {
		if !strings.HasPrefix(entry.Name(), incomingPrefix) || !entry.Type().IsRegular() {
			continue
		}
		fi, err := entry.Info()
		if err == nil && fi.ModTime().Before(before) {
			err = os.Remove(filepath.Join(s.incoming(), entry.Name()))
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return s.failed(err)
		}
	}
	return nil
}
