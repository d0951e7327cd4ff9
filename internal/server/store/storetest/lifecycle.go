package storetest

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/trusch/jamesd/internal/server/store"
	"github.com/trusch/jamesd/pkg/james"
)

// calls are all methods that can fail, as they are called on a store with the
// device "d" in it, and each with an effect where it can have one.
func calls(s store.Store) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"Get": func(ctx context.Context) error {
			_, err := s.Devices().Get(ctx, "d")
			return err
		},
		"Update": func(ctx context.Context) error {
			_, _, err := s.Devices().Update(ctx, "d", func(*james.Device) (*james.Device, error) { return device("d", 99), nil })
			return err
		},
		"Update of a secret": func(ctx context.Context) error {
			_, _, err := s.Secrets().Update(ctx, "s", func(*store.Secret) (*store.Secret, error) { return &store.Secret{}, nil })
			return err
		},
		"Changes": func(ctx context.Context) error {
			_, _, err := s.Changes(ctx, store.Cursor{})
			return err
		},
		"Touch": func(ctx context.Context) error { return s.Touch(ctx, map[string]time.Time{"x": at}) },
		"Seen": func(ctx context.Context) error {
			_, err := s.Seen(ctx)
			return err
		},
		"Forget": func(ctx context.Context) error { return s.Forget(ctx, "d") },
		"AppendEvent": func(ctx context.Context) error {
			_, err := s.AppendEvent(ctx, event("no"))
			return err
		},
		"ListEvents": func(ctx context.Context) error {
			_, err := s.ListEvents(ctx, 0, 1)
			return err
		},
		"Verify": func(ctx context.Context) error { return s.Verify(ctx, func(error) {}) },
		"Ping":   func(ctx context.Context) error { return s.Ping(ctx) },
	}
}

func contextDone(t *testing.T, s store.Store) {
	put(t, s, "d", 1)
	touch(t, s, map[string]time.Time{"d": at})
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	expired, cancel := context.WithTimeout(t.Context(), -time.Second)
	defer cancel()
	for name, call := range calls(s) {
		wantKind(t, name+" with a live context", call(t.Context()), "")
		wantKind(t, name+" with a cancelled context", call(cancelled), james.KindInterrupted)
		wantKind(t, name+" with an expired context", call(expired), james.KindInterrupted)
	}
	put(t, s, "d", 1)
	_, _, err := s.Devices().Update(cancelled, "d", func(*james.Device) (*james.Device, error) {
		t.Error("change was called although the context is done")
		return nil, nil
	})
	wantKind(t, "Update", err, james.KindInterrupted)
	wantCount(t, s, "d", 1)
}

func closed(t *testing.T, s store.Store) {
	put(t, s, "d", 1)
	wantKind(t, "Close", s.Close(), "")
	for name, call := range calls(s) {
		wantKind(t, name+" after Close", call(t.Context()), james.KindUnavailable)
	}
	wantKind(t, "Close again", s.Close(), "")
}

// closeWaits closes a store under load: every call must have an answer, which is
// either that it was done or that the store is closed.
func closeWaits(t *testing.T, s store.Store) {
	var wg, started sync.WaitGroup
	for i := range 16 {
		started.Add(1)
		wg.Go(func() {
			err := increment(t.Context(), s, fmt.Sprint("d", i), 1)
			started.Done()
			for err == nil {
				err = increment(t.Context(), s, fmt.Sprint("d", i), 1)
			}
			wantKind(t, "Update while closing", err, james.KindUnavailable)
		})
	}
	started.Wait()
	wantKind(t, "Close", s.Close(), "")
	wg.Wait()
}
