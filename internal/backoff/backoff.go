// Package backoff has the waiting times of a device that tries something again:
// they double, and they are spread, so that a fleet that lost its server at one
// moment does not come back at one moment.
package backoff

import (
	"context"
	"time"
)

// Backoff is a waiting time that doubles with every try, from First to Limit.
type Backoff struct {
	First, Limit time.Duration
	Rand         func() float64 // in [0, 1)
}

// LinkLimit is the longest time for which a device leaves a server alone that does
// not answer.
const LinkLimit = 5 * time.Minute

// Link returns how a device waits for a server that does not answer.
func Link(rand func() float64) Backoff {
	return Backoff{First: 2 * time.Second, Limit: LinkLimit, Rand: rand}
}

// After returns how long to wait after n failed tries, n from 1: between a tenth
// of the doubled time and the whole of it.
func (b Backoff) After(n int) time.Duration {
	d := b.Whole(n)
	return d/10 + time.Duration(b.Rand()*float64(d-d/10))
}

// Whole returns the waiting time after n failed tries before it is spread.
func (b Backoff) Whole(n int) time.Duration {
	d := b.First
	for i := 1; i < n && d < b.Limit; i++ {
		d *= 2
	}
	return min(d, b.Limit)
}

// Spread returns d changed by up to a tenth either way.
func Spread(d time.Duration, rand func() float64) time.Duration {
	return d - d/10 + time.Duration(rand()*float64(d/5))
}

// Sleep waits for d, or fails when ctx is done before.
func Sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
