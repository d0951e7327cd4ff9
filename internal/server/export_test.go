package server

import (
	"context"
	"time"
)

// Size is what --max-archive takes.
type Size = size

// Retry is how the store is waited for.
func Retry(ctx context.Context, try func() error, failed func(error, time.Duration)) error {
	return retry(ctx, try, failed)
}
