// Package gridfs keeps blobs in MongoDB, in the layout of GridFS: the collection
// blobs.files describes them and blobs.chunks has their bytes, so that MongoDB's
// own tools can read them, by the digest as file name.
//
// It writes and reads the two collections itself: the driver's streams hold
// 16 MiB for each upload, read all that a seek skips, and leave nothing by which a
// crashed upload can be told from a running one.
//
// What always holds, with nothing but the atomicity of one document and unique
// indexes, so that any number of jamesd may share the database:
//   - Chunks are written first and a file's document last, in one insert. So a
//     blob is whole as soon as it can be seen. Names are unique, so there is one
//     of each digest.
//   - A file's id is never used again, so its chunks are never those of another.
//   - A file's document goes before its chunks. Chunks without a document are
//     being written, or are what Sweep is for.
//   - A blob that is renewed does not expire: see expire.go.
//   - Sweep takes such chunks by inserting a document of their id itself. The
//     writer, should it live, then cannot, and knows that it was swept.
//
// Several blobs go this way together, a step at a time in one call each, as calls are
// what small blobs cost. What Put and Commit do differs only in how many there are.
//
// Chunks are found by their _id, made of the file's id and the chunk's number: MongoDB
// has its index for that. FerretDB 1 uses its indexes for nothing but uniqueness. It
// reads the whole collection for every query, at least without decoding it where
// one _id is asked for.
package gridfs

import (
	"context"
	"errors"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/trusch/jamesd/internal/server/blob"
	"github.com/trusch/jamesd/pkg/james"
)

// store is the bucket of blobs in one database.
type store struct {
	address string // of the database, without user and password
	client  *mongo.Client
	files   *mongo.Collection
	chunks  *mongo.Collection
	now     func() time.Time
}

// Open returns the blobs in the database that the path of uri names, "jamesd" by
// default. It fails with james.KindInvalid for a malformed uri, and with
// james.KindUnavailable where no server answers within the server selection
// timeout, 5 s unless uri says otherwise. No error shows the uri's password.
func Open(ctx context.Context, uri string) (blob.Store, error) {
	client, db, err := connect(uri)
	if err != nil {
		return nil, err
	}
	s := &store{
		address: db.address,
		client:  client,
		files:   client.Database(db.name).Collection("blobs.files", durable(db.options)),
		chunks:  client.Database(db.name).Collection("blobs.chunks", primary()),
		now:     time.Now,
	}
	if err := s.prepare(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// prepare makes the indexes where they are not there yet.
func (s *store) prepare(ctx context.Context) error {
	callCtx, cancel := context.WithTimeout(ctx, indexTimeout)
	defer cancel()
	_, err := s.files.Indexes().CreateOne(callCtx, mongo.IndexModel{
		Keys:    bson.D{{Key: "filename", Value: 1}},
		Options: options.Index().SetUnique(true),
	})
	if err != nil {
		return s.failed(ctx, err)
	}
	_, err = s.chunks.Indexes().CreateOne(callCtx, mongo.IndexModel{
		Keys:    bson.D{{Key: "files_id", Value: 1}, {Key: "n", Value: 1}},
		Options: options.Index().SetUnique(true),
	})
	return s.failed(ctx, err)
}

// Stat describes a blob.
func (s *store) Stat(ctx context.Context, digest james.Digest) (blob.Info, error) {
	f, err := s.find(ctx, digest)
	if err != nil {
		return blob.Info{}, err
	}
	return f.info(digest), nil
}

// Delete removes a blob. Who reads it gets an error.
func (s *store) Delete(ctx context.Context, digest james.Digest) error {
	f, err := s.find(ctx, digest)
	switch {
	case james.KindOf(err) == james.KindNotFound:
		return nil
	case err != nil && f == nil:
		return err
	}
	if err := s.dropFile(ctx, f.ID); err != nil {
		return err
	}
	return s.dropChunks(ctx, f.ID)
}

// Ping asks the primary server for an answer.
func (s *store) Ping(ctx context.Context) error {
	callCtx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return s.failed(ctx, s.client.Ping(callCtx, nil))
}

// Close ends all connections.
func (s *store) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	if err := s.client.Disconnect(ctx); !errors.Is(err, mongo.ErrClientDisconnected) {
		return s.failed(ctx, err)
	}
	return nil
}
