package dirblob

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"

	"github.com/trusch/jamesd/internal/server/blob"
	"github.com/trusch/jamesd/internal/server/blob/packed"
	"github.com/trusch/jamesd/pkg/james"
)

// incomingPrefix begins the names of unfinished writers' files; Sweep touches no
// others.
const incomingPrefix = "blob-"

// writer writes a new blob into a file of its own under incoming.
type writer struct {
	ctx   context.Context
	store *store
	sum   *blob.Sum
	file  *os.File  // nil when the writer has ended
	out   io.Writer // file
	form  *packed.Writer
}

// Create starts a new blob.
func (s *store) Create(ctx context.Context, form blob.Form) (blob.Writer, error) {
	if err := blob.Interrupted(ctx, "new blob"); err != nil {
		return nil, err
	}
	file, err := os.CreateTemp(s.incoming(), incomingPrefix+"*")
	if err != nil {
		return nil, s.failed(err)
	}
	w := &writer{ctx: ctx, store: s, sum: blob.NewSum(), file: file, out: file}
	w.form = packed.NewWriter(stored{w}, form == blob.Compressed)
	return w, nil
}

// stored writes the blob in the form that it is kept in.
type stored struct{ *writer }

func (s stored) Write(p []byte) (int, error) { return s.out.Write(p) }

func (w *writer) Write(p []byte) (int, error) {
	if w.file == nil {
		return 0, blob.Ended()
	}
	if err := blob.Interrupted(w.ctx, "new blob"); err != nil {
		_ = w.discard()
		return 0, err
	}
	n, err := w.form.Write(p)
	w.sum.Add(p[:n])
	if err != nil {
		_ = w.discard()
		return n, w.store.failed(err)
	}
	return n, nil
}

func (w *writer) Commit(ctx context.Context, want james.Digest) (blob.Info, error) {
	if w.file == nil {
		return blob.Info{}, blob.Ended()
	}
	info, err := w.commit(ctx, want)
	if err != nil {
		_ = w.discard()
		return blob.Info{}, err
	}
	_ = w.file.Close() // synced
	w.file = nil
	return info, nil
}

func (w *writer) commit(ctx context.Context, want james.Digest) (blob.Info, error) {
	if err := blob.Interrupted(ctx, "new blob"); err != nil {
		return blob.Info{}, err
	}
	info, err := w.sum.Info(want)
	if err != nil {
		return blob.Info{}, err
	}
	if err = w.seal(); err == nil {
		err = w.publish(&info)
	}
	if err != nil {
		return blob.Info{}, w.store.failedWith(ctx, w.file.Name(), err)
	}
	return info, nil
}

// seal writes what is left of the blob and makes the file durable.
func (w *writer) seal() error {
	if err := w.form.Close(); err != nil {
		return err
	}
	now := w.store.now()
	if err := os.Chtimes(w.file.Name(), now, now); err != nil {
		return err
	}
	return w.file.Sync()
}

// publish moves the sealed file to its place, over the same blob if it is there:
// that keeps one copy, renews its time, and mends it should it be damaged.
func (w *writer) publish(info *blob.Info) error {
	fi, err := w.file.Stat()
	if err != nil {
		return err
	}
	info.Modified = fi.ModTime().UTC() // as coarse as the file system keeps it
	if err := w.store.rename(w.file.Name(), info.Digest); err != nil {
		return err
	}
	return syncDir(w.store.shard(info.Digest[0]))
}

func (w *writer) Abort() error {
	if w.file == nil {
		return nil
	}
	return w.discard()
}

// discard ends the writer and removes its file.
func (w *writer) discard() error {
	name := w.file.Name()
	_ = w.file.Close() // nobody wants the bytes
	w.file = nil
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return w.store.failed(err)
	}
	return nil
}
