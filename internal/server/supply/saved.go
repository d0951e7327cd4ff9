package supply

import (
	"context"

	"github.com/trusch/jamesd/pkg/james"
)

// Saved is what a stream spares a device that would have to fetch the archives of the
// same packets otherwise, in bytes that would go over the network: as much of an
// archive as the contents are of its packet.
type Saved struct {
	Reused  int64 // by what is not wanted: the device has it
	Patched int64 // by what comes as patches
	Patches int   // contents that come as patches
}

// saved returns what the stream of an order with its patches spares.
func (o *order) saved(known func(james.Digest) *james.Packet) (s Saved) {
	type sums struct{ ratio, lacks, size float64 }
	packets := make([]sums, len(o.req.Packets))
	for i := range o.req.Packets {
		if p := known(o.req.Packets[i].Packet); p != nil && p.Size > 0 {
			packets[i] = sums{ratio: min(1, float64(p.Archive.Size)/float64(p.Size)), size: float64(p.Size)}
		}
	}
	var patched float64
	for i := range o.items {
		it := &o.items[i]
		p, whole := &packets[it.packet], o.file(it).Size
		lacks := float64(whole - it.offset)
		p.lacks += lacks
		if it.base != nil && whole > 0 {
			s.Patches++
			patched += max(0, lacks*p.ratio-lacks*float64(it.base.size)/float64(whole))
		}
	}
	var reused float64
	for _, p := range packets {
		reused += max(0, p.size-p.lacks) * p.ratio
	}
	s.Reused, s.Patched = int64(reused), int64(patched)
	return s
}

// savedBy returns what the stream under a key spares who wants req. The patches that
// it has are not known where there are others by now.
func (s *Supply) savedBy(ctx context.Context, req *james.BlobsRequest, k key) Saved {
	o, err := s.read(ctx, req)
	if err != nil {
		return Saved{}
	}
	s.choose(ctx, o)
	for _, f := range formsFor(req) {
		if o.key(f) == k {
			return o.saved(s.fleet.Known)
		}
	}
	for i := range o.items {
		o.items[i].base = nil
	}
	return o.saved(s.fleet.Known)
}
