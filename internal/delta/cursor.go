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
	by     int64  // how far it moves
	bytes  []byte // what is added or inserted; nil where bytes are copied as they are
}

// cursor walks over the segments of a patch that has been checked.
type cursor struct {
	whole        *Patch
	p            Patch // what is left
	place        int64 // in what all pieces make
	copy, insert int64 // left of the piece
	at           int64 // where its copy goes on
	gap, run     int64 // left of those
}

func newCursor(p *Patch) *cursor {
	c := &cursor{whole: p, p: *p}
	for left := p.skip; left > 0; {
		c.piece()
		n := min(left, c.copy)
		c.copy -= n
		c.at += n
		m := min(left-n, c.insert)
		c.insert -= m
		c.place += n + m
		left -= n + m
	}
	return c
}

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

// piece goes on to the next piece.
func (c *cursor) piece() {
	c.p.pieces--
	c.copy, c.insert = c.uint(copies), c.uint(inserts)
	c.at += c.int(seeks)
}

// load goes on to the next piece where one has ended, and to the next run. It
// reports false at the end.
func (c *cursor) load() bool {
	if c.p.size == 0 {
		return false
	}
	if c.copy == 0 && c.insert == 0 {
		c.piece()
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
	limit = min(limit, c.p.size)
	var s segment
	switch {
	case c.copy == 0:
		s = segment{size: min(limit, c.insert)}
		s.bytes = c.bytes(literal, s.size)
		c.insert -= s.size
	case c.gap > 0:
		s = c.copied(min(limit, c.gap))
		c.gap -= s.size
	default:
		s = c.copied(min(limit, c.run))
		s.bytes = c.bytes(deltas, s.size)
		c.run -= s.size
	}
	c.place += s.size
	c.p.size -= s.size
	return s, true
}

func (c *cursor) copied(limit int64) segment {
	s := segment{copied: true, at: c.at, by: c.place - c.at, size: min(limit, c.copy)}
	c.at += s.size
	c.copy -= s.size
	return s
}

// rest returns the patch that makes what has not been walked over.
func (c *cursor) rest() *Patch {
	if !c.load() {
		return &Patch{}
	}
	p := c.p
	prepend := func(k column, head []byte) { p.cols[k] = append(head, p.cols[k]...) }
	if p.machine == noMachine {
		p.pieces++
		prepend(copies, binary.AppendUvarint(nil, uint64(c.copy)))
		prepend(seeks, binary.AppendVarint(nil, c.at))
		prepend(inserts, binary.AppendUvarint(nil, uint64(c.insert)))
	} else {
		p.pieces, p.skip = c.whole.pieces, c.place
		copy(p.cols[:gaps], c.whole.cols[:gaps])
	}
	if c.run > 0 {
		p.runs++
		prepend(gaps, binary.AppendUvarint(nil, uint64(c.gap)))
		prepend(runs, binary.AppendUvarint(nil, uint64(c.run)))
	}
	return &p
}
