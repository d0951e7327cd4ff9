package gridfs

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/trusch/jamesd/internal/server/blob"
	"github.com/trusch/jamesd/internal/server/blob/packed"
	"github.com/trusch/jamesd/pkg/james"
)

// batchChunks is how many chunks are sent in one call. A writer holds them, and
// the driver a copy or two.
const batchChunks = 4

// writer sends the chunks of a new blob. Their file's id says when it started.
type writer struct {
	ctx    context.Context
	store  *store
	id     bson.ObjectID
	sum    *blob.Sum
	form   *packed.Writer
	buffer []byte // what comes after the first sent chunks, less than a batch
	sent   int32  // chunks
	length int64  // bytes in chunks and buffer
	ended  bool
	info   blob.Info // of the blob, once all of it is there
	// The chunks must stay where they are those of a blob, and while they may be: a
	// file's document may have been inserted without an answer.
	kept, unsure bool
}

// Create starts a new blob. Nothing is sent before there is a batch or a commit.
func (s *store) Create(ctx context.Context, form blob.Form) (blob.Writer, error) {
	if err := blob.Interrupted(ctx, "new blob"); err != nil {
		return nil, err
	}
	return s.newWriter(ctx, form), nil
}

func (s *store) newWriter(ctx context.Context, form blob.Form) *writer {
	w := &writer{ctx: ctx, store: s, id: bson.NewObjectID(), sum: blob.NewSum()}
	w.form = packed.NewWriter(chunked{w}, form == blob.Compressed)
	return w
}

func (w *writer) Write(p []byte) (int, error) {
	if w.ended {
		return 0, blob.Ended()
	}
	if err := blob.Interrupted(w.ctx, "new blob"); err != nil {
		return 0, w.end(err)
	}
	n, err := w.form.Write(p)
	w.sum.Add(p[:n])
	if err != nil {
		return n, w.end(err)
	}
	return n, nil
}

// chunked puts a blob into chunks, in the form that it is kept in.
type chunked struct{ *writer }

func (w chunked) Write(p []byte) (int, error) {
	taken := 0
	for taken < len(p) {
		part := p[taken:min(len(p), taken+batchChunks*chunkSize-len(w.buffer))]
		w.buffer = append(w.buffer, part...)
		w.length += int64(len(part))
		taken += len(part)
		if len(w.buffer) < batchChunks*chunkSize {
			continue
		}
		if err := w.flush(w.ctx); err != nil {
			return taken, err
		}
	}
	return taken, nil
}

// flush sends the buffer.
func (w *writer) flush(ctx context.Context) error {
	err := w.store.send(ctx, w.take())
	w.buffer = w.buffer[:0]
	return err
}

// take returns the buffer as chunks that are to be sent.
func (w *writer) take() []chunk {
	var chunks []chunk
	for rest := w.buffer; len(rest) > 0; {
		data := rest[:min(chunkSize, len(rest))]
		rest = rest[len(data):]
		chunks = append(chunks, chunk{ID: chunkID(w.id, int64(w.sent)), File: w.id, N: w.sent, Data: data})
		w.sent++
	}
	return chunks
}

// send writes chunks, in one call unless they are more than a message can have.
func (s *store) send(ctx context.Context, chunks []chunk) error {
	if len(chunks) == 0 {
		return nil
	}
	callCtx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err := s.chunks.InsertMany(callCtx, chunks)
	return s.failed(ctx, err)
}

func (w *writer) Commit(ctx context.Context, want james.Digest) (blob.Info, error) {
	if w.ended {
		return blob.Info{}, blob.Ended()
	}
	if err := blob.Interrupted(ctx, "new blob"); err != nil {
		return blob.Info{}, w.end(err)
	}
	w.ctx = ctx // the writer's own has ended what it is to end
	info, err := w.sum.Info(want)
	if err != nil {
		return blob.Info{}, w.end(err)
	}
	if err := firstError(w.form.Close(), w.flush(ctx)); err != nil {
		return blob.Info{}, w.end(err)
	}
	w.info = info
	if err := w.store.publish(ctx, []*writer{w}); err != nil {
		return blob.Info{}, w.end(err)
	}
	_ = w.end(nil) // it is there, with these chunks or others
	return w.info, nil
}

// document returns the file's document.
func (w *writer) document() file {
	doc := file{
		ID:         w.id,
		Length:     w.length,
		ChunkSize:  chunkSize,
		UploadDate: w.info.Modified,
		Filename:   w.info.Digest.String(),
		Metadata:   metadata{Modified: w.info.Modified},
	}
	if w.form.Packed() {
		doc.Metadata.Form, doc.Metadata.Size = formPacked, w.info.Size
	}
	return doc
}

func (w *writer) Abort() error {
	if w.ended {
		return nil
	}
	return w.end(nil)
}

// end drops what was sent, unless it is a blob's.
func (w *writer) end(err error) error {
	w.ended, w.buffer = true, nil
	return w.store.drop(w.ctx, []*writer{w}, err)
}

// drop removes what writers have sent in vain, and returns err or why that failed.
// It leaves the chunks to Sweep where the database does not answer anyway.
func (s *store) drop(ctx context.Context, writers []*writer, err error) error {
	var vain []bson.ObjectID
	for _, w := range writers {
		if w.sent > 0 && !w.kept && !w.unsure {
			vain = append(vain, w.id)
		}
	}
	if len(vain) == 0 || james.KindOf(err) == james.KindUnavailable {
		return err
	}
	return firstError(err, s.dropChunks(context.WithoutCancel(ctx), vain...))
}
