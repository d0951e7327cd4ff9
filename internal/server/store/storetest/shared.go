package storetest

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/trusch/jamesd/internal/server/store"
	"github.com/trusch/jamesd/pkg/james"
)

// RunShared checks stores that share their data, as those of several processes
// do. fresh returns a function that opens one more on the same data, which is
// empty the first time, and takes care that it is closed with the test.
func RunShared(t *testing.T, fresh func(t *testing.T) (open func() store.Store)) {
	for _, c := range []struct {
		name string
		test func(*testing.T, func() store.Store)
	}{
		{"each sees what the other has done", sharedSeen},
		{"concurrent increments of a row all count", sharedIncrements},
		{"a follower misses nothing of any writer", sharedFollowed},
		{"a reader of events misses none", sharedEvents},
		{"the latest touch of any wins", sharedTouch},
		{"a secret is all servers'", sharedSecrets},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.test(t, fresh(t))
		})
	}
}

func sharedSeen(t *testing.T, open func() store.Store) {
	a, b := open(), open()
	_, cursor := changes(t, b, store.Cursor{})
	for i := range uint64(3) {
		seq := put(t, a, "d", i)
		var some map[string]store.Change
		some, cursor = changes(t, b, cursor)
		wantChange(t, some, "d", seq, device("d", i))
		got, err := b.Devices().Get(t.Context(), "d")
		wantKind(t, "Get by the other", err, "")
		wantSame(t, "row", got, device("d", i))
		deleted := remove(t, b, "d")
		if deleted <= seq {
			t.Errorf("the other deleted at %d what was changed at %d", deleted, seq)
		}
		_, err = a.Devices().Get(t.Context(), "d")
		wantKind(t, "Get of what the other deleted", err, james.KindNotFound)
	}
	appendEvent(t, a, "one")
	appendEvent(t, b, "two")
	wantSame(t, "events", listEvents(t, a, 0, 10), listEvents(t, b, 0, 10))
}

func sharedIncrements(t *testing.T, open func() store.Store) {
	const stores, writers, each = 3, 6, 15
	all := make([]store.Store, stores)
	var wg sync.WaitGroup
	for i := range all {
		all[i] = open()
	}
	for _, s := range all {
		for i := range writers {
			wg.Go(func() {
				wantKind(t, "increment", increment(t.Context(), s, "all", each), "")
				wantKind(t, "increment", increment(t.Context(), s, fmt.Sprint("d", i), each), "")
			})
		}
	}
	wg.Wait()
	for _, s := range all {
		wantCount(t, s, "all", stores*writers*each)
		for i := range writers {
			wantCount(t, s, fmt.Sprint("d", i), stores*each)
		}
	}
}

func sharedFollowed(t *testing.T, open func() store.Store) {
	a, b := open(), open()
	followWriters(t, []store.Store{a, b}, open())
}

func sharedEvents(t *testing.T, open func() store.Store) {
	a, b := open(), open()
	followEvents(t, []store.Store{a, b}, open())
}

func sharedTouch(t *testing.T, open func() store.Store) {
	a, b := open(), open()
	touch(t, a, map[string]time.Time{"x": at, "y": at.Add(time.Hour)})
	touch(t, b, map[string]time.Time{"x": at.Add(time.Hour), "y": at, "z": at})
	touch(t, a, map[string]time.Time{"x": at.Add(time.Minute), "z": at})
	for _, s := range []store.Store{a, b} {
		wantSeen(t, s, map[string]time.Time{"x": at.Add(time.Hour), "y": at.Add(time.Hour), "z": at})
	}
	wantKind(t, "Forget", b.Forget(t.Context(), "y"), "")
	wantSeen(t, a, map[string]time.Time{"x": at.Add(time.Hour), "z": at})
	touch(t, a, map[string]time.Time{"y": at})
	wantSeen(t, b, map[string]time.Time{"x": at.Add(time.Hour), "y": at, "z": at})
}
