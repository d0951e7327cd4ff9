// Package turnstile has those that begin a handshake wait for those that are in the middle
// of one.
//
// Where more come than the processors can serve, all of them would begin, and nobody be done
// before the other side gives up. Who goes through a turnstile has a place to work, of which
// there are a few; when one is free, it is for who has begun before, and then for who came
// first. So what is begun is finished, and a thousand that come at one moment leave one
// by one.
package turnstile

import (
	"container/list"
	"context"
	"sync"
)

// Turnstile has places to work. It is safe for concurrent use.
type Turnstile struct {
	mu            sync.Mutex
	free          int       // places
	middle, fresh list.List // of chan struct{}, which is closed when it is one's turn
}

// New returns a turnstile with so many places.
func New(places int) *Turnstile { return &Turnstile{free: places} }

// Enter waits for a place, which Leave gives back, until ctx is done; it reports whether
// there was one. begun says that the caller has had a place before for what it is doing.
func (t *Turnstile) Enter(ctx context.Context, begun bool) bool {
	t.mu.Lock()
	queue := &t.fresh
	if begun {
		queue = &t.middle
	}
	turn := make(chan struct{})
	place := queue.PushBack(turn)
	t.next()
	t.mu.Unlock()
	select {
	case <-turn:
		return true
	case <-ctx.Done():
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	select {
	case <-turn: // just now
		return true
	default:
		queue.Remove(place)
		return false
	}
}

// Leave gives a place to the next.
func (t *Turnstile) Leave() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.free++
	t.next()
}

// next lets those in for whom there are places; t.mu is held.
func (t *Turnstile) next() {
	for _, queue := range []*list.List{&t.middle, &t.fresh} {
		for t.free > 0 && queue.Len() > 0 {
			close(queue.Remove(queue.Front()).(chan struct{}))
			t.free--
		}
	}
}
