package client

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/trusch/jamesd/pkg/james"
)

// Pauses before retries: each is twice the one before, and spread by half of
// itself to both sides. A server that says how long to wait is believed that up to
// maxAfter.
const (
	firstPause = 250 * time.Millisecond
	maxPause   = 5 * time.Second
	maxAfter   = 5 * time.Minute
)

// retry calls try until it succeeds, fails for good, or was called often enough.
// The error says which operation failed, also where no server said so.
func (c *Client) retry(ctx context.Context, r *request, try func() error) error {
	pause := firstPause
	for left := c.o.Retries; ; left-- {
		err := try()
		if err == nil {
			return nil
		}
		if r.once || left <= 0 || ctx.Err() != nil || !james.KindOf(err).Retryable() {
			return named(r, err)
		}
		spread := time.Duration((0.5 + c.o.Rand()) * float64(pause))
		if c.o.Sleep(ctx, james.Patience(err, spread, c.o.Rand())) != nil {
			return named(r, err)
		}
		pause = min(2*pause, maxPause)
	}
}

func named(r *request, err error) error {
	var e *james.Error
	if errors.As(err, &e) && e.Op != "" {
		return e
	}
	return james.Cannot(r.op, r.subject, err)
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// afterOf returns how long the answer says to wait before the next try; 0 where it does
// not.
func afterOf(h http.Header) time.Duration {
	seconds, err := strconv.ParseUint(h.Get("Retry-After"), 10, 31)
	if err != nil {
		return 0 // a date is what no jamesd says
	}
	return min(time.Duration(seconds)*time.Second, maxAfter)
}
