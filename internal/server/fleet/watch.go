package fleet

import (
	"context"
	"maps"
	"slices"
	"sync"
)

// watch is what wakes those who wait for events.
type watch struct {
	mu   sync.Mutex
	more chan struct{} // closed when there are more events; nil while nobody asked for it
	// after has the numbers after which somebody waits for events, and how many do.
	after map[uint64]int
}

// told returns a channel that is closed when there are more events than now.
func (w *watch) told() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.more == nil {
		w.more = make(chan struct{})
	}
	return w.more
}

// tell wakes those who wait.
func (w *watch) tell() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.more != nil {
		close(w.more)
		w.more = nil
	}
}

// enter counts somebody who waits for events after that number, until the returned
// function is called.
func (w *watch) enter(after uint64) (leave func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.after == nil {
		w.after = make(map[uint64]int)
	}
	w.after[after]++
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.after[after]--; w.after[after] == 0 {
			delete(w.after, after)
		}
	}
}

// since returns the least number after which somebody waits, and whether anybody does.
func (w *watch) since() (after uint64, waited bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.after) == 0 {
		return 0, false
	}
	return slices.Min(slices.Collect(maps.Keys(w.after))), true
}

// watchEvents wakes who waits for events when there is one that another process has
// appended. While nobody waits it does not ask the store.
func (f *Fleet) watchEvents(ctx context.Context) error {
	after, waited := f.watch.since()
	if !waited {
		return nil
	}
	events, err := f.o.Store.ListEvents(ctx, after, 1)
	if len(events) > 0 {
		f.watch.tell()
	}
	return err
}
