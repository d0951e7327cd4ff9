package delta

import (
	"encoding/binary"
	"math/bits"
)

// seed is how many bytes a match has at least, where the index is not coarse.
const seed = 8

// index finds where parts of a base occur. It lists places of the base by a hash of
// the seed bytes there: all places, or every step-th where that took too much memory.
type index struct {
	old    []byte
	shift  int
	step   int
	starts []uint32 // of the list of each hash in places; one more than there are hashes
	places []uint32 // in steps, ascending in each list
	work   int64    // bytes and candidates that finding may still look at
}

// newIndex indexes old in at most limit bytes.
func newIndex(old []byte, limit int64) *index {
	x := &index{old: old, step: 1}
	for len(old)/x.step >= fewest && indexSize(len(old)/x.step) > limit || int64(len(old)/x.step) > 1<<31 {
		x.step += 1 + x.step/8
	}
	n := max(0, len(old)-seed+1)
	n = (n + x.step - 1) / x.step
	width := hashBits(n)
	x.shift = 64 - width
	x.starts = make([]uint32, 1<<width+1)
	x.places = make([]uint32, n)
	for i := range n {
		x.starts[x.hash(old[i*x.step:])]++
	}
	var total uint32
	for h, count := range x.starts {
		x.starts[h] = total
		total += count
	}
	for i := range n {
		h := x.hash(old[i*x.step:])
		x.places[x.starts[h]] = uint32(i)
		x.starts[h]++
	}
	copy(x.starts[1:], x.starts) // each has been moved to the end of its list
	x.starts[0] = 0
	return x
}

// fewest is how many places are indexed, if there are so many, whatever the limit is.
const fewest = 64

// hashBits returns the bits of a hash for n places: two of them share one, or fewer.
func hashBits(n int) int { return min(max(bits.Len(uint(n))-1, 4), 28) }

// indexSize returns the bytes that an index of n places takes.
func indexSize(n int) int64 { return 4 * (int64(n) + 1<<hashBits(n)) }

func (x *index) hash(b []byte) uint64 {
	return binary.LittleEndian.Uint64(b) * 0x9E3779B97F4A7C15 >> x.shift
}

// candidates are looked at for one place of the new content: those nearest to where
// it is expected. A long list is that of bytes that are everywhere.
const candidates = 48

// find returns the longest match for the beginning of b and its place; of equal ones
// the one at the place that is expected. Its length is 0 where there is none of seed
// bytes.
func (x *index) find(b []byte, expected int) (at, length int) {
	if len(b) < seed {
		return 0, 0
	}
	if expected >= 0 && expected < len(x.old) {
		at, length = expected, x.match(x.old[expected:], b)
		if length >= 64 {
			return at, length
		}
	}
	h := x.hash(b)
	list := x.places[x.starts[h]:x.starts[h+1]]
	if len(list) > 0 {
		at, length = x.better(b, at, length, list[:1])
	}
	at, length = x.better(b, at, length, x.near(list, expected/x.step))
	if length < seed {
		return at, 0
	}
	return at, length
}

// better returns the longest match at one of a list of places if it is longer than the
// one that is known, which it returns otherwise.
func (x *index) better(b []byte, at, length int, list []uint32) (int, int) {
	x.work -= int64(len(list))
	for _, place := range list {
		p := int(place) * x.step
		if length > 0 && (p+length >= len(x.old) || length >= len(b) || x.old[p+length] != b[length]) {
			continue
		}
		if n := x.match(x.old[p:], b); n > length {
			at, length = p, n
		}
	}
	return at, length
}

// near returns the part of a list that is nearest to a place.
func (x *index) near(list []uint32, place int) []uint32 {
	limit := candidates
	if x.work < 0 {
		limit = 2
	}
	if len(list) <= limit {
		return list
	}
	lo, hi := 0, len(list)
	for lo < hi {
		if mid := (lo + hi) / 2; int(list[mid]) < place {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	from := min(max(lo-limit/2, 0), len(list)-limit)
	return list[from : from+limit]
}

// longest is the length up to which matches are compared. What is longer is found in
// several steps, so that it takes no longer to find where there are many.
const longest = 16 << 10

// match returns how many bytes a and b have in common at their beginnings, up to
// longest.
func (x *index) match(a, b []byte) int {
	n := min(len(a), len(b), longest)
	i := 0
	for i+8 <= n {
		if d := binary.LittleEndian.Uint64(a[i:]) ^ binary.LittleEndian.Uint64(b[i:]); d != 0 {
			i += bits.TrailingZeros64(d) / 8
			x.work -= int64(i) / 8
			return i
		}
		i += 8
	}
	for i < n && a[i] == b[i] {
		i++
	}
	x.work -= int64(i) / 8
	return i
}
