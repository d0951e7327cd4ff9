package disktest

import (
	"fmt"
	"math"

	"github.com/trusch/jamesd/internal/device/disk"
	"github.com/trusch/jamesd/pkg/james"
)

// History is what happened to some trees. It is not changed once made.
type History struct {
	// Ops are the operations: Ops[0] is the first.
	Ops []disk.Op

	roots  []int   // the nodes of the trees
	nodes  []birth // all that there ever were
	places []place // where each name was in the beginning, by its number
	links  []int   // the nodes of the names
	events []event
	// durable is the operation with which an event became durable, emptied are the
	// moves that emptied a directory before an event that removed it, and born is
	// the event that made a directory.
	durable []int
	emptied map[int][]int
	born    map[int]int
}

// birth is a node as it was in the beginning, or when it was made.
type birth struct {
	kind    james.EntryType
	attrs   attrs
	content *content
	target  string
	rdev    uint64
	dev     uint64
}

// Point is a moment: before or after the N-th operation.
type Point struct {
	N     int
	After bool
}

func (p Point) String() string {
	if p.After {
		return fmt.Sprintf("after operation %d", p.N)
	}
	return fmt.Sprintf("before operation %d", p.N)
}

// reached reports whether the event took place before p.
func (p Point) reached(e *event) bool { return e.op < p.N || e.op == p.N && (e.by || p.After) }

// never is the operation with which something that is never synced becomes
// durable.
const never = math.MaxInt

// Kill returns what the trees hold when the process is killed at p.
func (h *History) Kill(p Point) *Image {
	return h.image(p, func(int, *content) (*content, bool) { return nil, true })
}

// settle computes when every event became durable.
func (h *History) settle() {
	h.durable = make([]int, len(h.events))
	for k := range h.events {
		e := &h.events[k]
		switch {
		case e.kind == eventFsync || e.kind == eventSyncfs:
			h.durable[k] = e.op
		case e.kind == eventMove:
			from, to := 0, 0
			if e.from.name != "" {
				from = h.synced(k, e.from.dir)
			}
			if e.to.name != "" {
				to = h.synced(k, e.to.dir)
			}
			h.durable[k] = max(from, to)
		default:
			h.durable[k] = h.synced(k, e.node)
		}
	}
	h.emptied, h.born = map[int][]int{}, map[int]int{}
	for k := len(h.events) - 1; k >= 0; k-- {
		h.settleRemoval(k)
		if e := &h.events[k]; e.kind == eventMove && e.from.name == "" && h.nodes[h.links[e.link]].kind == james.TypeDir {
			h.born[h.links[e.link]] = k
		}
	}
}

// settleRemoval finds what emptied the directory that the k-th event removed, if
// it did that.
func (h *History) settleRemoval(k int) {
	e := &h.events[k]
	if e.kind != eventMove || e.to.name != "" || h.nodes[h.links[e.link]].kind != james.TypeDir {
		return
	}
	for j := range k {
		if m := &h.events[j]; m.kind == eventMove && m.from.name != "" && m.from.dir == h.links[e.link] {
			h.emptied[k] = append(h.emptied[k], j)
			h.durable[j] = min(h.durable[j], h.durable[k])
		}
	}
}

// synced returns the first operation after the k-th event that syncs the node.
func (h *History) synced(k, node int) int {
	for n := k + 1; n < len(h.events); n++ {
		e := &h.events[n]
		if e.kind == eventFsync && e.node == node || e.kind == eventSyncfs && e.dev == h.nodes[node].dev {
			return e.op
		}
	}
	return never
}

// fate decides what becomes of the k-th event: whether it is kept, and where
// content is not nil, what the file holds instead; was is what it held.
type fate func(k int, was *content) (instead *content, kept bool)

// image returns what the trees hold at p when events are lost.
func (h *History) image(p Point, decide fate) *Image {
	s, forced := newState(h), h.forced(p, decide)
	for k := range h.events {
		e := &h.events[k]
		if !p.reached(e) {
			continue // later ones by others may have come before it
		}
		var was *content
		if e.kind == eventData {
			was = s.contents[e.node]
		}
		if instead, kept := decide(k, was); kept || forced[k] {
			s.apply(e, instead)
		}
	}
	return s.image(h)
}

// forced are the moves that are kept because others are: those that emptied a
// directory that was removed, and those that made one that something was moved
// into.
func (h *History) forced(p Point, decide fate) map[int]bool {
	forced := map[int]bool{}
	for k := len(h.events) - 1; k >= 0; k-- {
		e := &h.events[k]
		if e.kind != eventMove || e.from.name == "" || !p.reached(e) {
			continue
		}
		if _, kept := decide(k, nil); !kept && !forced[k] {
			continue
		}
		for _, j := range h.emptied[k] {
			forced[j] = true
		}
		if e.to.name != "" && !h.isDurable(k, p) {
			h.forceDir(forced, e.to.dir)
		}
	}
	return forced
}

// forceDir has a directory be kept, with those above it.
func (h *History) forceDir(forced map[int]bool, dir int) {
	for {
		k, ok := h.born[dir]
		if !ok {
			return
		}
		forced[k], dir = true, h.events[k].to.dir
	}
}

// state is what trees hold in the middle of being made.
type state struct {
	attrs    []attrs
	contents []*content
	places   []place // of the names
	at       map[place]int
}

func newState(h *History) *state {
	s := &state{
		attrs: make([]attrs, len(h.nodes)), contents: make([]*content, len(h.nodes)),
		places: make([]place, len(h.places)), at: make(map[place]int, len(h.places)),
	}
	for n := range h.nodes {
		s.attrs[n], s.contents[n] = h.nodes[n].attrs, h.nodes[n].content
	}
	for link, where := range h.places {
		s.put(link, where)
	}
	return s
}

// put moves a name to a place.
func (s *state) put(link int, to place) {
	if from := s.places[link]; from.name != "" && s.at[from] == link {
		delete(s.at, from)
	}
	if to.name != "" {
		if other, ok := s.at[to]; ok {
			s.places[other] = place{}
		}
		s.at[to] = link
	}
	s.places[link] = to
}

func (s *state) apply(e *event, instead *content) {
	switch {
	case e.kind == eventMove:
		s.put(e.link, e.to)
	case e.kind == eventSet:
		s.attrs[e.node] = s.attrs[e.node].set(e.field)
	case e.kind == eventData && instead != nil:
		s.contents[e.node] = instead
	case e.kind == eventData:
		s.contents[e.node] = e.patch.apply(s.contents[e.node])
	}
}

// image makes the trees of what can be reached from their roots.
func (s *state) image(h *History) *Image {
	nodes := make([]*node, len(h.nodes))
	get := func(n int) *node {
		if nodes[n] == nil {
			b := &h.nodes[n]
			nodes[n] = &node{kind: b.kind, attrs: s.attrs[n], content: s.contents[n], target: b.target, rdev: b.rdev}
			if b.kind == james.TypeDir {
				nodes[n].names = map[string]*node{}
			}
		}
		return nodes[n]
	}
	for where, link := range s.at {
		get(where.dir).names[where.name] = get(h.links[link])
	}
	image := &Image{}
	for _, root := range h.roots {
		image.roots = append(image.roots, get(root))
	}
	return image
}
