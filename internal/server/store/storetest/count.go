package storetest

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/trusch/jamesd/internal/server/store"
	"github.com/trusch/jamesd/pkg/james"
)

// Counter is a store that counts the calls of its methods, those of its tables
// included, and passes them on.
type Counter struct {
	store.Store
	calls atomic.Int64
}

var _ store.Store = (*Counter)(nil)

// Count returns s with a counter.
func Count(s store.Store) *Counter { return &Counter{Store: s} }

// Calls returns the number of calls so far. Asking for a table is none.
func (c *Counter) Calls() int64 { return c.calls.Load() }

// Packets implements store.Store.
func (c *Counter) Packets() store.Table[james.Packet] { return countTable(c, c.Store.Packets()) }

// Devices implements store.Store.
func (c *Counter) Devices() store.Table[james.Device] { return countTable(c, c.Store.Devices()) }

// Desired implements store.Store.
func (c *Counter) Desired() store.Table[james.Desired] { return countTable(c, c.Store.Desired()) }

// Secrets implements store.Store.
func (c *Counter) Secrets() store.Table[store.Secret] { return countTable(c, c.Store.Secrets()) }

// Changes implements store.Store.
func (c *Counter) Changes(ctx context.Context, since store.Cursor) ([]store.Change, store.Cursor, error) {
	c.calls.Add(1)
	return c.Store.Changes(ctx, since)
}

// Touch implements store.Store.
func (c *Counter) Touch(ctx context.Context, seen map[string]time.Time) error {
	c.calls.Add(1)
	return c.Store.Touch(ctx, seen)
}

// Seen implements store.Store.
func (c *Counter) Seen(ctx context.Context) (map[string]time.Time, error) {
	c.calls.Add(1)
	return c.Store.Seen(ctx)
}

// Forget implements store.Store.
func (c *Counter) Forget(ctx context.Context, device string) error {
	c.calls.Add(1)
	return c.Store.Forget(ctx, device)
}

// AppendEvent implements store.Store.
func (c *Counter) AppendEvent(ctx context.Context, e james.Event) (james.Event, error) {
	c.calls.Add(1)
	return c.Store.AppendEvent(ctx, e)
}

// ListEvents implements store.Store.
func (c *Counter) ListEvents(ctx context.Context, after uint64, limit int) ([]james.Event, error) {
	c.calls.Add(1)
	return c.Store.ListEvents(ctx, after, limit)
}

// Ping implements store.Store.
func (c *Counter) Ping(ctx context.Context) error {
	c.calls.Add(1)
	return c.Store.Ping(ctx)
}

// Close implements store.Store.
func (c *Counter) Close() error {
	c.calls.Add(1)
	return c.Store.Close()
}

type countingTable[T any] struct {
	c     *Counter
	table store.Table[T]
}

func countTable[T any](c *Counter, table store.Table[T]) store.Table[T] {
	return countingTable[T]{c, table}
}

func (t countingTable[T]) Get(ctx context.Context, key string) (T, error) {
	t.c.calls.Add(1)
	return t.table.Get(ctx, key)
}

func (t countingTable[T]) Update(ctx context.Context, key string, change func(*T) (*T, error)) (*T, uint64, error) {
	t.c.calls.Add(1)
	return t.table.Update(ctx, key, change)
}
