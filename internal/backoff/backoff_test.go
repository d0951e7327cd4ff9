package backoff_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trusch/jamesd/internal/backoff"
)

func TestAfter(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name string
		n    int
		rand float64
		want time.Duration
	}{
		{"the first, least", 1, 0, 100 * time.Millisecond},
		{"the first, most", 1, 0.999999999999, time.Second - 1},
		{"doubled", 3, 0.999999999999, 4*time.Second - 1},
		{"the limit, most", 100, 0.999999999999, time.Minute - 1},
		{"the limit, least", 100, 0, 6 * time.Second},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			b := backoff.Backoff{First: time.Second, Limit: time.Minute, Rand: func() float64 { return row.rand }}
			if got := b.After(row.n); got != row.want {
				t.Errorf("got %s, want %s", got, row.want)
			}
		})
	}
}

func TestSpread(t *testing.T) {
	t.Parallel()
	for rand, want := range map[float64]time.Duration{0: 90 * time.Second, 0.5: 100 * time.Second} {
		if got := backoff.Spread(100*time.Second, func() float64 { return rand }); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestSleep(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		if err := backoff.Sleep(t.Context(), time.Minute); err != nil || time.Since(begun) != time.Minute {
			t.Errorf("%v after %s", err, time.Since(begun))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := backoff.Sleep(ctx, time.Minute); err == nil || time.Since(begun) != time.Minute+time.Second {
			t.Errorf("%v after %s", err, time.Since(begun))
		}
	})
}

// TestFleetComesBack has a whole fleet come at one moment to a server that takes them in
// turn, and turns away whom it could not serve for a while. With each try those that are
// left are spread over twice the time, no tenth of it with much more than a tenth of them,
// and yet the server is hardly ever without work before all are back.
func TestFleetComesBack(t *testing.T) {
	t.Parallel()
	const devices, each, patience = 10_000, 2 * time.Millisecond, 5 * time.Second // 20 s of work
	synctest.Test(t, func(t *testing.T) {
		random := rand.New(rand.NewPCG(1, 2))
		var mu sync.Mutex
		link := backoff.Link(func() float64 { mu.Lock(); defer mu.Unlock(); return random.Float64() })
		begun := time.Now()
		busy := begun // until when the server is
		served := func() bool {
			mu.Lock()
			now := time.Now()
			if busy.Before(now) {
				busy = now
			}
			soon := busy.Sub(now) <= patience
			if soon {
				busy = busy.Add(each)
			}
			mu.Unlock()
			if !soon {
				time.Sleep(patience)
			}
			return soon
		}
		var slots [20][10]int // of a try, which tenth of its time devices come back in
		var fleet sync.WaitGroup
		for range devices {
			fleet.Go(func() {
				for n := 1; !served(); n++ {
					wait := link.After(n)
					mu.Lock()
					slots[n][10*wait/link.Whole(n)]++
					mu.Unlock()
					backoff.Sleep(t.Context(), wait)
				}
			})
		}
		fleet.Wait()
		for n, slot := range slots {
			left, most := 0, 0
			for _, came := range slot {
				left, most = left+came, max(most, came)
			}
			if slot[0] > 0 || left > 500 && most > left/7 {
				t.Errorf("try %d: of %d that are left there come %v", n, left, slot)
			}
		}
		if took, work := busy.Sub(begun), devices*each; took > work*5/4 {
			t.Errorf("all are back after %s, which is %s of work", took, work)
		}
	})
}
