package stream

import (
	"math"

	"github.com/trusch/jamesd/pkg/james"
)

// Head says of which content a piece is.
type Head struct {
	Packet int // place in BlobsRequest.Packets
	Entry  int // place in the manifest of that packet
	// Offset is where in the content the piece begins, Size how long it is, in bytes.
	Offset, Size int64
	// Base is the file that the piece is made from by a patch; nil where it comes whole.
	Base *Base
}

// Base is a file that the device has.
type Base struct {
	Have  int // place in BlobsRequest.Have
	Entry int // place in the manifest of that packet
}

// maxSize is the largest content, in bytes: two of them added up overflow nothing.
const maxSize = math.MaxInt64 / 4

// check returns an error of KindInvalid for a head that no stream has.
func (h *Head) check() error {
	switch {
	case h.Packet < 0 || h.Packet >= james.MaxWants:
		return badHead("its packet is the %dth, the limit is %d", h.Packet, james.MaxWants)
	case h.Entry < 0 || h.Entry >= james.MaxEntries:
		return badHead("its entry is the %dth, the limit is %d", h.Entry, james.MaxEntries)
	case h.Offset < 0 || h.Offset > maxSize || h.Size < 0 || h.Size > maxSize:
		return badHead("no content has %d bytes at %d", h.Size, h.Offset)
	case h.Base == nil:
		return nil
	case h.Base.Have < 0 || h.Base.Have >= james.MaxHave:
		return badHead("its base is in the %dth packet, the limit is %d", h.Base.Have, james.MaxHave)
	case h.Base.Entry < 0 || h.Base.Entry >= james.MaxEntries:
		return badHead("its base is the %dth entry, the limit is %d", h.Base.Entry, james.MaxEntries)
	}
	return nil
}

func badHead(format string, args ...any) error {
	return james.Errorf(james.KindInvalid, "head", format, args...)
}
