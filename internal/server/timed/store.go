package timed

import (
	"context"
	"time"

	"github.com/trusch/jamesd/internal/server/store"
	"github.com/trusch/jamesd/pkg/james"
)

// Store returns s, of whose calls observe is told.
func Store(s store.Store, observe Observe) store.Store { return &timedStore{s, observe} }

type timedStore struct {
	store.Store
	observe Observe
}

// Packets implements store.Store.
func (s *timedStore) Packets() store.Table[james.Packet] {
	return table[james.Packet]{s.Store.Packets(), s.observe}
}

// Devices implements store.Store.
func (s *timedStore) Devices() store.Table[james.Device] {
	return table[james.Device]{s.Store.Devices(), s.observe}
}

// Desired implements store.Store.
func (s *timedStore) Desired() store.Table[james.Desired] {
	return table[james.Desired]{s.Store.Desired(), s.observe}
}

// Secrets implements store.Store.
func (s *timedStore) Secrets() store.Table[store.Secret] {
	return table[store.Secret]{s.Store.Secrets(), s.observe}
}

// Changes implements store.Store.
func (s *timedStore) Changes(ctx context.Context, since store.Cursor) (_ []store.Change, _ store.Cursor, err error) {
	defer s.observe.since("changes", time.Now(), &err)
	return s.Store.Changes(ctx, since)
}

// Touch implements store.Store.
func (s *timedStore) Touch(ctx context.Context, seen map[string]time.Time) (err error) {
	defer s.observe.since("touch", time.Now(), &err)
	return s.Store.Touch(ctx, seen)
}

// Seen implements store.Store.
func (s *timedStore) Seen(ctx context.Context) (_ map[string]time.Time, err error) {
	defer s.observe.since("seen", time.Now(), &err)
	return s.Store.Seen(ctx)
}

// Forget implements store.Store.
func (s *timedStore) Forget(ctx context.Context, device string) (err error) {
	defer s.observe.since("forget", time.Now(), &err)
	return s.Store.Forget(ctx, device)
}

// AppendEvent implements store.Store.
func (s *timedStore) AppendEvent(ctx context.Context, e james.Event) (_ james.Event, err error) {
	defer s.observe.since("append-event", time.Now(), &err)
	return s.Store.AppendEvent(ctx, e)
}

// ListEvents implements store.Store.
func (s *timedStore) ListEvents(ctx context.Context, after uint64, limit int) (_ []james.Event, err error) {
	defer s.observe.since("list-events", time.Now(), &err)
	return s.Store.ListEvents(ctx, after, limit)
}

// Verify implements store.Store.
func (s *timedStore) Verify(ctx context.Context, damaged func(error)) (err error) {
	defer s.observe.since("verify", time.Now(), &err)
	return s.Store.Verify(ctx, damaged)
}

// Ping implements store.Store.
func (s *timedStore) Ping(ctx context.Context) (err error) {
	defer s.observe.since("ping", time.Now(), &err)
	return s.Store.Ping(ctx)
}

type table[T any] struct {
	store.Table[T]
	observe Observe
}

// Get implements store.Table.
func (t table[T]) Get(ctx context.Context, key string) (_ T, err error) {
	defer t.observe.since("get", time.Now(), &err)
	return t.Table.Get(ctx, key)
}

// Update implements store.Table.
func (t table[T]) Update(ctx context.Context, key string, change func(*T) (*T, error)) (_ *T, _ uint64, err error) {
	defer t.observe.since("update", time.Now(), &err)
	return t.Table.Update(ctx, key, change)
}
