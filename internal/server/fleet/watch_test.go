package fleet_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trusch/jamesd/pkg/james"
)

// awaited is what somebody who waited for events got, and when.
type awaited struct {
	events []james.Event
	err    error
	took   time.Duration
}

func (w *world) await(ctx context.Context, after uint64, wait time.Duration) <-chan awaited {
	out, start := make(chan awaited, 1), time.Now()
	go func() {
		events, err := w.Events(ctx, after, 0, wait)
		out <- awaited{events, err, time.Since(start)}
	}()
	return out
}

// TestAwaitEvents: who waits for events has them when they happen, at whatever jamesd of
// the store, and nobody else's waiting matters.
func TestAwaitEvents(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one := newWorld(t)
		two := join(t, one.store, one.blobs)
		defer one.run()()
		defer two.run()()
		one.add("a v1")
		if got := <-one.await(t.Context(), 0, time.Minute); len(got.events) != 1 || got.took != 0 {
			t.Errorf("of what was there it got %+v", got)
		}
		stray := two.await(t.Context(), 1<<60, james.MaxWait)
		here, there := one.await(t.Context(), 1, time.Minute), two.await(t.Context(), 1, time.Minute)
		time.Sleep(10 * time.Second)
		one.poll("d1", report(""))
		if got := <-here; len(got.events) != 1 || got.events[0].Device != "d1" || got.took != 10*time.Second {
			t.Errorf("at the jamesd where it happened it got %+v", got)
		}
		if got := <-there; len(got.events) != 1 || got.events[0].Device != "d1" || got.took > 11*time.Second {
			t.Errorf("at another jamesd it got %+v", got)
		}
		if got := <-one.await(t.Context(), 2, 30*time.Second); len(got.events) != 0 || got.err != nil || got.took != 30*time.Second {
			t.Errorf("of nothing it got %+v", got)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if got := <-one.await(ctx, 2, time.Minute); james.KindOf(got.err) != james.KindInterrupted || got.took != time.Second {
			t.Errorf("when it hung up it got %+v", got)
		}
		last := one.await(t.Context(), 2, time.Minute)
		synctest.Wait()
		one.Drain()
		if got := <-last; got.err != nil || got.took != 0 {
			t.Errorf("when jamesd stopped it got %+v", got)
		}
		if got := <-one.await(t.Context(), 2, time.Minute); got.err != nil || got.took != 0 {
			t.Errorf("of a jamesd that stops it got %+v", got)
		}
		if got := <-stray; len(got.events) != 0 || got.took != james.MaxWait {
			t.Errorf("who waits for the far future got %+v", got)
		}
	})
}

// TestAwaitEventsAway: a store that is away does not end the wait of who waits already.
func TestAwaitEventsAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one := newWorld(t)
		two := join(t, one.store, one.blobs)
		defer two.run()()
		there := two.await(t.Context(), 0, time.Minute)
		synctest.Wait()
		one.store.away.Store(true)
		time.Sleep(5 * time.Second)
		one.store.away.Store(false)
		one.add("a v1")
		if got := <-there; len(got.events) != 1 || got.took > 6*time.Second {
			t.Errorf("it got %+v", got)
		}
	})
}
