package gridfs

import (
	"context"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/trusch/jamesd/pkg/james"
)

// renewBatch is how many blobs are asked for at once.
const renewBatch = 1000

// Missing returns those blobs that are not there.
func (s *store) Missing(ctx context.Context, digests []james.Digest) (missing []james.Digest, err error) {
	found, err := s.lookup(ctx, digests, time.Time{})
	return lacking(digests, found), err
}

// Renew sets the time of those blobs that there are.
func (s *store) Renew(ctx context.Context, digests []james.Digest) (missing []james.Digest, err error) {
	found, err := s.lookup(ctx, digests, s.now())
	return lacking(digests, found), err
}

// lacking returns those that were not found, or not sound; none if nothing is known.
func lacking(digests []james.Digest, found map[james.Digest]bool) (missing []james.Digest) {
	for _, digest := range digests {
		if found != nil && !found[digest] {
			missing = append(missing, digest)
		}
	}
	return missing
}

// lookup returns which of those blobs there are, and whether they are sound. Before
// it looks it sets their time to renewed, unless that is zero: a blob that is
// deleted meanwhile is not found.
func (s *store) lookup(ctx context.Context, digests []james.Digest, renewed time.Time) (found map[james.Digest]bool, err error) {
	found = make(map[james.Digest]bool, len(digests))
	for batch := range slices.Chunk(digests, renewBatch) {
		names := make([]string, len(batch))
		for i, digest := range batch {
			names[i] = digest.String()
		}
		named := bson.D{{Key: "filename", Value: in(names)}}
		if !renewed.IsZero() {
			if any, err := s.renew(ctx, named, renewed); err != nil {
				return nil, err
			} else if !any {
				continue
			}
		}
		if err := s.findAll(ctx, named, found); err != nil {
			return nil, err
		}
	}
	return found, nil
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

// findAll notes those blobs that there are, and whether they are sound.
func (s *store) findAll(ctx context.Context, named bson.D, found map[james.Digest]bool) error {
	for raw, err := range s.scan(ctx, s.files, named, nil) {
		if err != nil {
			return err
		}
		var f file
		name, _ := raw.Lookup("filename").StringValueOK()
		if digest, err := james.ParseDigest(name); err == nil {
			found[digest] = bson.Unmarshal(raw, &f) == nil && f.check(digest) == nil
		}
	}
	return nil
}
