package gridfs

import (
	"context"
	"runtime"

	"golang.org/x/sync/errgroup"

	"github.com/trusch/jamesd/internal/server/blob"
)

// Put commits contents in four calls: one renews those that are there, one sends
// the chunks of the others, one inserts their documents, and one makes sure of them.
func (s *store) Put(ctx context.Context, form blob.Form, contents [][]byte) error {
	lacking, err := blob.Lacking(ctx, s, contents)
	if err != nil {
		return err
	}
	writers := make([]*writer, len(lacking))
	for i, c := range lacking {
		writers[i] = s.newWriter(ctx, form)
		writers[i].info = blob.Info{Digest: c.Digest, Size: int64(len(c.Content))}
	}
	if err = pack(writers, lacking); err == nil {
		err = s.sendAll(ctx, writers)
	}
	if err == nil {
		err = s.publish(ctx, writers)
	}
	return s.drop(ctx, writers, err)
}

// pack brings contents into their form, on all processors.
func pack(writers []*writer, contents []blob.Whole) error {
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i, w := range writers {
		group.Go(func() error {
			if _, err := w.form.Write(contents[i].Content); err != nil {
				return err
			}
			return w.form.Close()
		})
	}
	return group.Wait()
}

// sendAll sends what the writers hold.
func (s *store) sendAll(ctx context.Context, writers []*writer) error {
	var chunks []chunk
	for _, w := range writers {
		chunks = append(chunks, w.take()...)
	}
	return s.send(ctx, chunks)
}
