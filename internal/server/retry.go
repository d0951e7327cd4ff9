package server

import (
	"context"
	"time"

	"github.com/trusch/jamesd/pkg/james"
)

// Pauses between attempts to reach the store.
const (
	firstPause = time.Second
	maxPause   = 30 * time.Second
)

// retry calls try until it succeeds, fails for good, or ctx ends. failed is told
// of each failure that is tried again, and when.
func retry(ctx context.Context, try func() error, failed func(err error, pause time.Duration)) error {
	for pause := firstPause; ; pause = min(2*pause, maxPause) {
		err := try()
		if err == nil || !james.KindOf(err).Retryable() {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		failed(err, pause)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}
