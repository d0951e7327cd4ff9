package fleet

import (
	"sync"

	"github.com/trusch/jamesd/internal/server/store"
)

// own holds the changes of this process that are in the store and not known yet. Those of
// thousands that report at once are written together; one of them makes them known for
// all, lest everybody waits for Fleet.mu in turn.
type own struct {
	mu   sync.Mutex
	next *ownChanges // nil where nobody is about to make any known
}

type ownChanges struct {
	list  []store.Change
	known chan struct{} // closed when they are
}

// add adds a change to those that are made known next, and reports whether it is the first
// of them.
func (o *own) add(ch store.Change) (_ *ownChanges, first bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if first = o.next == nil; first {
		o.next = &ownChanges{known: make(chan struct{})}
	}
	o.next.list = append(o.next.list, ch)
	return o.next, first
}

// close has further changes be made known later.
func (o *own) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.next = nil
}

// learn makes a change known that this process has made.
func (f *Fleet) learn(ch store.Change) {
	changes, first := f.own.add(ch)
	if !first {
		<-changes.known
		return
	}
	defer close(changes.known) // whatever happens, as others wait for it
	f.mu.Lock()
	defer f.mu.Unlock()
	f.own.close()
	f.take(changes.list)
	for _, ch := range changes.list {
		if d := f.cat.devices[ch.Key]; d != nil && ch.Table == store.TableDevices {
			d.heard = f.follower.begun.Load()
		}
	}
}
