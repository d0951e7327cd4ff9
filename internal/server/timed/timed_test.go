package timed_test

import (
	"bytes"
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/trusch/jamesd/internal/server/blob"
	"github.com/trusch/jamesd/internal/server/blob/blobtest"
	"github.com/trusch/jamesd/internal/server/blob/memblob"
	"github.com/trusch/jamesd/internal/server/store"
	"github.com/trusch/jamesd/internal/server/store/memstore"
	"github.com/trusch/jamesd/internal/server/store/storetest"
	"github.com/trusch/jamesd/internal/server/timed"
	"github.com/trusch/jamesd/pkg/james"
)

func ignore(timed.Call) {}

func TestStoreContract(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) store.Store {
		s := timed.Store(memstore.New(), ignore)
		t.Cleanup(func() { s.Close() })
		return s
	})
}

func TestBlobsContract(t *testing.T) {
	t.Parallel()
	blobtest.Run(t, func(*testing.T) blob.Store { return timed.Blobs(memblob.New(), ignore) })
}

// calls is what an observer was told.
type calls struct {
	mu  sync.Mutex
	all []timed.Call
}

func (c *calls) observe(call timed.Call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = append(c.all, call)
}

// take returns the operations that it was told of since it was last called, with a !
// where they failed.
func (c *calls) take(t *testing.T) (operations []string) {
	t.Helper()
	for _, call := range c.all {
		if call.Took < 0 || call.Took > time.Minute {
			t.Errorf("%s took %s", call.Operation, call.Took)
		}
		if call.Err != nil {
			call.Operation += "!"
		}
		operations = append(operations, call.Operation)
	}
	c.all = nil
	return operations
}

func TestStoreCalls(t *testing.T) {
	t.Parallel()
	var told calls
	s := timed.Store(memstore.New(), told.observe)
	ctx := t.Context()
	s.Packets().Get(ctx, "x")
	s.Devices().Update(ctx, "d", func(*james.Device) (*james.Device, error) { return &james.Device{ID: "d"}, nil })
	s.Desired().Get(ctx, "d")
	s.Secrets().Get(ctx, "s")
	s.Changes(ctx, store.Cursor{})
	s.Touch(ctx, map[string]time.Time{"d": time.Unix(1, 0)})
	s.Seen(ctx)
	s.Forget(ctx, "d")
	s.AppendEvent(ctx, james.Event{})
	s.ListEvents(ctx, 0, 1)
	s.Verify(ctx, func(err error) { t.Error(err) })
	s.Ping(ctx)
	s.Close()
	s.Ping(ctx)
	want := []string{"get!", "update", "get!", "get!", "changes", "touch", "seen", "forget", "append-event", "list-events", "verify", "ping", "ping!"}
	if got := told.take(t); !slices.Equal(got, want) {
		t.Errorf("told of %v, want %v", got, want)
	}
}

func TestBlobCalls(t *testing.T) {
	t.Parallel()
	var told calls
	b := timed.Blobs(memblob.New(), told.observe)
	ctx := t.Context()
	w, err := b.Create(ctx, blob.Plain)
	if err != nil {
		t.Fatal(err)
	}
	w.Write([]byte("content"))
	info, _ := w.Commit(ctx, james.Digest{})
	b.Put(ctx, blob.Compressed, [][]byte{bytes.Repeat([]byte("x"), 10)})
	b.Missing(ctx, []james.Digest{info.Digest})
	b.Renew(ctx, []james.Digest{info.Digest})
	b.Open(ctx, james.DigestOf([]byte("nothing")))
	b.Stat(ctx, info.Digest)
	for range b.List(ctx) {
		break
	}
	b.Expire(ctx, info.Digest, time.Unix(1, 0))
	b.Delete(ctx, info.Digest)
	b.Sweep(ctx, time.Unix(1, 0))
	b.Ping(ctx)
	gone, cancel := context.WithCancel(ctx)
	cancel()
	for range b.List(gone) {
	}
	want := []string{"create", "commit", "put", "missing", "renew", "open!", "stat", "list", "expire", "delete", "sweep", "ping", "list!"}
	if got := told.take(t); !slices.Equal(got, want) {
		t.Errorf("told of %v, want %v", got, want)
	}
}
