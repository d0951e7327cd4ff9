package gate

import (
	"container/list"
	"sync"
	"time"
)

// turnstile has so many work at a time, and so many be in the middle of a handshake. Of
// those who wait to work, who is in the middle goes first, and then who came first.
type turnstile struct {
	mu            sync.Mutex
	free          int       // places to work
	room          int       // for more in the middle
	middle, fresh list.List // of chan struct{}, which is sent to
}

// enter waits for a place to work, for as long as that; who is not in the middle of a
// handshake is from then on, until done. It returns false where there was no place; who
// got one calls leave.
func (t *turnstile) enter(middle bool, wait time.Duration) bool {
	t.mu.Lock()
	queue := &t.fresh
	if middle {
		queue = &t.middle
	}
	turn := make(chan struct{}, 1)
	place := queue.PushBack(turn)
	t.next()
	t.mu.Unlock()
	select {
	case <-turn: // without a timer, mostly
		return true
	default:
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-turn:
		return true
	case <-timer.C:
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

// leave gives the place to the next.
func (t *turnstile) leave() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.free++
	t.next()
}

// done says that somebody is not in the middle any more, or does not count as that.
func (t *turnstile) done() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.room++
	t.next()
}

// next lets those in who may work now; t.mu is held.
func (t *turnstile) next() {
	for t.free > 0 {
		switch {
		case t.middle.Len() > 0:
			t.middle.Remove(t.middle.Front()).(chan struct{}) <- struct{}{}
		case t.fresh.Len() > 0 && t.room > 0:
			t.room--
			t.fresh.Remove(t.fresh.Front()).(chan struct{}) <- struct{}{}
		default:
			return
		}
		t.free--
	}
}
