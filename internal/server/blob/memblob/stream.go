package memblob

import (
	"context"
	"slices"

	"github.com/trusch/jamesd/internal/server/blob"
	"github.com/trusch/jamesd/pkg/james"
)

// writer collects a new blob. It is unfinished while its store knows it.
type writer struct {
	ctx   context.Context
	store *Store
	sum   *blob.Sum
	data  []byte
	ended bool
}

func (w *writer) Write(p []byte) (int, error) {
	if w.ended {
		return 0, blob.Ended()
	}
	if err := blob.Interrupted(w.ctx, "new blob"); err != nil {
		return 0, w.end(err)
	}
	w.data = append(w.data, p...)
	w.sum.Add(p)
	return len(p), nil
}

func (w *writer) Commit(ctx context.Context, want james.Digest) (blob.Info, error) {
	if w.ended {
		return blob.Info{}, blob.Ended()
	}
	if err := blob.Interrupted(ctx, "new blob"); err != nil {
		return blob.Info{}, w.end(err)
	}
	info, err := w.sum.Info(want)
	if err != nil {
		return blob.Info{}, w.end(err)
	}
	data := slices.Clip(w.data)
	if !w.forget() {
		return blob.Info{}, w.end(blob.Swept())
	}
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	info.Modified = w.store.now().Round(0).UTC()
	w.store.blobs[info.Digest] = content{data: data, modified: info.Modified}
	w.ended, w.data = true, nil
	return info, nil
}

func (w *writer) Abort() error {
	_ = w.end(nil)
	return nil
}

// end drops everything and returns err.
func (w *writer) end(err error) error {
	w.forget()
	w.ended, w.data = true, nil
	return err
}

// forget takes w out of its store, and reports whether it was there.
func (w *writer) forget() bool {
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	_, unfinished := w.store.writers[w]
	delete(w.store.writers, w)
	return unfinished
}
