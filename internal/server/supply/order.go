package supply

import (
	"context"

	"github.com/trusch/jamesd/pkg/james"
)

// order is a request with what it names: the files that are wanted, in the order
// in which they go out.
type order struct {
	req       *james.BlobsRequest
	manifests []*james.Manifest // of req.Packets
	items     []item
	size      int64 // of all contents that come, in bytes
}

// item is one content of an order.
type item struct {
	packet, entry int // place in the request, and in that packet's manifest
	offset        int64
	whole         bool  // it must not come as a patch
	base          *base // of the patch as which it comes; nil for all of it
	pending       bool  // a patch of it is still to be made
}

// base is the file that a patch is to.
type base struct {
	have, entry int // place in BlobsRequest.Have, and in that packet's manifest
	file        *james.Entry
	size        int64 // of the patch in the cache, in bytes
}

// file returns the entry of an item.
func (o *order) file(it *item) *james.Entry { return &o.manifests[it.packet].Entries[it.entry] }

// read returns the order of a valid request, without patches. It fails with
// james.KindNotFound where a packet is not there, or its contents are not, and
// with james.KindInvalid where what is wanted is no file.
func (s *Supply) read(ctx context.Context, req *james.BlobsRequest) (*order, error) {
	o := &order{req: req}
	for i := range req.Packets {
		w := &req.Packets[i]
		if err := s.hasContents(w.Packet); err != nil {
			return nil, err
		}
		m, err := s.manifests.get(ctx, w.Packet)
		if err != nil {
			return nil, err
		}
		o.manifests = append(o.manifests, m)
		if err := o.want(i, w); err != nil {
			return nil, err
		}
	}
	return o, nil
}

// hasContents fails with james.KindNotFound where a packet is not there, or its
// contents are not kept one by one.
func (s *Supply) hasContents(d james.Digest) error {
	p, err := s.fleet.Packet(d)
	if err == nil && !p.Contents {
		err = james.Errorf(james.KindNotFound, "packet "+d.Short(), "the contents of its files are not kept one by one yet").
			WithHint("Its archive is there.")
	}
	return err
}

// want adds what is wanted of one packet, whose manifest is there.
func (o *order) want(packet int, w *james.Wants) error {
	name, entries := "packet "+w.Packet.Short(), o.manifests[packet].Entries
	if last := w.Entries.Max(); last >= len(entries) {
		return james.Errorf(james.KindInvalid, name, "there is no entry %d, it has %d", last, len(entries))
	}
	offset := w.Offset
	for i := range w.Entries.All() {
		e := &entries[i]
		switch {
		case e.Type != james.TypeFile:
			return james.Errorf(james.KindInvalid, name, "entry %d, %s, is a %s, which has no content", i, e.Path, e.Type)
		case offset > e.Size:
			return james.Errorf(james.KindInvalid, name, "entry %d, %s, has %d bytes, and the rest from %d on is wanted", i, e.Path, e.Size, offset)
		}
		o.items = append(o.items, item{packet: packet, entry: i, offset: offset, whole: w.Whole.Has(i)})
		o.size += e.Size - offset
		offset = 0
	}
	return nil
}
