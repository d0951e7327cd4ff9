package supply

import (
	"context"

	"github.com/trusch/jamesd/pkg/james"
)

// choose gives the items of an order the patches that are ready, and remembers the
// pairs of packets of which some are not.
func (s *Supply) choose(ctx context.Context, o *order) {
	there := o.there()
	for i, p := range o.req.Packets {
		for _, have := range there {
			if old := o.req.Have[have]; old != p.Packet {
				s.chooseFrom(ctx, o, i, have, pair{old, p.Packet})
			}
		}
	}
}

// there returns the places of the packets of BlobsRequest.Have, each once: a packet
// that changes little is most like the one that it takes the place of, so that comes
// first.
func (o *order) there() (places []int) {
	seen := make(map[james.Digest]bool, len(o.req.Have))
	for i, d := range o.req.Have {
		if !d.IsZero() && !seen[d] {
			places = append(places, i)
		}
		seen[d] = true
	}
	return places
}

// chooseFrom looks for patches to the files of one packet. One that cannot be read
// any more is no base.
func (s *Supply) chooseFrom(ctx context.Context, o *order, packet, have int, p pair) {
	if !s.related(p) {
		return
	}
	bases, old, _, err := s.pair(ctx, p)
	if err != nil {
		return
	}
	var missing bool
	for i := range o.items {
		it := &o.items[i]
		if it.packet != packet || it.whole || it.base != nil {
			continue
		}
		places := bases[it.entry]
		for _, at := range places {
			size, made := s.patchSize(ctx, files{&old.Entries[at], o.file(it)})
			it.pending = it.pending || !made
			missing = missing || !made
			if size > 0 && (it.base == nil || size < it.base.size) {
				it.base = &base{have: have, entry: at, file: &old.Entries[at], size: size}
			}
		}
	}
	if missing {
		s.queue.ask(p)
	}
}

// related reports whether patches are made between two packets, which are there.
func (s *Supply) related(p pair) bool {
	old, new := s.fleet.Known(p.old), s.fleet.Known(p.new)
	return old != nil && new != nil && areRelated(old, new)
}
