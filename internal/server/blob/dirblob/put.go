package dirblob

import (
	"context"
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sync/errgroup"

	"github.com/trusch/jamesd/internal/server/blob"
)

// putAtOnce is how many files are written at a time: the disk makes many of them
// durable together.
const putAtOnce = 16

// Put commits contents: all files are sealed first, and then moved to their places,
// so that each directory is made durable once.
func (s *store) Put(ctx context.Context, form blob.Form, contents [][]byte) error {
	lacking, err := blob.Lacking(ctx, s, contents)
	if err != nil {
		return err
	}
	names := make([]string, len(lacking)) // of the files that are not in their places
	defer func() {
		for _, name := range names {
			if name != "" {
				_ = os.Remove(name)
			}
		}
	}()
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(putAtOnce)
	for i, c := range lacking {
		group.Go(func() (err error) {
			names[i], err = s.seal(groupCtx, form, c.Content)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return s.place(ctx, names, lacking)
}

// seal writes a content into a file of its own under incoming, and returns its name.
func (s *store) seal(ctx context.Context, form blob.Form, content []byte) (name string, err error) {
	created, err := s.Create(ctx, form)
	if err != nil {
		return "", err
	}
	w := created.(*writer)
	name = w.file.Name()
	if _, err = w.form.Write(content); err == nil {
		err = w.seal()
	}
	if err != nil {
		err = s.failedWith(ctx, name, err)
		_ = w.discard()
		return "", err
	}
	_ = w.file.Close() // synced
	return name, nil
}

// place moves the files of those names to their places, and clears their names.
func (s *store) place(ctx context.Context, names []string, of []blob.Whole) error {
	if err := blob.Interrupted(ctx, "new blobs"); err != nil {
		return err
	}
	var touched [256]bool
	for i, c := range of {
		if err := s.rename(names[i], c.Digest); err != nil {
			return s.failedWith(ctx, names[i], err)
		}
		names[i] = ""
		touched[c.Digest[0]] = true
	}
	for b, is := range touched {
		if !is {
			continue
		}
		if err := syncDir(s.shard(byte(b))); err != nil {
			return s.failed(err)
		}
	}
	return nil
}

// failedWith returns what an error means that came of the file of a new blob.
func (s *store) failedWith(ctx context.Context, name string, err error) error {
	if _, gone := os.Lstat(name); errors.Is(gone, fs.ErrNotExist) && s.Ping(ctx) == nil {
		return blob.Swept()
	}
	return s.failed(err)
}
