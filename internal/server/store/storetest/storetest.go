// Package storetest checks that a store.Store keeps its contract. Every
// implementation runs Run; one that outlives its process also runs RunReopen,
// and one that several processes can use at the same time also RunShared.
//
// The package knows the contract only: nothing in it depends on how a store
// works.
package storetest

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/trusch/jamesd/internal/server/store"
	"github.com/trusch/jamesd/pkg/james"
)

// Run checks all that can be seen of one store. open returns an empty store and
// takes care that it is closed with the test.
func Run(t *testing.T, open func(t *testing.T) store.Store) {
	for _, c := range []struct {
		name string
		test func(*testing.T, store.Store)
	}{
		{"a row that never was is not found", rowNotFound},
		{"a row goes from creation to deletion and back", rowLife},
		{"rows of different tables have nothing to do with each other", rowsOfTables},
		{"every field of every type of row comes back", rowContent},
		{"a change that fails has no effect", changeFails},
		{"a change that returns the old pointer or an equal row is none", changeNothing},
		{"what was returned or given belongs to the caller", rowOwnership},
		{"an empty key and a row that is too large are refused", rowLimits},
		{"concurrent increments of a row all count", increments},
		{"of many that create a row at the same time one does", createOnce},
		{"the zero cursor stands for the beginning", changesFromZero},
		{"changes are returned once, and deletions are", changesIncremental},
		{"the sequence number grows over a deletion", changesRecreated},
		{"a follower misses nothing of many writers", changesFollowed},
		{"the latest touch wins", touchLatest},
		{"a touch is forgotten and can come again", touchForget},
		{"a touch is no change", touchNoChange},
		{"many devices are touched at once", touchMany},
		{"a secret goes from its creation to its deletion", secretLife},
		{"a secret is no change", secretNoChange},
		{"events come back in order, after and up to where asked", eventsListed},
		{"the sequence of events grows and a reader misses none", eventsConcurrent},
		{"the newest events are kept", eventsKept},
		{"nothing is damaged of what was written, changed and deleted", verified},
		{"a context that is done ends every call without an effect", contextDone},
		{"a closed store answers that it is", closed},
		{"close waits for running calls", closeWaits},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.test(t, open(t))
		})
	}
}

// at is a time with all its digits.
var at = time.Date(2024, 2, 29, 23, 59, 58, 123456789, time.UTC)

// device returns a device whose Revision serves as content to tell apart.
func device(id string, revision uint64) *james.Device {
	return &james.Device{ID: id, SystemTags: james.MustTags("armv7l,glibc-2.23"), Revision: revision, FirstSeen: at}
}

// put makes the row of id a device of that revision.
func put(t *testing.T, s store.Store, id string, revision uint64) uint64 {
	t.Helper()
	_, seq, err := s.Devices().Update(t.Context(), id, func(*james.Device) (*james.Device, error) {
		return device(id, revision), nil
	})
	if err != nil {
		t.Fatalf("updating %s: %v", id, err)
	}
	return seq
}

// remove deletes the row of id.
func remove(t *testing.T, s store.Store, id string) uint64 {
	t.Helper()
	row, seq, err := s.Devices().Update(t.Context(), id, func(*james.Device) (*james.Device, error) { return nil, nil })
	if err != nil {
		t.Fatalf("deleting %s: %v", id, err)
	}
	if row != nil {
		t.Errorf("deleting %s returned the row %+v", id, row)
	}
	return seq
}

// changes returns what has changed since the cursor, by key, and the next cursor.
func changes(t *testing.T, s store.Store, since store.Cursor) (map[string]store.Change, store.Cursor) {
	t.Helper()
	byKey := make(map[string]store.Change)
	for {
		list, next, err := s.Changes(t.Context(), since)
		if err != nil {
			t.Fatalf("reading the changes: %v", err)
		}
		for _, c := range list {
			key := fmt.Sprint(c.Table, " ", c.Key)
			if _, twice := byKey[key]; twice {
				t.Errorf("%s is twice among the changes", key)
			}
			byKey[key] = c
		}
		if since = next; len(list) < store.ManyChanges {
			return byKey, next
		}
	}
}

// wantKind checks the kind of an error; "" wants none.
func wantKind(t *testing.T, what string, err error, kind james.Kind) {
	t.Helper()
	if got := james.KindOf(err); got != kind {
		t.Errorf("%s: error %v of kind %q, want kind %q", what, err, got, kind)
	}
}

// wantSame checks that two values are the same as JSON.
func wantSame(t *testing.T, what string, got, want any) {
	t.Helper()
	g, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	w, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	if string(g) != string(w) {
		t.Errorf("%s:\n got %s\nwant %s", what, g, w)
	}
}
