package timed

import (
	"context"
	"iter"
	"time"

	"github.com/trusch/jamesd/internal/server/blob"
	"github.com/trusch/jamesd/pkg/james"
)

// Blobs returns b, of whose calls observe is told.
func Blobs(b blob.Store, observe Observe) blob.Store { return &timedBlobs{b, observe} }

type timedBlobs struct {
	blob.Store
	observe Observe
}

// Create implements blob.Store.
func (b *timedBlobs) Create(ctx context.Context, form blob.Form) (_ blob.Writer, err error) {
	defer b.observe.since("create", time.Now(), &err)
	w, err := b.Store.Create(ctx, form)
	if err != nil {
		return nil, err
	}
	return writer{w, b.observe}, nil
}

// Put implements blob.Store.
func (b *timedBlobs) Put(ctx context.Context, form blob.Form, contents [][]byte) (err error) {
	defer b.observe.since("put", time.Now(), &err)
	return b.Store.Put(ctx, form, contents)
}

// Missing implements blob.Store.
func (b *timedBlobs) Missing(ctx context.Context, digests []james.Digest) (_ []james.Digest, err error) {
	defer b.observe.since("missing", time.Now(), &err)
	return b.Store.Missing(ctx, digests)
}

// Renew implements blob.Store.
func (b *timedBlobs) Renew(ctx context.Context, digests []james.Digest) (_ []james.Digest, err error) {
	defer b.observe.since("renew", time.Now(), &err)
	return b.Store.Renew(ctx, digests)
}

// Open implements blob.Store.
func (b *timedBlobs) Open(ctx context.Context, digest james.Digest) (_ blob.Reader, err error) {
	defer b.observe.since("open", time.Now(), &err)
	return b.Store.Open(ctx, digest)
}

// Stat implements blob.Store.
func (b *timedBlobs) Stat(ctx context.Context, digest james.Digest) (_ blob.Info, err error) {
	defer b.observe.since("stat", time.Now(), &err)
	return b.Store.Stat(ctx, digest)
}

// Delete implements blob.Store.
func (b *timedBlobs) Delete(ctx context.Context, digest james.Digest) (err error) {
	defer b.observe.since("delete", time.Now(), &err)
	return b.Store.Delete(ctx, digest)
}

// Expire implements blob.Store.
func (b *timedBlobs) Expire(ctx context.Context, digest james.Digest, before time.Time) (_ bool, err error) {
	defer b.observe.since("expire", time.Now(), &err)
	return b.Store.Expire(ctx, digest, before)
}

// List implements blob.Store. It takes as long as who iterates.
func (b *timedBlobs) List(ctx context.Context) iter.Seq2[blob.Listed, error] {
	return func(yield func(blob.Listed, error) bool) {
		var err error
		defer b.observe.since("list", time.Now(), &err)
		for listed, failed := range b.Store.List(ctx) {
			err = failed
			if !yield(listed, failed) {
				return
			}
		}
	}
}

// Sweep implements blob.Store.
func (b *timedBlobs) Sweep(ctx context.Context, before time.Time) (err error) {
	defer b.observe.since("sweep", time.Now(), &err)
	return b.Store.Sweep(ctx, before)
}

// Ping implements blob.Store.
func (b *timedBlobs) Ping(ctx context.Context) (err error) {
	defer b.observe.since("ping", time.Now(), &err)
	return b.Store.Ping(ctx)
}

type writer struct {
	blob.Writer
	observe Observe
}

// Commit implements blob.Writer.
func (w writer) Commit(ctx context.Context, want james.Digest) (_ blob.Info, err error) {
	defer w.observe.since("commit", time.Now(), &err)
	return w.Writer.Commit(ctx, want)
}
