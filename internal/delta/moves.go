package delta

import (
	"cmp"
	"container/heap"
	"slices"
)

// maxGeometry is the most that the pieces of a program take in a batch, in bytes: who
// applies the patch has all of them in memory, several times as large.
const maxGeometry = MaxBatch / 4

// move says how far the base has moved from a place on, up to the next.
type move struct{ from, by int64 }

// span is a part of the base that is copied, and how far it moves.
type span struct{ from, to, by int64 }

// spans returns what is copied, in the order of the new content.
func (p *Patch) spans() []span {
	all := make([]span, 0, p.pieces)
	c := cursor{p: *p}
	for c.p.pieces > 0 {
		c.piece()
		if c.copy > 0 {
			all = append(all, span{from: c.at, to: c.at + c.copy, by: c.place - c.at})
		}
		c.place += c.copy + c.insert
		c.at += c.copy
	}
	return all
}

// spansOf returns what is copied by some pieces, in the order of the new content.
func spansOf(pieces []piece) []span {
	all := make([]span, 0, len(pieces))
	place := 0
	for _, p := range pieces {
		if p.copy > 0 {
			all = append(all, span{from: int64(p.at), to: int64(p.at + p.copy), by: int64(place - p.at)})
		}
		place += p.copy + p.insert
	}
	return all
}

// movesOf returns how the parts of the base have moved, in order. What is copied several
// times goes with the longest copy, as short ones may be of what only looks the same;
// what is not copied goes with what is before.
func movesOf(all []span) []move {
	slices.SortStableFunc(all, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	ends := make([]int64, len(all))
	for i, s := range all {
		ends[i] = s.to
	}
	slices.Sort(ends)
	var out []move
	var open longestFirst
	for i := 0; len(ends) > 0; {
		at := ends[0]
		if i < len(all) && all[i].from < at {
			at = all[i].from
		} else {
			ends = ends[1:]
		}
		for ; i < len(all) && all[i].from == at; i++ {
			heap.Push(&open, all[i])
		}
		for len(open) > 0 && open[0].to <= at {
			heap.Pop(&open)
		}
		if len(open) > 0 && (len(out) == 0 || out[len(out)-1].by != open[0].by) {
			out = append(out, move{from: at, by: open[0].by})
		}
	}
	return out
}

// longestFirst is a heap of spans.
type longestFirst []span

func (h longestFirst) Len() int           { return len(h) }
func (h longestFirst) Less(i, j int) bool { return h[i].to-h[i].from > h[j].to-h[j].from }
func (h longestFirst) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }

// Push and Pop are for package heap.
func (h *longestFirst) Push(x any) { *h = append(*h, x.(span)) }
func (h *longestFirst) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}
