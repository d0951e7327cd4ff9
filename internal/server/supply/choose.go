package supply

import (
	"context"
	"slices"
)

// choose gives the items of an order the patches that are ready, and remembers the
// pairs of packets of which some are not.
func (s *Supply) choose(ctx context.Context, o *order) {
	for i, p := range o.req.Packets {
		for _, have := range o.relatives(i) {
			s.chooseFrom(ctx, o, i, have, pair{o.req.Have[have], p.Packet})
		}
	}
}

// relatives returns the places of the packets of BlobsRequest.Have: a packet that
// changes little is most like the one that it takes the place of, so that comes first.
func (o *order) relatives(packet int) []int {
	var out []int
	for i, d := range o.req.Have {
		if !d.IsZero() && d != o.req.Packets[packet].Packet && !slices.Contains(o.req.Have[:i], d) {
			out = append(out, i)
		}
	}
	return out
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
