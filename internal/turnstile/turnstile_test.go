package gate

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestTurnstile: who is in the middle goes first, then who came first; who would have to
// wait for too long is turned away; no more begin than there is room for.
func TestTurnstile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &turnstile{free: 1, room: 2}
		if !s.enter(false, time.Second) {
			t.Fatal("the first is turned away")
		}
		var mu sync.Mutex
		var order []string
		wait := func(name string, middle bool, patience time.Duration) {
			go func() {
				if !s.enter(middle, patience) {
					name = "not " + name
				}
				mu.Lock()
				defer mu.Unlock()
				order = append(order, name)
			}()
			synctest.Wait()
		}
		wait("fresh 1", false, time.Minute)
		wait("impatient", false, time.Second)
		wait("fresh 2", false, time.Minute)
		wait("middle", true, time.Minute)
		time.Sleep(2 * time.Second)
		for range 3 {
			s.leave()
			synctest.Wait()
		}
		if want := []string{"not impatient", "middle", "fresh 1"}; !slices.Equal(order, want) {
			t.Errorf("without room for another: %v, want %v", order, want)
		}
		s.done()
		synctest.Wait()
		if want := []string{"not impatient", "middle", "fresh 1", "fresh 2"}; !slices.Equal(order, want) {
			t.Errorf("with room: %v, want %v", order, want)
		}
	})
}
