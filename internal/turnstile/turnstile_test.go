package turnstile_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trusch/jamesd/internal/turnstile"
)

// TestOrder: who is in the middle goes first, then who came first, and who does not want
// to wait any longer leaves no hole.
func TestOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := turnstile.New(2)
		for range 2 {
			if !s.Enter(t.Context(), false) {
				t.Fatal("there is no place")
			}
		}
		var mu sync.Mutex
		var order []string
		wait := func(name string, begun bool, patience time.Duration) {
			go func() {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				if !s.Enter(ctx, begun) {
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
		wait("impatient in the middle", true, time.Second)
		wait("middle 1", true, time.Minute)
		wait("middle 2", true, time.Minute)
		time.Sleep(time.Second)
		synctest.Wait()
		slices.Sort(order) // of one moment
		for range 5 {
			s.Leave()
			synctest.Wait()
		}
		want := []string{"not impatient", "not impatient in the middle", "middle 1", "middle 2", "fresh 1", "fresh 2"}
		if !slices.Equal(order, want) {
			t.Errorf("%v, want %v", order, want)
		}
		if !s.Enter(t.Context(), false) { // the fifth place that was given back
			t.Error("a place was lost")
		}
	})
}
