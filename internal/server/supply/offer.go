package supply

import (
	"context"

	"github.com/trusch/jamesd/pkg/james"
)

// Offer returns what the stream that answers a valid request would take. It makes
// nothing. It fails as Stream does.
func (s *Supply) Offer(ctx context.Context, req *james.BlobsRequest) (james.BlobsOffer, error) {
	o, err := s.read(ctx, req)
	if err != nil {
		return james.BlobsOffer{}, err
	}
	s.choose(ctx, o)
	return s.offer(ctx, o), nil
}

func (s *Supply) offer(ctx context.Context, o *order) (offer james.BlobsOffer) {
	for i := range o.items {
		if o.items[i].base != nil {
			offer.Patched++
		} else {
			offer.Whole++
		}
	}
	if _, e := s.find(ctx, o); e != nil {
		offer.Size, _ = e.Size()
		offer.Exact = true
		e.Close()
		return offer
	}
	offer.Size = s.estimate(o)
	return offer
}

// solid is how much larger the contents of a packet are in a stream than in its
// archive, by how that is compressed, as measured on packages of Debian. An archive
// that is not compressed tells nothing.
var solid = map[string]float64{"xz": 1.2, "bzip2": 1.05, "zstd": 1, "gzip": 0.9, "tar": 1}

// estimate returns about how many bytes the stream of an order takes.
func (s *Supply) estimate(o *order) int64 {
	rates := make([]float64, len(o.req.Packets))
	for i := range o.req.Packets {
		rates[i] = 1
		if p := s.fleet.Known(o.req.Packets[i].Packet); p != nil && p.Size > 0 {
			rates[i] = min(1, solid[p.Archive.Format]*float64(p.Archive.Size)/float64(p.Size))
		}
	}
	var size float64
	for i := range o.items {
		it := &o.items[i]
		if whole := o.file(it).Size; it.base == nil {
			size += rates[it.packet] * float64(whole-it.offset)
		} else if whole > 0 {
			size += float64(it.base.size) * float64(whole-it.offset) / float64(whole)
		}
	}
	return int64(size)
}
