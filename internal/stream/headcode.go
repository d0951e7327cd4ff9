package stream

import (
	"encoding/binary"
	"io"

	"github.com/trusch/jamesd/pkg/james"
)

// headCode is what encoding or decoding a head needs to know of those before.
//
// A head begins with a number: how many entries after the last one this is, and two
// bits. 0 entries is the same content, which goes on where the last piece ended.
// With otherPacket there follows how many packets after the last one this is, and
// entries are counted from -1; with hasOffset the offset, which is 0 otherwise. The
// head of a patch goes on with its base: the difference to the last base's packet, and
// that to the entry which is as far from the last base as this entry is from the last.
// The size stands before the head or follows from the patch.
type headCode struct {
	packet, entry int
	end           int64 // of the last piece, in its content
	base          Base
}

const (
	otherPacket = 1
	hasOffset   = 2
	headBits    = 2
)

func newHeadCode() headCode { return headCode{entry: -1} }

// append appends a head without its size. It fails with KindInvalid where the head is
// not one that can follow the last.
func (c *headCode) append(dst []byte, h Head) ([]byte, error) {
	if err := h.check(); err != nil {
		return nil, err
	}
	v, packets := uint64(0), h.Packet-c.packet
	if packets > 0 {
		v, c.entry, c.packet = otherPacket, -1, h.Packet
	}
	step := h.Entry - c.entry
	goesOn := step == 0 && packets == 0
	switch {
	case packets < 0 || step < 0:
		return nil, badHead("entry %d of packet %d is wanted before the last", h.Entry, h.Packet)
	case goesOn && (h.Offset != c.end || h.Size == 0):
		return nil, badHead("%d bytes at %d of a content that is there up to %d", h.Size, h.Offset, c.end)
	case !goesOn && h.Offset > 0:
		v |= hasOffset
	}
	dst = binary.AppendUvarint(dst, v|uint64(step)<<headBits)
	if v&otherPacket != 0 {
		dst = binary.AppendUvarint(dst, uint64(packets))
	}
	if v&hasOffset != 0 {
		dst = binary.AppendUvarint(dst, uint64(h.Offset))
	}
	if h.Base != nil {
		dst = binary.AppendVarint(dst, int64(h.Base.Have-c.base.Have))
		dst = binary.AppendVarint(dst, int64(h.Base.Entry-c.base.Entry-step))
		c.base = *h.Base
	}
	c.entry, c.end = h.Entry, h.Offset+h.Size
	return dst, nil
}

// read reads what append has appended, for a piece of that size; patched says that it
// is the head of a patch.
func (c *headCode) read(r io.ByteReader, size int64, patched bool) (Head, error) {
	v, err := readUvarint(r, james.MaxEntries<<headBits|otherPacket|hasOffset)
	if err != nil {
		return Head{}, err
	}
	if v&otherPacket != 0 {
		if err := c.nextPacket(r); err != nil {
			return Head{}, err
		}
	}
	step := int(v >> headBits)
	h := Head{Packet: c.packet, Entry: c.entry + step, Size: size}
	if h.Offset, err = c.readOffset(r, step == 0, v&hasOffset != 0); err != nil {
		return Head{}, err
	}
	if step == 0 && size == 0 {
		return Head{}, corrupt("an empty piece of a content that goes on")
	}
	if patched {
		if h.Base, err = c.readBase(r, step); err != nil {
			return Head{}, err
		}
	}
	c.entry, c.end = h.Entry, h.Offset+size
	if err := h.check(); err != nil {
		return Head{}, corrupt("%w", err)
	}
	return h, nil
}

func (c *headCode) nextPacket(r io.ByteReader) error {
	n, err := readUvarint(r, james.MaxWants)
	if err == nil && n == 0 {
		err = corrupt("another packet that is the same")
	}
	c.packet, c.entry = c.packet+int(n), -1
	return err
}

func (c *headCode) readOffset(r io.ByteReader, goesOn, given bool) (int64, error) {
	switch {
	case goesOn && given:
		return 0, corrupt("an offset where there can be none")
	case goesOn:
		return c.end, nil
	case !given:
		return 0, nil
	}
	offset, err := readUvarint(r, maxSize)
	if err == nil && offset == 0 {
		err = corrupt("an offset that is none")
	}
	return int64(offset), err
}

func (c *headCode) readBase(r io.ByteReader, step int) (*Base, error) {
	have, err := readVarint(r)
	if err != nil {
		return nil, err
	}
	entry, err := readVarint(r)
	if err != nil {
		return nil, err
	}
	c.base.Have += have
	c.base.Entry += step + entry
	base := c.base
	return &base, nil
}

// readUvarint reads a number of at most limit.
func readUvarint(r io.ByteReader, limit uint64) (uint64, error) {
	v, err := binary.ReadUvarint(r)
	if err == nil && v > limit {
		err = corrupt("the number %d where %d is the limit", v, limit)
	}
	return v, err
}

// readVarint reads a difference of two places in lists.
func readVarint(r io.ByteReader) (int, error) {
	v, err := binary.ReadVarint(r)
	if err == nil && (v > 2*james.MaxEntries || v < -2*james.MaxEntries) {
		err = corrupt("the number %d where %d is the limit", v, 2*james.MaxEntries)
	}
	return int(v), err
}
