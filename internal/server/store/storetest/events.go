package storetest

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/trusch/jamesd/internal/server/store"
	"github.com/trusch/jamesd/pkg/james"
)

func event(text string) james.Event {
	return james.Event{Seq: 12345, Time: at, Kind: james.EventReport, Actor: odd, Device: "d", Packet: "p v1", Text: text}
}

func appendEvent(t *testing.T, s store.Store, text string) james.Event {
	t.Helper()
	e, err := s.AppendEvent(t.Context(), event(text))
	wantKind(t, "AppendEvent", err, "")
	want := event(text)
	want.Seq = e.Seq
	wantSame(t, "the event that AppendEvent returns", e, want)
	return e
}

func listEvents(t *testing.T, s store.Store, after uint64, limit int) []james.Event {
	t.Helper()
	list, err := s.ListEvents(t.Context(), after, limit)
	wantKind(t, "ListEvents", err, "")
	return list
}

func eventsListed(t *testing.T, s store.Store) {
	if list := listEvents(t, s, 0, 10); len(list) != 0 {
		t.Errorf("an empty store has events: %v", list)
	}
	var all []james.Event
	for i := range 10 {
		e := appendEvent(t, s, fmt.Sprint("number ", i, odd))
		if e.Seq == 0 || i > 0 && e.Seq <= all[i-1].Seq {
			t.Errorf("event %d has the number %d", i, e.Seq)
		}
		all = append(all, e)
	}
	for _, c := range []struct {
		name  string
		after uint64
		limit int
		want  []james.Event
	}{
		{"all", 0, 100, all},
		{"exactly all", 0, 10, all},
		{"the oldest", 0, 3, all[:3]},
		{"those after one", all[3].Seq, 4, all[4:8]},
		{"the newest", all[8].Seq, 100, all[9:]},
		{"after the newest", all[9].Seq, 100, nil},
		{"far after the newest", 1 << 62, 100, nil},
		{"none", 0, 0, nil},
		{"less than none", 0, -1, nil},
	} {
		list := listEvents(t, s, c.after, c.limit)
		wantSame(t, c.name, append([]james.Event{}, list...), append([]james.Event{}, c.want...))
	}
}

// eventsConcurrent appends from many callers while one reads on and on.
func eventsConcurrent(t *testing.T, s store.Store) { followEvents(t, []store.Store{s}, s) }

func followEvents(t *testing.T, writers []store.Store, reader store.Store) {
	const perStore, each = 8, 30
	var returned atomic.Uint64 // the greatest Seq of an AppendEvent that has returned
	var wg sync.WaitGroup
	for i := range perStore * len(writers) {
		s := writers[i%len(writers)]
		wg.Go(func() {
			for n := range each {
				before := returned.Load()
				e := appendEvent(t, s, fmt.Sprint(i, " ", n))
				if e.Seq <= before {
					t.Errorf("an event got the number %d after %d was returned", e.Seq, before)
				}
				for now := returned.Load(); e.Seq > now && !returned.CompareAndSwap(now, e.Seq); now = returned.Load() {
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	defer func() { <-done }()
	texts := make(map[string]bool)
	last := uint64(0)
	for ended := false; ; {
		select {
		case <-done:
			ended = true
		default:
		}
		list := listEvents(t, reader, last, 7)
		for _, e := range list {
			if e.Seq <= last || texts[e.Text] {
				t.Fatalf("event %d %q came after %d", e.Seq, e.Text, last)
			}
			last, texts[e.Text] = e.Seq, true
		}
		if ended && len(list) == 0 {
			break
		}
	}
	if want := perStore * each * len(writers); len(texts) != want {
		t.Errorf("the reader got %d of %d events", len(texts), want)
	}
}

func eventsKept(t *testing.T, s store.Store) {
	const callers, each = 64, 180 // some more than must be kept
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for range each {
				if _, err := s.AppendEvent(t.Context(), james.Event{Text: "one of many"}); err != nil {
					t.Errorf("AppendEvent: %v", err)
					return
				}
			}
		})
	}
	wg.Wait()
	newest := appendEvent(t, s, "the newest")
	list := listEvents(t, s, 0, 10*store.MinEvents)
	if len(list) < store.MinEvents || list[len(list)-1].Seq != newest.Seq {
		t.Fatalf("%d events are left, want at least %d with the newest", len(list), store.MinEvents)
	}
	tail := listEvents(t, s, list[len(list)-4].Seq, 10)
	wantSame(t, "the last three", tail, list[len(list)-3:])
}
