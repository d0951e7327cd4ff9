package delta

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"
)

// shift says how far addresses have moved from one on, up to another, whatever the
// pieces say: of what looks all the same, such as a table of jumps, they tell only
// where it goes on alike, and an address need not be a place in the file.
type shift struct{ from, to, by int64 }

// overlay returns how addresses have moved: as the shifts say, and elsewhere as moves.
func overlay(moves []move, all []shift) []move {
	under := relocator{moves: moves}
	var out []move
	next := 0 // of moves
	add := func(m move) {
		if len(out) == 0 || out[len(out)-1].by != m.by {
			out = append(out, m)
		}
	}
	for _, s := range all {
		for ; next < len(moves) && moves[next].from < s.from; next++ {
			add(moves[next])
		}
		add(move{s.from, s.by})
		for ; next < len(moves) && moves[next].from <= s.to; next++ {
		}
		add(move{s.to, under.by(s.to)})
	}
	for _, m := range moves[next:] {
		add(m)
	}
	return out
}

// sample is an address of the base that is an address in the new content as well.
type sample struct {
	target int64
	by     int64 // how far it has moved
}

// leastGain is how many more addresses must be right for a shift to pay.
const leastGain = 3

// learn finds out how the addresses of the base have moved: with the pieces, and where
// those are more often wrong than right, as they have.
func (r *relocator) learn(old, new []byte, pieces []piece) {
	r.moves = movesOf(spansOf(pieces))
	r.shifts = r.better(r.samples(old, new, pieces))
	r.moves = overlay(r.moves, r.shifts)
}

// better returns the shifts with which samples are right more often than without.
func (r *relocator) better(samples []sample) []shift {
	slices.SortFunc(samples, func(a, b sample) int { return cmp.Or(cmp.Compare(a.target, b.target), cmp.Compare(a.by, b.by)) })
	var out []shift
	var run shift
	gain := 0
	for i := 0; i < len(samples); {
		target, end := samples[i].target, i
		for end < len(samples) && samples[end].target == target {
			end++
		}
		same := samples[i:end]
		i = end
		if by := most(same); by != run.by || run.to == 0 {
			if gain >= leastGain {
				out = append(out, run)
			}
			run, gain = shift{from: target, by: by}, 0
		}
		run.to = target + 1
		gain += count(same, run.by) - count(same, r.by(target))
	}
	if gain >= leastGain {
		out = append(out, run)
	}
	return out
}

// most returns how far most of some samples have moved, which are sorted by that.
func most(samples []sample) int64 {
	best, by := 0, int64(0)
	for i := 0; i < len(samples); {
		n := count(samples[i:], samples[i].by)
		if n > best {
			best, by = n, samples[i].by
		}
		i += n
	}
	return by
}

// count returns how many of some samples have moved so far.
func count(samples []sample, by int64) int {
	n := 0
	for _, s := range samples {
		if s.by == by {
			n++
		}
	}
	return n
}

// samples returns the addresses in what is copied.
func (r *relocator) samples(old, new []byte, pieces []piece) []sample {
	var out []sample
	place := 0
	for _, p := range pieces {
		by := int64(place - p.at)
		for at := p.at; at < p.at+p.copy; {
			block := at - at%blockSize
			end := min(block+blockSize, p.at+p.copy)
			for _, f := range r.within(int64(at), int64(end), old[block:min(block+blockSize, len(old))], int64(block)) {
				if f.at < int64(at) || f.at+4 > int64(end) {
					continue
				}
				actual := int64(int32(binary.LittleEndian.Uint32(new[f.at+by:]))) - f.value
				if f.near {
					actual += by
				}
				out = append(out, sample{f.target, actual})
			}
			at = end
		}
		place += p.copy + p.insert
	}
	return out
}

// appendShifts appends the shifts as they are in a column.
func appendShifts(b []byte, all []shift) []byte {
	var end, by int64
	for _, s := range all {
		b = binary.AppendUvarint(b, uint64(s.from-end))
		b = binary.AppendUvarint(b, uint64(s.to-s.from))
		b = binary.AppendVarint(b, s.by-by)
		end, by = s.to, s.by
	}
	return b
}

// decodeShifts returns the shifts of a column; false where a number is too large.
func decodeShifts(b []byte) ([]shift, bool) {
	c := cursor{p: Patch{}}
	c.p.cols[shifts] = b
	var out []shift
	var end, by int64
	for len(c.p.cols[shifts]) > 0 {
		gap, size := c.uint(shifts), c.uint(shifts)
		by += c.int(shifts)
		if gap < 0 || size < 0 || gap > maxSize || size > maxSize || end > maxSize || by > math.MaxInt32 || by < math.MinInt32 {
			return nil, false
		}
		s := shift{from: end + gap, to: end + gap + size, by: by}
		out, end = append(out, s), s.to
	}
	return out, true
}
