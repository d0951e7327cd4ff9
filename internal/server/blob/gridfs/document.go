package gridfs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/trusch/jamesd/internal/server/blob"
	"github.com/trusch/jamesd/pkg/james"
)

// chunkSize is that of new blobs, in bytes: what GridFS uses. A reader holds one
// chunk.
const chunkSize = 255 << 10

// maxChunkSize is the largest chunk that fits into a document.
const maxChunkSize = 16 << 20

// file is a document of blobs.files. Its name is the digest, or begins with
// sweptPrefix while its chunks are being swept away.
type file struct {
	ID         bson.ObjectID `bson:"_id"`
	Length     int64         `bson:"length"`    // bytes in all chunks
	ChunkSize  int64         `bson:"chunkSize"` // bytes
	UploadDate time.Time     `bson:"uploadDate"`
	Filename   string        `bson:"filename"`
	Metadata   metadata      `bson:"metadata"`
}

// metadata is what GridFS has no field for.
type metadata struct {
	Modified time.Time `bson:"modified"`
	Form     string    `bson:"form,omitempty"` // formPacked, or none where the chunks have the blob as it is
	Size     int64     `bson:"size,omitempty"` // bytes of a blob whose chunks have another form
}

// formPacked is the form of package packed.
const formPacked = "packed"

// chunk is a document of blobs.chunks.
type chunk struct {
	ID   string        `bson:"_id"`
	File bson.ObjectID `bson:"files_id"`
	N    int32         `bson:"n"`
	Data []byte        `bson:"data"`
}

func chunkID(file bson.ObjectID, n int64) string { return fmt.Sprintf("%s.%d", file.Hex(), n) }

func byID(id any) bson.D { return bson.D{{Key: "_id", Value: id}} }

func set(field string, value any) bson.D {
	return bson.D{{Key: "$set", Value: bson.D{{Key: field, Value: value}}}}
}

// in is for one of those values.
func in[T any](values []T) bson.D { return bson.D{{Key: "$in", Value: values}} }

func byName(digest james.Digest) bson.D {
	return bson.D{{Key: "filename", Value: digest.String()}}
}

func (f *file) info(digest james.Digest) blob.Info {
	info := blob.Info{Digest: digest, Size: f.Length, Modified: f.Metadata.Modified.UTC()}
	if f.Metadata.Form != "" {
		info.Size = f.Metadata.Size
	}
	return info
}

// check returns what is wrong with the description itself.
func (f *file) check(digest james.Digest) error {
	switch {
	case f.Length < 0 || f.ChunkSize <= 0 || f.ChunkSize > maxChunkSize:
		return corrupt(digest, "is described as %d bytes in chunks of %d", f.Length, f.ChunkSize)
	case f.Metadata.Form != "" && f.Metadata.Form != formPacked:
		return corrupt(digest, "is described as of the form %.40q, which does not exist", f.Metadata.Form)
	}
	return nil
}

// find returns the document of a blob. It fails with james.KindNotFound, and with
// james.KindCorrupt, beside a document with the id if that at least can be read.
func (s *store) find(ctx context.Context, digest james.Digest) (*file, error) {
	if digest.IsZero() {
		return nil, firstError(blob.Interrupted(ctx, blob.Subject(digest)), blob.NotFound(digest))
	}
	callCtx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var f file
	raw, err := s.files.FindOne(callCtx, byName(digest)).Raw()
	if errors.Is(err, mongo.ErrNoDocuments) {
		return nil, blob.NotFound(digest)
	}
	if err != nil {
		return nil, s.failed(ctx, err)
	}
	if err := bson.Unmarshal(raw, &f); err != nil {
		err = corrupt(digest, "its description cannot be read: %w", err)
		if id, ok := raw.Lookup("_id").ObjectIDOK(); ok {
			return &file{ID: id}, err
		}
		return nil, err
	}
	return &f, f.check(digest)
}

// exists reports whether the file of that id has a document.
func (s *store) exists(ctx context.Context, id bson.ObjectID) (bool, error) {
	callCtx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	err := s.files.FindOne(callCtx, byID(id)).Err()
	if errors.Is(err, mongo.ErrNoDocuments) {
		return false, nil
	}
	return err == nil, s.failed(ctx, err)
}

func (s *store) dropFile(ctx context.Context, id bson.ObjectID) error {
	callCtx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err := s.files.DeleteOne(callCtx, byID(id))
	return s.failed(ctx, err)
}

// dropChunks removes all chunks of those files.
func (s *store) dropChunks(ctx context.Context, files ...bson.ObjectID) error {
	callCtx, cancel := context.WithTimeout(ctx, dropTimeout)
	defer cancel()
	_, err := s.chunks.DeleteMany(callCtx, bson.D{{Key: "files_id", Value: in(files)}})
	return s.failed(ctx, err)
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
