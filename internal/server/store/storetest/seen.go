package storetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/trusch/jamesd/internal/server/store"
)

func touch(t *testing.T, s store.Store, seen map[string]time.Time) {
	t.Helper()
	wantKind(t, "Touch", s.Touch(t.Context(), seen), "")
}

// wantSeen checks all that was touched.
func wantSeen(t *testing.T, s store.Store, want map[string]time.Time) {
	t.Helper()
	got, err := s.Seen(t.Context())
	wantKind(t, "Seen", err, "")
	if len(got) != len(want) {
		t.Errorf("%d devices were seen, want %d: %v", len(got), len(want), got)
	}
	for id, w := range want {
		if !got[id].Equal(w) {
			t.Errorf("%s was seen at %v, want %v", id, got[id], w)
		}
	}
}

func touchLatest(t *testing.T, s store.Store) {
	wantSeen(t, s, nil)
	touch(t, s, nil)
	touch(t, s, map[string]time.Time{"a": at, "b": at})
	touch(t, s, map[string]time.Time{"a": at.Add(time.Nanosecond), "b": at.Add(-time.Hour)})
	touch(t, s, map[string]time.Time{"a": at.Add(-time.Minute), "c": at.In(time.FixedZone("east", 3600))})
	wantSeen(t, s, map[string]time.Time{"a": at.Add(time.Nanosecond), "b": at, "c": at})
}

func touchForget(t *testing.T, s store.Store) {
	touch(t, s, map[string]time.Time{"a": at, "b": at})
	for range 2 {
		wantKind(t, "Forget", s.Forget(t.Context(), "a"), "")
		wantSeen(t, s, map[string]time.Time{"b": at})
	}
	touch(t, s, map[string]time.Time{"a": at.Add(-time.Hour)})
	wantSeen(t, s, map[string]time.Time{"a": at.Add(-time.Hour), "b": at})
}

func touchNoChange(t *testing.T, s store.Store) {
	put(t, s, "a", 1)
	_, cursor := changes(t, s, store.Cursor{})
	touch(t, s, map[string]time.Time{"a": at, "nobody": at})
	wantKind(t, "Forget", s.Forget(t.Context(), "a"), "")
	if some, _ := changes(t, s, cursor); len(some) != 0 {
		t.Errorf("touching makes changes: %v", some)
	}
	if all, _ := changes(t, s, store.Cursor{}); len(all) != 1 {
		t.Errorf("touching makes rows: %v", all)
	}
}

func touchMany(t *testing.T, s store.Store) {
	const devices = 6_000
	want := make(map[string]time.Time, devices)
	for round := range 3 {
		for i := range devices {
			want[fmt.Sprint("device-", i)] = at.Add(time.Duration(round*devices+i) * time.Second)
		}
		touch(t, s, want)
	}
	wantSeen(t, s, want)
}
