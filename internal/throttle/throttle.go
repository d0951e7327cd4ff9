// Package throttle holds a stream of bytes down to a rate. It knows nothing of
// where the bytes come from.
package throttle

import (
	"context"
	"sync"
	"time"
)

// Least is the least rate that is of use, in bytes a second: with less, the other side
// would take a connection for one that has gone.
const Least = 2000

// slack is how much of the rate, as a time, is not lost to those who use all of it: timers
// are late, and who waited does something with the bytes.
const slack = 10 * time.Millisecond

// Throttle lets so many bytes through in a second, over all who use it. It is safe
// for concurrent use.
type Throttle struct {
	rate float64

	mu   sync.Mutex
	free time.Time // when all bytes that came are paid for
}

// New returns a throttle of rate bytes a second, nil for a rate of 0: a nil
// Throttle holds nothing up.
func New(rate int64) *Throttle {
	if rate <= 0 {
		return nil
	}
	return &Throttle{rate: float64(rate)}
}

// Wait returns when n bytes are paid for: who receives calls it after they came, who sends
// before they go. It fails when ctx is done before that. Who waits is served in the order
// of the calls. What was not used of the rate before is lost.
func (t *Throttle) Wait(ctx context.Context, n int) error {
	if t == nil {
		return nil
	}
	wait := t.pay(n)
	if wait <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// pay returns how long it takes until n more bytes are paid for.
func (t *Throttle) pay(n int) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	if earliest := now.Add(-slack); t.free.Before(earliest) {
		t.free = earliest
	}
	t.free = t.free.Add(time.Duration(float64(n) / t.rate * float64(time.Second)))
	return t.free.Sub(now)
}
