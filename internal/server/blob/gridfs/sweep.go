package gridfs

import (
	"context"
	"iter"
	"maps"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/trusch/jamesd/internal/server/blob"
	"github.com/trusch/jamesd/pkg/james"
)

// sweptPrefix begins the name of a document that Sweep takes a file's id with.
const sweptPrefix = "swept "

// sweepBatch is how many files Sweep asks for at once.
const sweepBatch = 1000

// List iterates over the blobs.
func (s *store) List(ctx context.Context) iter.Seq2[blob.Listed, error] {
	return func(yield func(blob.Listed, error) bool) {
		for raw, err := range s.scan(ctx, s.files, bson.D{}, nil) {
			if err != nil {
				yield(blob.Listed{}, err)
				return
			}
			name, _ := raw.Lookup("filename").StringValueOK()
			digest, err := james.ParseDigest(name)
			if err != nil {
				continue // being swept
			}
			var f file
			_ = bson.Unmarshal(raw, &f) // a damaged description is listed with what can be read
			if !yield(blob.Listed{Digest: digest, Stored: f.Length, Modified: f.Metadata.Modified.UTC()}, nil) {
				return
			}
		}
	}
}

// Sweep removes chunks of files of before that time that have no document, and marks
// of before that time, and ends what a sweep that crashed began. It looks at the index
// entry of every chunk there is.
func (s *store) Sweep(ctx context.Context, before time.Time) error {
	old := bson.D{{Key: "$lt", Value: bson.NewObjectIDFromTimestamp(before)}}
	if err := s.endSweeps(ctx); err != nil {
		return err
	}
	if err := s.dropMarks(ctx, before); err != nil {
		return err
	}
	keys := options.Find().SetProjection(bson.D{{Key: "files_id", Value: 1}, {Key: "_id", Value: 0}})
	batch := make(map[bson.ObjectID]bool, sweepBatch)
	for raw, err := range s.scan(ctx, s.chunks, bson.D{{Key: "files_id", Value: old}}, keys) {
		if err != nil {
			return err
		}
		if id, ok := raw.Lookup("files_id").ObjectIDOK(); ok {
			batch[id] = true
		}
		if len(batch) == sweepBatch {
			if err := s.sweepOrphans(ctx, batch); err != nil {
				return err
			}
			clear(batch)
		}
	}
	return s.sweepOrphans(ctx, batch)
}

// endSweeps drops the chunks of files that a former sweep has taken.
func (s *store) endSweeps(ctx context.Context) error {
	taken := bson.D{{Key: "filename", Value: bson.D{
		{Key: "$gte", Value: sweptPrefix},
		{Key: "$lt", Value: sweptPrefix + "~"},
	}}}
	for raw, err := range s.scan(ctx, s.files, taken, nil) {
		if err != nil {
			return err
		}
		if id, ok := raw.Lookup("_id").ObjectIDOK(); ok {
			if err := s.release(ctx, id); err != nil {
				return err
			}
		}
	}
	return nil
}

// sweepOrphans removes the chunks of those files that have no document.
func (s *store) sweepOrphans(ctx context.Context, ids map[bson.ObjectID]bool) error {
	if len(ids) == 0 {
		return nil
	}
	known := byID(in(slices.Collect(maps.Keys(ids))))
	for raw, err := range s.scan(ctx, s.files, known, options.Find().SetProjection(byID(1))) {
		if err != nil {
			return err
		}
		if id, ok := raw.Lookup("_id").ObjectIDOK(); ok {
			delete(ids, id)
		}
	}
	for id := range ids {
		taken, err := s.take(ctx, id)
		if err == nil && taken {
			err = s.release(ctx, id)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// take keeps the writer of that file, should it live, from its commit. It reports
// false where the writer, or another sweep, was faster.
func (s *store) take(ctx context.Context, id bson.ObjectID) (bool, error) {
	callCtx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err := s.files.InsertOne(callCtx, file{
		ID:         id,
		ChunkSize:  chunkSize,
		UploadDate: s.now(),
		Filename:   sweptPrefix + id.Hex(),
	})
	if mongo.IsDuplicateKeyError(err) {
		return false, nil
	}
	return err == nil, s.failed(ctx, err)
}

// release removes the chunks of a file that was taken, and then its document.
func (s *store) release(ctx context.Context, id bson.ObjectID) error {
	if err := s.dropChunks(ctx, id); err != nil {
		return err
	}
	return s.dropFile(ctx, id)
}

// scan iterates over the documents that filter finds. A document is valid for its
// turn only.
func (s *store) scan(ctx context.Context, c *mongo.Collection, filter bson.D, opts *options.FindOptionsBuilder) iter.Seq2[bson.Raw, error] {
	if opts == nil {
		opts = options.Find()
	}
	return func(yield func(bson.Raw, error) bool) {
		cursor, err := s.query(ctx, c, filter, opts)
		if err != nil {
			yield(nil, err)
			return
		}
		defer s.closeCursor(ctx, cursor)
		for {
			callCtx, cancel := context.WithTimeout(ctx, callTimeout)
			more := cursor.Next(callCtx)
			cancel()
			if !more {
				break
			}
			if !yield(cursor.Current, nil) {
				return
			}
		}
		if err := cursor.Err(); err != nil {
			yield(nil, s.failed(ctx, err))
		}
	}
}

func (s *store) query(ctx context.Context, c *mongo.Collection, filter bson.D, opts *options.FindOptionsBuilder) (*mongo.Cursor, error) {
	callCtx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	cursor, err := c.Find(callCtx, filter, opts.SetBatchSize(sweepBatch))
	return cursor, s.failed(ctx, err)
}

// closeCursor tells the server, which forgets the cursor by itself otherwise.
func (s *store) closeCursor(ctx context.Context, cursor *mongo.Cursor) {
	callCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	_ = cursor.Close(callCtx)
}
