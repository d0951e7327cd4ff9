package supply

import (
	"slices"
	"sync"
)

// maxQueue bounds the pairs of packets that wait for their patches. Those that find
// no place are looked for again when all others are done.
const maxQueue = 1000

// queue is the pairs of packets whose patches are to be made.
type queue struct {
	limit int
	wake  chan struct{} // holds an element where there is something new to make
	room  chan struct{} // holds an element where what found no place may find it now

	mu    sync.Mutex
	asked []pair        // for which a device waits, the last first
	ahead []pair        // of plans, the most urgent first
	cut   bool          // some of ahead found no place
	done  map[pair]bool // of which nothing is left to make
}

func newQueue() *queue {
	return &queue{limit: maxQueue, wake: make(chan struct{}, 1), room: make(chan struct{}, 1), done: make(map[pair]bool)}
}

// ask puts a pair to the front: a device waits, and some patches were not there.
func (q *queue) ask(p pair) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.done, p)
	q.asked = append([]pair{p}, without(q.asked, p)...)
	q.asked = q.asked[:min(len(q.asked), q.limit)]
	signal(q.wake)
}

// plan takes the place of all pairs that nobody has asked for.
func (q *queue) plan(all []pair) {
	q.mu.Lock()
	defer q.mu.Unlock()
	known := make(map[pair]bool, len(all))
	q.ahead, q.cut = q.ahead[:0], false
	for _, p := range all {
		switch {
		case known[p] || q.done[p]:
		case len(q.ahead) == q.limit:
			q.cut = true
		default:
			q.ahead = append(q.ahead, p)
		}
		known[p] = true
	}
	for p := range q.done {
		if !known[p] {
			delete(q.done, p)
		}
	}
	signal(q.wake)
}

// next returns the pair that is the most urgent now.
func (q *queue) next() (pair, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case len(q.asked) > 0:
		return q.asked[0], true
	case len(q.ahead) > 0:
		return q.ahead[0], true
	}
	return pair{}, false
}

// finish says that nothing is left to make of a pair.
func (q *queue) finish(p pair) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.asked, q.ahead = without(q.asked, p), without(q.ahead, p)
	q.done[p] = true
	if q.cut && len(q.ahead) == 0 {
		signal(q.room)
	}
}

// waiting returns how many pairs wait.
func (q *queue) waiting() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := len(q.ahead)
	for _, p := range q.asked {
		if !slices.Contains(q.ahead, p) {
			n++
		}
	}
	return n
}

func without(list []pair, p pair) []pair {
	return slices.DeleteFunc(list, func(other pair) bool { return other == p })
}

func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
