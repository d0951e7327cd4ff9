package supply

import (
	"context"

	"github.com/trusch/jamesd/pkg/james"
)

// Diff returns what an upgrade from one packet to another changes and costs, now.
// Patches that are missing are made from then on. It fails with james.KindNotFound
// where one of the packets is not there.
func (s *Supply) Diff(ctx context.Context, old, new james.Digest) (james.Difference, error) {
	var out james.Difference
	var err error
	if out.Old, err = s.fleet.Packet(old); err != nil {
		return out, err
	}
	if out.New, err = s.fleet.Packet(new); err != nil {
		return out, err
	}
	before, err := s.manifests.get(ctx, old)
	if err != nil {
		return out, err
	}
	after, err := s.manifests.get(ctx, new)
	if err != nil {
		return out, err
	}
	out.Entries = james.DiffEntries(before.Entries, after.Entries)
	out.Scripts = james.DiffScripts(before, after)
	ways, err := s.cost(ctx, &out, before, after)
	if err != nil {
		return out, err
	}
	for i := range out.Entries {
		if e := out.Entries[i].New; e != nil && e.Type == james.TypeFile {
			out.Entries[i].Way = ways[e.Digest]
		}
	}
	return out, nil
}

// cost sets what the upgrade costs and returns the ways of all contents.
func (s *Supply) cost(ctx context.Context, out *james.Difference, before, after *james.Manifest) (map[james.Digest]james.Way, error) {
	c := &out.Cost
	c.Archive = out.New.Archive.Size
	ways, lacks := lacking(c, before, after)
	if len(lacks) == 0 {
		c.Exact = true
		return ways, nil
	}
	req := &james.BlobsRequest{
		Packets: []james.Wants{{Packet: out.New.Digest, Entries: james.IndicesOf(lacks...)}},
		Have:    []james.Digest{out.Old.Digest},
	}
	o, err := s.read(ctx, req)
	if james.KindOf(err) == james.KindNotFound { // its contents are not kept
		for _, k := range lacks {
			c.Whole.Add(after.Entries[k].Size)
		}
		c.Wire, c.Exact = c.Archive, true
		return ways, nil
	}
	if err != nil {
		return nil, err
	}
	s.choose(ctx, o)
	for i := range o.items {
		it := &o.items[i]
		e := o.file(it)
		switch {
		case it.base != nil:
			ways[e.Digest] = james.WayPatched
			c.Patched.Add(e.Size)
		case it.pending:
			ways[e.Digest] = james.WayPending
			c.Pending.Add(e.Size)
		default:
			c.Whole.Add(e.Size)
		}
	}
	offer := s.offer(ctx, o)
	c.Wire, c.Exact = offer.Size, offer.Exact
	return ways, nil
}

// lacking returns the ways of all contents, those that are reused and all others
// whole, and the places of the files whose contents are not in the old packet.
func lacking(c *james.Cost, before, after *james.Manifest) (ways map[james.Digest]james.Way, lacks []int) {
	there := make(map[james.Digest]bool, len(before.Entries))
	for i := range before.Entries {
		there[before.Entries[i].Digest] = true
	}
	ways = make(map[james.Digest]james.Way)
	for k := range after.Entries {
		e := &after.Entries[k]
		if e.Type != james.TypeFile || e.Size == 0 || ways[e.Digest] != "" {
			continue
		}
		if there[e.Digest] {
			ways[e.Digest] = james.WayReused
			c.Reused.Add(e.Size)
			continue
		}
		ways[e.Digest] = james.WayWhole
		lacks = append(lacks, k)
	}
	return ways, lacks
}
