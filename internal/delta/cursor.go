package delta

import (
	"encoding/binary"
	"math"
)

// segment is a part of the new content that is made in one way: copied from the base
// as it is, copied with something added to each byte, or inserted.
type segment struct {
	size   int64
	copied bool
	at     int64  // in the base, of what is copied
	bytes  []byte // what is added or inserted; nil where bytes are copied as they are
}

// cursor walks over the segments of a patch that has been checked.
type cursor struct {
	p            Patch // what is left
	copy, insert int64 // left of the piece
	at           int64 // where its copy goes on
	gap, run     int64 // left of those
}

func newCursor(p *Patch) *cursor { return &cursor{p: *p} }

func (c *cursor) uint(k column) int64 {
	v, n := binary.Uvarint(c.p.cols[k])
	c.p.cols[k] = c.p.cols[k][n:]
	return int64(v)
}

func (c *cursor) int(k column) int64 {
	v, n := binary.Varint(c.p.cols[k])
	c.p.cols[k] = c.p.cols[k][n:]
	return v
}

func (c *cursor) bytes(k column, n int64) []byte {
	b := c.p.cols[k][:n:n]
	c.p.cols[k] = c.p.cols[k][n:]
	return b
}

// load goes on to the next piece where one has ended, and to the next run. It
// reports false at the end.
func (c *cursor) load() bool {
	if c.copy == 0 && c.insert == 0 {
		if c.p.pieces == 0 {
			return false
		}
		c.p.pieces--
		c.copy, c.insert = c.uint(copies), c.uint(inserts)
		c.at += c.int(seeks)
	}
	if c.gap == 0 && c.run == 0 {
		c.gap = math.MaxInt64
		if c.p.runs > 0 {
			c.p.runs--
			c.gap, c.run = c.uint(gaps), c.uint(runs)
		}
	}
	return true
}

// next returns the next segment, of at most limit bytes, or false at the end.
func (c *cursor) next(limit int64) (segment, bool) {
	if !c.load() {
		return segment{}, false
	}
	var s segment
	switch {
	case c.copy == 0:
		s = segment{size: min(limit, c.insert)}
		s.bytes = c.bytes(literal, s.size)
		c.insert -= s.size
		c.p.size -= s.size
		return s, true
	case c.gap > 0:
		s = segment{copied: true, at: c.at, size: min(limit, c.copy, c.gap)}
		c.gap -= s.size
	default:
		s = segment{copied: true, at: c.at, size: min(limit, c.copy, c.run)}
		s.bytes = c.bytes(deltas, s.size)
		c.run -= s.size
	}
	c.at += s.size
	c.copy -= s.size
	c.p.size -= s.size
	return s, true
}

// rest returns the patch that makes what has not been walked over.
func (c *cursor) rest() *Patch {
	if !c.load() {
		return &Patch{}
	}
	p := c.p
	prepend := func(k column, head []byte) { p.cols[k] = append(head, p.cols[k]...) }
	p.pieces++
	prepend(copies, binary.AppendUvarint(nil, uint64(c.copy)))
	prepend(seeks, binary.AppendVarint(nil, c.at))
	prepend(inserts, binary.AppendUvarint(nil, uint64(c.insert)))
	if c.run > 0 {
		p.runs++
		prepend(gaps, binary.AppendUvarint(nil, uint64(c.gap)))
		prepend(runs, binary.AppendUvarint(nil, uint64(c.run)))
	}
	return &p
}
