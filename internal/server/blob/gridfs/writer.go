package gridfs

import (
	"context"
	"errors"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/trusch/jamesd/internal/server/blob"
	"github.com/trusch/jamesd/internal/server/blob/packed"
	"github.com/trusch/jamesd/pkg/james"
)

// batchChunks is how many chunks are sent in one call. A writer holds them, and
// the driver a copy or two.
const batchChunks = 4

// commitAttempts bounds how often a commit starts over because somebody deleted
// the blob that it was to renew.
const commitAttempts = 20

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
	// unsure is set while a file's document may have been inserted without an
	// answer. The chunks must stay then.
	unsure bool
}

// Create starts a new blob. Nothing is sent before there is a batch or a commit.
func (s *store) Create(ctx context.Context, form blob.Form) (blob.Writer, error) {
	if err := blob.Interrupted(ctx, "new blob"); err != nil {
		return nil, err
	}
	w := &writer{ctx: ctx, store: s, id: bson.NewObjectID(), sum: blob.NewSum()}
	w.form = packed.NewWriter(chunked{w}, form == blob.Compressed)
	return w, nil
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
	var batch []chunk
	for rest := w.buffer; len(rest) > 0; {
		data := rest[:min(chunkSize, len(rest))]
		rest = rest[len(data):]
		batch = append(batch, chunk{ID: chunkID(w.id, int64(w.sent)), File: w.id, N: w.sent, Data: data})
		w.sent++
	}
	if len(batch) == 0 {
		return nil
	}
	callCtx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err := w.store.chunks.InsertMany(callCtx, batch)
	w.buffer = w.buffer[:0]
	return w.store.failed(ctx, err)
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
	info.Modified = w.store.now().Truncate(time.Millisecond).UTC() // as MongoDB keeps it
	kept, err := w.publish(ctx, info)
	if err != nil {
		return blob.Info{}, w.end(err)
	}
	if !kept {
		_ = w.end(nil)
	}
	w.ended, w.buffer = true, nil
	return info, nil
}

// publish makes the blob visible, and reports whether it has these chunks or
// those of an earlier commit.
func (w *writer) publish(ctx context.Context, info blob.Info) (kept bool, err error) {
	for range commitAttempts {
		inserted, err := w.insert(ctx, info)
		if err != nil {
			return false, err
		}
		if inserted {
			return true, w.confirm(ctx)
		}
		if renewed, err := w.store.renew(ctx, info); renewed || err != nil {
			return false, err
		}
		if taken, err := w.store.exists(ctx, w.id); err != nil {
			return false, err
		} else if taken {
			return false, blob.Swept()
		}
	}
	return false, james.Errorf(james.KindUnavailable, blob.Subject(info.Digest), "somebody deletes it again and again")
}

// insert writes the file's document. It reports false where a document of that
// name or id is there already.
func (w *writer) insert(ctx context.Context, info blob.Info) (bool, error) {
	callCtx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	doc := file{
		ID:         w.id,
		Length:     w.length,
		ChunkSize:  chunkSize,
		UploadDate: info.Modified,
		Filename:   info.Digest.String(),
		Metadata:   metadata{Modified: info.Modified},
	}
	if w.form.Packed() {
		doc.Metadata.Form, doc.Metadata.Size = formPacked, info.Size
	}
	w.unsure = true
	_, err := w.store.files.InsertOne(callCtx, doc)
	if err == nil {
		w.unsure = false
		return true, nil
	}
	if mongo.IsDuplicateKeyError(err) {
		w.unsure = false
		return false, nil
	}
	return false, w.store.failed(ctx, err)
}

// renew sets the time of the blob of that digest, and reports whether there is one.
func (s *store) renew(ctx context.Context, info blob.Info) (bool, error) {
	callCtx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	res, err := s.files.UpdateOne(callCtx, byName(info.Digest), modifiedNow(info.Modified))
	if err != nil {
		return false, s.failed(ctx, err)
	}
	return res.MatchedCount > 0, nil
}

// confirm takes the file's document back if a sweep has removed the chunks and
// was through before the document came. The first chunk tells: a sweep removes
// all, and from now on it cannot take them.
func (w *writer) confirm(ctx context.Context) error {
	if w.sent == 0 {
		return nil
	}
	callCtx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	first := w.store.chunks.FindOne(callCtx, byID(chunkID(w.id, 0)),
		options.FindOne().SetProjection(bson.D{{Key: "_id", Value: 1}}))
	if !errors.Is(first.Err(), mongo.ErrNoDocuments) {
		w.unsure = true // the blob is there, whatever comes of this question
		return w.store.failed(ctx, first.Err())
	}
	if err := w.store.dropFile(ctx, w.id); err != nil {
		return err
	}
	return blob.Swept()
}

func (w *writer) Abort() error {
	if w.ended {
		return nil
	}
	return w.end(nil)
}

// end drops what was sent and returns err, or why the dropping failed. It leaves
// the chunks to Sweep where the database does not answer anyway.
func (w *writer) end(err error) error {
	w.ended, w.buffer = true, nil
	if w.sent == 0 || w.unsure || james.KindOf(err) == james.KindUnavailable {
		return err
	}
	return firstError(err, w.store.dropChunks(context.WithoutCancel(w.ctx), w.id))
}
