package blob

import (
	"crypto/sha256"
	"hash"

	"github.com/trusch/jamesd/pkg/james"
)

// Sum follows the bytes of a Writer and knows their digest and number.
type Sum struct {
	hash hash.Hash
	size int64
}

// NewSum returns the sum of no bytes.
func NewSum() *Sum { return &Sum{hash: sha256.New()} }

// Add takes the next bytes.
func (s *Sum) Add(p []byte) {
	s.hash.Write(p)
	s.size += int64(len(p))
}

// Info returns the digest and size of all bytes so far. It fails with
// james.KindCorrupt when want is not zero and not that digest.
func (s *Sum) Info(want james.Digest) (Info, error) {
	info := Info{Digest: james.Digest(s.hash.Sum(nil)), Size: s.size}
	if !want.IsZero() && want != info.Digest {
		return Info{}, james.Errorf(james.KindCorrupt, Subject(want), "its %d bytes have digest %s", s.size, info.Digest.Short())
	}
	return info, nil
}
