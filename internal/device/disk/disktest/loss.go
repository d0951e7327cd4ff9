package disktest

import (
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
)

// Budget bounds how many of the states that a power cut can leave are tried.
type Budget struct {
	Seed    uint64
	Singles int // of "one is lost" and of "one is kept", each; 0 is all
	Random  int // random subsets
}

// Loss is a state that a power cut can leave.
type Loss struct {
	What  string // was lost or kept
	Image *Image
}

// Losses are states that a power cut at p can leave: nothing unsynced is kept,
// all is kept up to some moment, one change is lost, one is kept, random ones
// are, and content that was not synced is there in part. Equal arguments give
// equal states.
func (h *History) Losses(p Point, b Budget) iter.Seq[Loss] {
	open := h.unsynced(p)
	random := rand.New(rand.NewPCG(b.Seed, uint64(p.N)))
	return func(yield func(Loss) bool) {
		for _, losses := range []iter.Seq[Loss]{
			h.cutOff(p, open),
			h.single(p, pick(random, open, b.Singles)),
			h.random(p, random, open, b.Random),
			h.torn(p, random, open),
		} {
			for l := range losses {
				if !yield(l) {
					return
				}
			}
		}
	}
}

// unsynced returns the changes that have happened at p and are not durable.
func (h *History) unsynced(p Point) []int {
	var open []int
	for k := range h.events {
		if p.reached(&h.events[k]) && !h.isDurable(k, p) {
			open = append(open, k)
		}
	}
	return open
}

func (h *History) isDurable(k int, p Point) bool {
	return h.durable[k] < p.N || h.durable[k] == p.N && p.After
}

// pick returns at most n of open, those that happened last among them.
func pick(random *rand.Rand, open []int, n int) []int {
	if n == 0 || len(open) <= n {
		return open
	}
	last := open[len(open)-n/2:]
	rest := slices.Clone(open[:len(open)-n/2])
	random.Shuffle(len(rest), func(a, b int) { rest[a], rest[b] = rest[b], rest[a] })
	return append(rest[:n-n/2], last...)
}

// loss is the state in which those of open are kept that keep says.
func (h *History) loss(p Point, keep func(k int) bool) *Image {
	return h.image(p, func(k int, _ *content) (*content, bool) { return nil, h.isDurable(k, p) || keep(k) })
}

// cutOff are the states of a file system that keeps the order: all up to some
// moment. The first has none.
func (h *History) cutOff(p Point, open []int) iter.Seq[Loss] {
	return func(yield func(Loss) bool) {
		for n := range len(open) {
			what := "nothing unsynced is kept"
			if n > 0 {
				what = fmt.Sprintf("the first %d of %d changes are kept", n, len(open))
			}
			if !yield(Loss{what, h.loss(p, func(k int) bool { return k < open[n] })}) {
				return
			}
		}
	}
}

// single are the states in which one change alone is lost, or kept.
func (h *History) single(p Point, some []int) iter.Seq[Loss] {
	return func(yield func(Loss) bool) {
		for _, one := range some {
			if !yield(Loss{"lost: " + h.name(one), h.loss(p, func(k int) bool { return k != one })}) {
				return
			}
			if !yield(Loss{"kept alone: " + h.name(one), h.loss(p, func(k int) bool { return k == one })}) {
				return
			}
		}
	}
}

// random are states in which random changes are kept: few, half of them, or many.
func (h *History) random(p Point, random *rand.Rand, open []int, n int) iter.Seq[Loss] {
	return func(yield func(Loss) bool) {
		for try := range n {
			if len(open) == 0 {
				return
			}
			keep, chance := map[int]bool{}, []float64{0.5, 0.9, 0.2}[try%3]
			for _, k := range open {
				keep[k] = random.Float64() < chance
			}
			what := fmt.Sprintf("random subset %d of %d changes is kept", try, len(open))
			if !yield(Loss{what, h.loss(p, func(k int) bool { return keep[k] })}) {
				return
			}
		}
	}
}

// torn are the states in which content is there in part, and nothing else that was
// not synced, or, of the last write, all else.
func (h *History) torn(p Point, random *rand.Rand, open []int) iter.Seq[Loss] {
	return func(yield func(Loss) bool) {
		last := true
		for _, one := range slices.Backward(open) {
			e := &h.events[one]
			if e.kind != eventData {
				continue
			}
			for _, tear := range tears(e.patch, random) {
				what := fmt.Sprintf("%s of %s", tear.what, h.name(one))
				if !yield(Loss{what + ", nothing else is kept", h.tornImage(p, one, tear, false)}) {
					return
				}
				if last && !yield(Loss{what + ", all else is kept", h.tornImage(p, one, tear, true)}) {
					return
				}
			}
			last = false
		}
	}
}

func (h *History) tornImage(p Point, one int, t tear, others bool) *Image {
	return h.image(p, func(k int, was *content) (*content, bool) {
		if k == one {
			return t.make(was), true
		}
		return nil, h.isDurable(k, p) || others
	})
}

// tear is a way in which content is there in part.
type tear struct {
	what string
	make func(was *content) *content
}

// tears returns ways in which a write can be there in part: cut off, the length
// without the content, garbage, and the end without the beginning.
func tears(p patch, random *rand.Rand) []tear {
	if len(p.bytes) == 0 {
		return nil
	}
	of := func(what string, b []byte) tear {
		return tear{what, func(was *content) *content {
			return patch{at: p.at, bytes: b, size: p.at + len(b), after: p.after}.apply(was)
		}}
	}
	garbage := make([]byte, len(p.bytes))
	for n := range garbage {
		garbage[n] = byte(random.Uint32())
	}
	half := len(p.bytes) / 2
	all := []tear{
		of("zeros instead", make([]byte, len(p.bytes))),
		of("garbage instead", garbage),
		of("garbage at the end", slices.Concat(p.bytes[:half], garbage[half:])),
		of("zeros at the beginning", slices.Concat(make([]byte, half), p.bytes[half:])),
	}
	for _, n := range []int{1, 7, half, len(p.bytes) - 1} {
		if n < len(p.bytes) {
			all = append(all, of(fmt.Sprintf("the first %d of %d bytes", n, len(p.bytes)), p.bytes[:n]))
		}
	}
	return all
}

// name says for people what an event was.
func (h *History) name(k int) string {
	e := &h.events[k]
	who := "operation"
	if e.by {
		who = "something else before operation"
	}
	op := h.Ops[e.op-1]
	what := map[eventKind]string{eventMove: "a name", eventData: "content", eventSet: e.field.name}[e.kind]
	return fmt.Sprintf("%s of %s %d (%s %s)", what, who, e.op, op.Name, op.Path)
}
