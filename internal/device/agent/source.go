package agent

import (
	"context"
	"time"

	"github.com/trusch/jamesd/internal/device/transfer"
	"github.com/trusch/jamesd/internal/device/txn"
	"github.com/trusch/jamesd/pkg/james"
)

// source is where the installer has contents from. What is fetched has limits of its
// own for its signs of life; after it the installer's holds.
type source struct {
	*transfer.Fetcher
	expect func(time.Duration)
}

// Manifest is as in txn.Source.
func (s *source) Manifest(ctx context.Context, p *james.Packet) (*james.Manifest, error) {
	defer s.expect(0)
	return s.Fetcher.Manifest(ctx, p)
}

// Fetch is as in txn.Source.
func (s *source) Fetch(ctx context.Context, o *txn.Order) error {
	defer s.expect(0)
	return s.Fetcher.Fetch(ctx, o)
}
