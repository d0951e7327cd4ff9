package server

import (
	"context"
	"time"
)

// Retry is how the store is waited for.
func Retry(ctx context.Context, try func() error, failed func(error, time.Duration)) error {
	return retry(ctx, try, failed)
}

// CentralAddr is what --cache-of takes.
func CentralAddr(text string) (string, error) { return centralAddr(text) }
