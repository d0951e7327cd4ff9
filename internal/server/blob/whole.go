package blob

import (
	"context"

	"github.com/trusch/jamesd/pkg/james"
)

// Whole is a content that is held as a whole, and its digest.
type Whole struct {
	Digest  james.Digest
	Content []byte
}

// Lacking renews those of contents that are in the store, and returns the others,
// each once.
func Lacking(ctx context.Context, s Store, contents [][]byte) ([]Whole, error) {
	wholes := make(map[james.Digest]Whole, len(contents))
	digests := make([]james.Digest, 0, len(contents))
	for _, content := range contents {
		d := james.DigestOf(content)
		if _, twice := wholes[d]; !twice {
			wholes[d] = Whole{d, content}
			digests = append(digests, d)
		}
	}
	missing, err := s.Renew(ctx, digests)
	if err != nil {
		return nil, err
	}
	lacking := make([]Whole, len(missing))
	for i, d := range missing {
		lacking[i] = wholes[d]
	}
	return lacking, nil
}
