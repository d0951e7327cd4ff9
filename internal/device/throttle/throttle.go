// Package throttle holds a stream of bytes down to a rate. It knows nothing of
// where the bytes come from.
package throttle

import (
	"context"
	"sync"
	"time"
)

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

// Wait is called after n bytes came and returns when the next may. It fails when ctx
// is done before that. What was not used of the rate before is lost.
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
	if t.free.Before(now) {
		t.free = now
	}
	t.free = t.free.Add(time.Duration(float64(n) / t.rate * float64(time.Second)))
	return t.free.Sub(now)
}
