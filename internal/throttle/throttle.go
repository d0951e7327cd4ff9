// Package throttle holds a stream of bytes down to a rate. It knows nothing of
// where the bytes come from.
package throttle

import (
	"context"
	"sync"
	"time"

	"github.com/trusch/jamesd/internal/backoff"
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
// before they go. It fails when ctx is done before that. What was not used of the rate
// before is lost.
func (t *Throttle) Wait(ctx context.Context, n int) error { return backoff.Sleep(ctx, t.Pay(n)) }

// Pay returns how long it takes until n bytes are paid for, in the order of the calls, 0 or
// less where they are.
func (t *Throttle) Pay(n int) time.Duration {
	if t == nil {
		return 0
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	if earliest := now.Add(-slack); t.free.Before(earliest) {
		t.free = earliest
	}
	t.free = t.free.Add(time.Duration(float64(n) / t.rate * float64(time.Second)))
	return t.free.Sub(now)
}
