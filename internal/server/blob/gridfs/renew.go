package gridfs

import (
	"context"
	"slices"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/trusch/jamesd/pkg/james"
)

// renewBatch is how many blobs are asked for at once.
const renewBatch = 1000

// Missing returns those blobs that are not there.
func (s *store) Missing(ctx context.Context, digests []james.Digest) (missing []james.Digest, err error) {
	return s.lacking(ctx, digests, time.Time{})
}

// Renew sets the time of those blobs that there are.
func (s *store) Renew(ctx context.Context, digests []james.Digest) (missing []james.Digest, err error) {
	return s.lacking(ctx, digests, s.now())
}

// lacking returns those that are not found, or not sound.
func (s *store) lacking(ctx context.Context, digests []james.Digest, renewed time.Time) (missing []james.Digest, err error) {
	there, err := s.lookup(ctx, digests, renewed)
	if err != nil {
		return nil, err
	}
	for _, digest := range digests {
		if f, ok := there.files[digest]; !ok || !f.sound {
			missing = append(missing, digest)
		}
	}
	return missing, nil
}

// lookup is which of some blobs there are, and which may be about to expire.
type lookup struct {
	files map[james.Digest]found
	marks map[james.Digest]*mark
}

// found is a blob that is there.
type found struct {
	id    bson.ObjectID
	sound bool
}

// lookup looks for those blobs. Before it does it sets their time to renewed, unless
// that is zero: a blob that is deleted meanwhile is not found, and one that is does not
// expire.
func (s *store) lookup(ctx context.Context, digests []james.Digest, renewed time.Time) (*lookup, error) {
	there := &lookup{files: make(map[james.Digest]found, len(digests)), marks: make(map[james.Digest]*mark)}
	for batch := range slices.Chunk(digests, renewBatch) {
		names := make([]string, len(batch), 2*len(batch))
		for i, digest := range batch {
			names[i] = digest.String()
		}
		if !renewed.IsZero() {
			if any, err := s.renew(ctx, bson.D{{Key: "filename", Value: in(names)}}, renewed); err != nil {
				return nil, err
			} else if !any {
				continue
			}
			for _, digest := range batch {
				names = append(names, markName(digest))
			}
		}
		if err := s.findAll(ctx, bson.D{{Key: "filename", Value: in(names)}}, there); err != nil {
			return nil, err
		}
	}
	if len(there.marks) == 0 {
		return there, nil
	}
	return there, s.spare(ctx, there)
}

// renew sets the time of blobs and reports whether there are any.
func (s *store) renew(ctx context.Context, named bson.D, now time.Time) (bool, error) {
	callCtx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	updated, err := s.files.UpdateMany(callCtx, named, set("metadata.modified", now.Truncate(time.Millisecond)))
	if err != nil {
		return false, s.failed(ctx, err)
	}
	return updated.MatchedCount > 0, nil
}

// findAll notes the blobs that there are, and the marks.
func (s *store) findAll(ctx context.Context, named bson.D, there *lookup) error {
	for raw, err := range s.scan(ctx, s.files, named, nil) {
		if err != nil {
			return err
		}
		name, _ := raw.Lookup("filename").StringValueOK()
		name, marked := strings.CutPrefix(name, markPrefix)
		digest, err := james.ParseDigest(name)
		switch {
		case err != nil:
		case marked:
			m := new(mark)
			if err := bson.Unmarshal(raw, m); err != nil {
				return corrupt(digest, "the mark that it may expire cannot be read: %w", err)
			}
			there.marks[digest] = m
		default:
			var f file
			id, _ := raw.Lookup("_id").ObjectIDOK()
			there.files[digest] = found{id, bson.Unmarshal(raw, &f) == nil && f.check(digest) == nil}
		}
	}
	return nil
}
