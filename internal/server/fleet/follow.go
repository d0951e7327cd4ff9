package fleet

import (
	"cmp"
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/trusch/jamesd/internal/server/store"
	"github.com/trusch/jamesd/pkg/james"
)

// follower is the place in the store's changes.
type follower struct {
	turn   chan struct{} // holds an element while somebody reads changes
	cursor store.Cursor  // guarded by turn
	begun  atomic.Uint64 // readings that were started
	done   atomic.Uint64 // the last of them that succeeded
	// The last of them that failed, and why, unless it was given up; guarded by turn.
	failed  uint64
	failure error
}

// refresh makes everything known that was in the store when it was called.
func (f *Fleet) refresh(ctx context.Context) error {
	w := &f.follower
	before := w.begun.Load()
	select {
	case w.turn <- struct{}{}:
		defer func() { <-w.turn }()
	case <-ctx.Done():
		return james.Errorf(james.KindInterrupted, "store", "waiting for its changes was stopped: %w", context.Cause(ctx))
	}
	switch { // somebody started after us and is done
	case w.done.Load() > before:
		return nil
	case w.failed > before:
		return w.failure // the store takes its time to say that
	}
	number := w.begun.Add(1)
	for more := true; more; {
		changes, cursor, err := f.o.Store.Changes(ctx, w.cursor)
		if err != nil && ctx.Err() == nil {
			w.failed, w.failure = number, err
		}
		if err != nil {
			return err
		}
		w.cursor = cursor
		f.apply(changes...)
		more = len(changes) >= store.ManyChanges
	}
	w.done.Store(number)
	return nil
}

// apply makes changes known, packets first: what comes after refers to them.
func (f *Fleet) apply(changes ...store.Change) {
	if len(changes) == 0 {
		return
	}
	rank := func(c store.Change) int {
		if c.Table == store.TablePackets {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(changes, func(a, b store.Change) int { return cmp.Compare(rank(a), rank(b)) })
	f.mu.Lock()
	defer f.mu.Unlock()
	f.take(changes)
}

// take takes changes over; Fleet.mu is held.
func (f *Fleet) take(changes []store.Change) {
	now := f.now()
	for _, ch := range changes {
		f.cat.apply(ch, now)
	}
	f.nudgePlanned()
}

// missTimeout bounds how long a request that has no context waits for the store
// to say whether it knows more than is known here.
const missTimeout = 5 * time.Second

// lookup returns what find finds, called with Fleet.mu held. Where that is
// nothing, another process may just have made it, so it looks once more after a
// refresh. It returns nil where there is none, and fails when the store does
// not answer.
func lookup[T any](ctx context.Context, f *Fleet, find func(*catalogue) *T) (*T, error) {
	look := func() *T {
		f.mu.Lock()
		defer f.mu.Unlock()
		return find(f.cat)
	}
	if found := look(); found != nil {
		return found, nil
	}
	ctx, cancel := context.WithTimeout(ctx, missTimeout)
	defer cancel()
	if err := f.refresh(ctx); err != nil {
		return nil, err
	}
	return look(), nil
}
