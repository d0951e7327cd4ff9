package storetest_test

import (
	"testing"
	"time"

	"github.com/trusch/jamesd/internal/server/store"
	"github.com/trusch/jamesd/internal/server/store/memstore"
	"github.com/trusch/jamesd/internal/server/store/storetest"
	"github.com/trusch/jamesd/pkg/james"
)

func TestCounterKeepsTheContract(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(*testing.T) store.Store { return storetest.Count(memstore.New()) })
}

func TestEveryCallCounts(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	c := storetest.Count(memstore.New())
	for name, call := range map[string]func(){
		"Get of a packet":        func() { c.Packets().Get(ctx, "p") },
		"Get of a device":        func() { c.Devices().Get(ctx, "d") },
		"Get of a desired state": func() { c.Desired().Get(ctx, "d") },
		"Get of a secret":        func() { c.Secrets().Get(ctx, "s") },
		"Update": func() {
			c.Packets().Update(ctx, "p", func(*james.Packet) (*james.Packet, error) { return &james.Packet{}, nil })
		},
		"Changes":     func() { c.Changes(ctx, store.Cursor{}) },
		"Touch":       func() { c.Touch(ctx, map[string]time.Time{"d": {}}) },
		"Seen":        func() { c.Seen(ctx) },
		"Forget":      func() { c.Forget(ctx, "d") },
		"AppendEvent": func() { c.AppendEvent(ctx, james.Event{}) },
		"ListEvents":  func() { c.ListEvents(ctx, 0, 1) },
		"Ping":        func() { c.Ping(ctx) },
	} {
		before := c.Calls()
		call()
		if n := c.Calls() - before; n != 1 {
			t.Errorf("%s counts as %d calls", name, n)
		}
	}
}
