package gridfs

import (
	"context"
	"errors"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/trusch/jamesd/internal/server/blob"
	"github.com/trusch/jamesd/pkg/james"
)

// commitAttempts bounds how often a commit starts over because somebody deleted
// the blob that it was to renew.
const commitAttempts = 20

// publish makes the blobs of writers visible, whose chunks were sent, and says of
// each writer whether its chunks are kept or there were others before.
func (s *store) publish(ctx context.Context, writers []*writer) error {
	now := s.now().Truncate(time.Millisecond).UTC() // as MongoDB keeps it
	for _, w := range writers {
		w.info.Modified = now
	}
	for range commitAttempts {
		refused, err := s.insert(ctx, writers)
		if err != nil {
			return err
		}
		if err := s.confirm(ctx, writers); err != nil {
			return err
		}
		if writers, err = s.renewRefused(ctx, refused, now); err != nil || len(writers) == 0 {
			return err
		}
	}
	return james.Errorf(james.KindUnavailable, blob.Subject(writers[0].info.Digest), "somebody deletes it again and again")
}

// insert writes the documents of the writers' files. It returns those writers for
// which there is a document of that name or id already.
func (s *store) insert(ctx context.Context, writers []*writer) (refused []*writer, err error) {
	if len(writers) == 0 {
		return nil, nil
	}
	callCtx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	docs := make([]file, len(writers))
	for i, w := range writers {
		docs[i] = w.document()
		w.unsure = true
	}
	_, err = s.files.InsertMany(callCtx, docs, options.InsertMany().SetOrdered(false))
	indexes, err := duplicates(err)
	if err != nil {
		return nil, s.failed(ctx, err)
	}
	for i, w := range writers {
		w.unsure, w.kept = false, !indexes[i]
		if !w.kept {
			refused = append(refused, w)
		}
	}
	return refused, nil
}

// duplicates returns which documents were refused by an unordered insert that ended
// with err, as there is one of that name or id. It returns any other failure.
func duplicates(err error) (refused map[int]bool, _ error) {
	var many mongo.BulkWriteException
	if !errors.As(err, &many) || many.WriteConcernError != nil {
		return nil, err
	}
	refused = make(map[int]bool, len(many.WriteErrors))
	for _, one := range many.WriteErrors {
		if !mongo.IsDuplicateKeyError(one.WriteError) {
			return nil, err
		}
		refused[one.Index] = true
	}
	return refused, nil
}

// confirm takes the documents of those files back whose chunks a sweep has removed
// that was through before the document came. The first chunk tells: a sweep
// removes all, and from now on it cannot take them.
//
// It asks by inserting the first chunks again, empty: one that is there is refused.
// That needs one call for any number of them, and nothing but a unique index; a
// query for many ids makes FerretDB decode every chunk that there is.
func (s *store) confirm(ctx context.Context, writers []*writer) error {
	var asked []*writer
	var firsts []chunk
	for _, w := range writers {
		if w.kept && w.sent > 0 {
			asked = append(asked, w)
			firsts = append(firsts, chunk{ID: chunkID(w.id, 0), File: w.id})
		}
	}
	if len(asked) == 0 {
		return nil
	}
	callCtx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err := s.chunks.InsertMany(callCtx, firsts, options.InsertMany().SetOrdered(false))
	there, err := duplicates(err)
	if err != nil {
		return s.failed(ctx, err) // the blobs are there, whatever comes of this question
	}
	for i, w := range asked {
		if there[i] {
			continue
		}
		if err := s.dropFile(ctx, w.id); err != nil {
			return err
		}
		w.kept = false
	}
	if len(there) < len(asked) {
		return blob.Swept()
	}
	return nil
}

// renewRefused renews the blobs that there were before those writers, and returns
// the writers whose blob has gone meanwhile.
func (s *store) renewRefused(ctx context.Context, writers []*writer, now time.Time) (again []*writer, err error) {
	if len(writers) == 0 {
		return nil, nil
	}
	digests := make([]james.Digest, len(writers))
	for i, w := range writers {
		digests[i] = w.info.Digest
	}
	there, err := s.lookup(ctx, digests, now)
	if err != nil {
		return nil, err
	}
	for _, w := range writers {
		if _, ok := there.files[w.info.Digest]; ok {
			continue
		}
		if taken, err := s.exists(ctx, w.id); err != nil {
			return nil, err
		} else if taken {
			return nil, blob.Swept()
		}
		again = append(again, w)
	}
	return again, nil
}
