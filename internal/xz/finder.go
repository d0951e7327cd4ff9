package xz

import (
	"encoding/binary"
	"math"
	"math/bits"
)

const (
	minMatch = 2
	maxMatch = 273
	// A match of niceMatch bytes is taken as it is. searchDepth is how many places
	// are looked at for each byte.
	niceMatch   = 96
	searchDepth = 64
)

// match is a place before with the same bytes; distance is 1 for the byte before.
type match struct {
	length   int
	distance uint32
}

// finder finds for each place of a content the nearest matches of every length, in a
// window. Places with the same four bytes are in a binary tree, the latest on top.
type finder struct {
	buf    []byte
	at     int    // in buf, which is looked for next
	pos    uint32 // the same in the content; 0 means none, so it begins with window
	window uint32 // places in the trees, one more than the largest distance
	slot   uint32 // of pos in nodes
	nodes  []uint32
	two    []uint32
	three  []uint32
	four   []uint32
	found  []match
}

const (
	threeBits = 16
	fourBits  = 20
)

func newFinder(dictionary int) *finder {
	window := uint32(dictionary) + 1
	return &finder{
		pos: window, window: window,
		two: make([]uint32, 1<<16), three: make([]uint32, 1<<threeBits), four: make([]uint32, 1<<fourBits),
	}
}

// next returns the matches of the next place, ascending by length and distance.
func (f *finder) next() []match {
	f.found = f.found[:0]
	if 2*int(f.slot) == len(f.nodes) { // the trees grow as the content does
		f.nodes = append(f.nodes, make([]uint32, min(1<<16, 2*int(f.window)-len(f.nodes)))...)
	}
	if limit := min(niceMatch, len(f.buf)-f.at); limit >= 4 {
		f.search(limit)
	}
	f.advance()
	return f.found
}

// skip goes past n places.
func (f *finder) skip(n int) {
	for range n {
		f.next()
	}
}

func (f *finder) advance() {
	f.at++
	f.pos++
	if f.slot++; f.slot == f.window {
		f.slot = 0
	}
	if f.pos == math.MaxInt32 {
		f.rebase()
	}
}

// rebase makes all places smaller, so that numbers of 32 bits go on.
func (f *finder) rebase() {
	less := f.pos - f.window
	for _, list := range [][]uint32{f.nodes, f.two, f.three, f.four} {
		for i, v := range list {
			list[i] = max(v, less) - less
		}
	}
	f.pos -= less
}

func (f *finder) search(limit int) {
	head := binary.LittleEndian.Uint32(f.buf[f.at:])
	three := &f.three[(head<<8)*2654435761>>(32-threeBits)]
	four := &f.four[head*2654435761>>(32-fourBits)]
	two := &f.two[head&0xffff]
	best := 1
	last := uint32(0)
	if d := f.pos - *two; d < f.window {
		best, last = minMatch, d
		f.found = append(f.found, match{minMatch, d})
	}
	if d := f.pos - *three; d != last && d < f.window && f.same(d, 0, 3) == 3 {
		best, last = 3, d
		f.found = append(f.found, match{3, d})
	}
	from := *four
	*two, *three, *four = f.pos, f.pos, f.pos
	if last > 0 {
		best = f.same(last, best, limit)
		f.found[len(f.found)-1].length = best
	}
	f.descend(from, max(best, 3), limit)
}

// same returns how many bytes are as those distance before, of which the first n are
// known to be.
func (f *finder) same(distance uint32, n, limit int) int {
	return common(f.buf[f.at:], f.buf[f.at-int(distance):], n, limit)
}

// common returns the length of the common beginning of a and b, which is between n
// and limit.
func common(a, b []byte, n, limit int) int {
	a, b = a[:limit], b[:limit]
	for ; n+8 <= limit; n += 8 {
		if x := binary.LittleEndian.Uint64(a[n:]) ^ binary.LittleEndian.Uint64(b[n:]); x != 0 {
			return n + bits.TrailingZeros64(x)/8
		}
	}
	for n < limit && a[n] == b[n] {
		n++
	}
	return n
}

// descend goes down the tree of which from is the top, notes matches that are longer
// than best, and makes the current place the top.
func (f *finder) descend(from uint32, best, limit int) {
	smaller, larger := &f.nodes[2*f.slot], &f.nodes[2*f.slot+1]
	short0, short1 := 0, 0 // what is known to be the same on either side
	cur := f.buf[f.at : f.at+limit]
	for range searchDepth {
		distance := f.pos - from
		if distance >= f.window {
			break
		}
		slot := f.slot - distance
		if distance > f.slot {
			slot += f.window
		}
		pair := f.nodes[2*slot : 2*slot+2 : 2*slot+2]
		old := f.buf[f.at-int(distance):]
		n := common(cur, old, min(short0, short1), limit)
		if n > best {
			best = n
			f.found = append(f.found, match{n, distance})
		}
		if n == limit {
			*smaller, *larger = pair[0], pair[1]
			return
		}
		if old[n] < cur[n] {
			*smaller, smaller, from, short1 = from, &pair[1], pair[1], n
		} else {
			*larger, larger, from, short0 = from, &pair[0], pair[0], n
		}
	}
	*smaller, *larger = 0, 0
}
