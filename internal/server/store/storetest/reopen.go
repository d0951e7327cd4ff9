package storetest

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trusch/jamesd/internal/server/store"
	"github.com/trusch/jamesd/pkg/james"
)

// RunReopen checks what a store must still know when it is opened again. fresh
// returns a function that opens one and the same store, empty the first time;
// the test closes it each time.
func RunReopen(t *testing.T, fresh func(t *testing.T) (open func() store.Store)) {
	for _, c := range []struct {
		name string
		test func(*testing.T, func() store.Store)
	}{
		{"everything is there again", reopenAll},
		{"sequence numbers go on growing", reopenNumbers},
		{"a secret is there again", reopenSecrets},
		{"what was acknowledged before Close is there", reopenAcknowledged},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.test(t, fresh(t))
		})
	}
}

func reopenAll(t *testing.T, open func() store.Store) {
	s := open()
	put(t, s, "gone", 1)
	remove(t, s, "gone")
	roundTrip(t, s.Packets(), "p v1", james.Packet{Name: "p", Tags: james.MustTags("v1"), Added: at})
	roundTrip(t, s.Desired(), "d", james.Desired{Device: "d", Revision: 3})
	seq := put(t, s, "d", 7)
	touch(t, s, map[string]time.Time{"d": at, "e": at})
	wantKind(t, "Forget", s.Forget(t.Context(), "e"), "")
	events := []james.Event{appendEvent(t, s, "one"), appendEvent(t, s, "two")}
	before, _ := changes(t, s, store.Cursor{})
	for range 2 { // opening for the second time drops what the first has kept
		wantKind(t, "Close", s.Close(), "")
		s = open()
		after, _ := changes(t, s, store.Cursor{})
		wantSame(t, "rows", after, before)
		wantChange(t, after, "d", seq, device("d", 7))
		wantSeen(t, s, map[string]time.Time{"d": at})
		wantSame(t, "events", listEvents(t, s, 0, 10), events)
	}
	wantKind(t, "Close", s.Close(), "")
}

func reopenNumbers(t *testing.T, open func() store.Store) {
	s := open()
	put(t, s, "d", 1)
	last, event := remove(t, s, "d"), appendEvent(t, s, "one").Seq
	for i := range uint64(3) {
		wantKind(t, "Close", s.Close(), "")
		s = open()
		_, cursor := changes(t, s, store.Cursor{})
		next := put(t, s, "d", i)
		if next <= last {
			t.Errorf("the row's sequence number is %d after %d", next, last)
		}
		some, _ := changes(t, s, cursor)
		wantChange(t, some, "d", next, device("d", i))
		last = remove(t, s, "d")
		e := appendEvent(t, s, "more").Seq
		if e <= event {
			t.Errorf("the event's sequence number is %d after %d", e, event)
		}
		event = e
	}
	wantKind(t, "Close", s.Close(), "")
}

func reopenAcknowledged(t *testing.T, open func() store.Store) {
	s := open()
	const writers = 16
	var counts [writers]atomic.Int64
	var wg, started sync.WaitGroup
	for i := range writers {
		started.Add(1)
		wg.Go(func() {
			for first := true; ; first = false {
				err := increment(t.Context(), s, fmt.Sprint("d", i), 1)
				if first {
					started.Done()
				}
				if err != nil {
					return
				}
				counts[i].Add(1)
			}
		})
	}
	started.Wait()
	wantKind(t, "Close", s.Close(), "")
	wg.Wait()
	s = open()
	for i := range writers {
		wantCount(t, s, fmt.Sprint("d", i), int(counts[i].Load()))
	}
	wantKind(t, "Close", s.Close(), "")
}
