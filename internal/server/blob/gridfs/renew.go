package gridfs

import (
	"context"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/trusch/jamesd/pkg/james"
)

// renewBatch is how many blobs Renew asks for at once.
const renewBatch = 1000

// Renew sets the time of those blobs that there are.
func (s *store) Renew(ctx context.Context, digests []james.Digest) (missing []james.Digest, err error) {
	for batch := range slices.Chunk(digests, renewBatch) {
		found, err := s.renewAll(ctx, batch)
		if err != nil {
			return nil, err
		}
		for _, digest := range batch {
			if !found[digest] {
				missing = append(missing, digest)
			}
		}
	}
	return missing, nil
}

// renewAll sets the time of some blobs, and returns those of them that were there
// afterwards: one that is deleted meanwhile is not.
func (s *store) renewAll(ctx context.Context, digests []james.Digest) (found map[james.Digest]bool, err error) {
	names := make(bson.A, len(digests))
	for i, digest := range digests {
		names[i] = digest.String()
	}
	named := bson.D{{Key: "filename", Value: bson.D{{Key: "$in", Value: names}}}}
	callCtx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err = s.files.UpdateMany(callCtx, named, modifiedNow(s.now().Truncate(time.Millisecond)))
	if err != nil {
		return nil, s.failed(ctx, err)
	}
	found = make(map[james.Digest]bool, len(digests))
	for raw, err := range s.scan(ctx, s.files, named, nil) {
		if err != nil {
			return nil, err
		}
		var f file
		name, _ := raw.Lookup("filename").StringValueOK()
		digest, err := james.ParseDigest(name)
		if err == nil && bson.Unmarshal(raw, &f) == nil && f.check(digest) == nil {
			found[digest] = true
		}
	}
	return found, nil
}

func modifiedNow(now time.Time) bson.D {
	return bson.D{{Key: "$set", Value: bson.D{{Key: "metadata.modified", Value: now}}}}
}
