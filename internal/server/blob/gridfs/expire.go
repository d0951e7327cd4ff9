package gridfs

import (
	"context"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/trusch/jamesd/pkg/james"
)

// Expire and Renew meet without a deletion that looks as well, which FerretDB has not:
//
//   - Expire marks a blob, and looks how old it is afterwards; Renew sets its time, and
//     looks for a mark afterwards. So at least one of them sees the other.
//   - Where Renew sees a mark, or Expire still finds the blob old, it inserts a verdict on
//     that mark, of which there can be one. Both go by the one that is there.
//   - The verdict names the file, whose id is never used again, so it can be carried out
//     by anybody, at any time and twice.
//
// Verdicts, and the marks of what has expired, stay until Sweep removes them, which is long
// after a call that may look for them has ended: a query that comes upon the blob just
// before it goes comes upon the mark as well. A mark that a crash has left is decided by
// the next that finds it.
const (
	markPrefix    = "condemned " // and the digest
	verdictPrefix = "verdict "   // and the id of the mark
)

// mark is a document of blobs.files that says that a blob may expire now.
type mark struct {
	ID       bson.ObjectID `bson:"_id"`
	Filename string        `bson:"filename"`
	File     bson.ObjectID `bson:"file"` // of the blob
}

// verdict is a document of blobs.files that says what comes of a mark.
type verdict struct {
	ID       bson.ObjectID `bson:"_id"`
	Filename string        `bson:"filename"`
	Expired  bool          `bson:"expired"`
}

func markName(digest james.Digest) string { return markPrefix + digest.String() }

// Expire removes a blob of before that time.
func (s *store) Expire(ctx context.Context, digest james.Digest, before time.Time) (bool, error) {
	f, young, err := s.look(ctx, digest, before)
	if f == nil || young || err != nil {
		return false, err
	}
	m, err := s.mark(ctx, digest, f.ID)
	if m == nil || err != nil {
		return false, err
	}
	now, young, err := s.look(ctx, digest, before)
	if err != nil {
		return false, err
	}
	if now == nil || now.ID != m.File {
		return false, nil // it has expired by another Expire
	}
	// Another Expire may have found it old, so a young one needs a verdict as well.
	expired, err := s.judge(ctx, m, !young)
	if err != nil {
		return false, err
	}
	return expired, s.carryOut(ctx, m, expired)
}

// look returns the document of a blob, nil where there is none, and whether it is too
// young to expire, which no damaged one is.
func (s *store) look(ctx context.Context, digest james.Digest, before time.Time) (f *file, young bool, err error) {
	f, err = s.find(ctx, digest)
	switch {
	case james.KindOf(err) == james.KindNotFound:
		return nil, false, nil
	case err != nil && f == nil:
		return nil, false, err
	case err != nil:
		return f, false, nil
	}
	return f, !f.Metadata.Modified.Before(before), nil
}

// mark marks the file of a blob, or returns the mark that it has. It returns nil where
// there was one of a former file, or it has just gone: the next collection is as good.
func (s *store) mark(ctx context.Context, digest james.Digest, of bson.ObjectID) (*mark, error) {
	callCtx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	m := &mark{ID: bson.NewObjectID(), Filename: markName(digest), File: of}
	_, err := s.files.InsertOne(callCtx, m)
	if !mongo.IsDuplicateKeyError(err) {
		return m, s.failed(ctx, err)
	}
	err = s.files.FindOne(callCtx, bson.D{{Key: "filename", Value: m.Filename}}).Decode(m)
	switch {
	case err == mongo.ErrNoDocuments:
		return nil, nil
	case err != nil:
		return nil, s.failed(ctx, err)
	case m.File != of:
		return nil, s.dropFile(ctx, m.ID)
	}
	return m, nil
}

// judge returns what comes of a mark: what is asked for, unless somebody was faster.
func (s *store) judge(ctx context.Context, m *mark, expired bool) (bool, error) {
	callCtx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	v := verdict{ID: bson.NewObjectID(), Filename: verdictPrefix + m.ID.Hex(), Expired: expired}
	_, err := s.files.InsertOne(callCtx, v)
	if mongo.IsDuplicateKeyError(err) {
		err = s.files.FindOne(callCtx, bson.D{{Key: "filename", Value: v.Filename}}).Decode(&v)
	}
	return v.Expired, s.failed(ctx, err)
}

// carryOut does what the verdict on a mark says.
func (s *store) carryOut(ctx context.Context, m *mark, expired bool) error {
	if !expired {
		return s.dropFile(ctx, m.ID)
	}
	if err := s.dropFile(ctx, m.File); err != nil {
		return err
	}
	return s.dropChunks(ctx, m.File)
}

// spare keeps blobs from expiring that have just been renewed, and forgets those for
// which it is too late.
func (s *store) spare(ctx context.Context, there *lookup) error {
	for digest, m := range there.marks {
		f, ok := there.files[digest]
		if !ok || f.id != m.File {
			continue // of a former file
		}
		expired, err := s.judge(ctx, m, false)
		if err == nil {
			err = s.carryOut(ctx, m, expired)
		}
		if err != nil {
			return err
		}
		if expired {
			delete(there.files, digest)
		}
	}
	return nil
}

// dropMarks removes the marks and verdicts of before that time.
func (s *store) dropMarks(ctx context.Context, before time.Time) error {
	for _, prefix := range []string{markPrefix, verdictPrefix} {
		if err := s.dropOld(ctx, prefix, before); err != nil {
			return err
		}
	}
	return nil
}

func (s *store) dropOld(ctx context.Context, prefix string, before time.Time) error {
	callCtx, cancel := context.WithTimeout(ctx, dropTimeout)
	defer cancel()
	_, err := s.files.DeleteMany(callCtx, bson.D{
		{Key: "filename", Value: bson.D{{Key: "$gte", Value: prefix}, {Key: "$lt", Value: prefix + "~"}}},
		{Key: "_id", Value: bson.D{{Key: "$lt", Value: bson.NewObjectIDFromTimestamp(before)}}},
	})
	return s.failed(ctx, err)
}
