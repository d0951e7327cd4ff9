package boltstore_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/trusch/jamesd/internal/server/store"
	"github.com/trusch/jamesd/internal/server/store/boltstore"
	"github.com/trusch/jamesd/internal/server/store/storetest"
	"github.com/trusch/jamesd/pkg/james"
)

// open opens a store and closes it with the test, if it is not closed by then.
func open(t testing.TB, file string) store.Store {
	t.Helper()
	s, err := boltstore.Open(t.Context(), file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestContract(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) store.Store { return open(t, filepath.Join(t.TempDir(), "store.db")) })
}

func TestReopen(t *testing.T) {
	t.Parallel()
	storetest.RunReopen(t, func(t *testing.T) func() store.Store {
		file := filepath.Join(t.TempDir(), "store.db")
		return func() store.Store { return open(t, file) }
	})
}

func BenchmarkStore(b *testing.B) {
	storetest.Bench(b, func(b *testing.B) store.Store { return open(b, filepath.Join(b.TempDir(), "store.db")) })
}

// TestMoreRowsThanAreReturnedAtOnce reads them in parts, while rows change and go.
func TestMoreRowsThanAreReturnedAtOnce(t *testing.T) {
	t.Parallel()
	const n = store.ManyChanges + 500
	s := open(t, filepath.Join(t.TempDir(), "store.db"))
	put := func(i int, row *james.Device) error {
		_, _, err := s.Devices().Update(t.Context(), fmt.Sprint(i), func(*james.Device) (*james.Device, error) { return row, nil })
		return err
	}
	var work errgroup.Group
	work.SetLimit(1000) // those that wait together are written together
	for i := range n {
		work.Go(func() error { return put(i, &james.Device{ID: fmt.Sprint(i)}) })
	}
	if err := work.Wait(); err != nil {
		t.Fatal(err)
	}
	got := make(map[string]*james.Device)
	var cursor store.Cursor
	for parts := 1; ; parts++ {
		list, next, err := s.Changes(t.Context(), cursor)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range list {
			got[c.Key] = c.Device
		}
		if cursor = next; len(list) < store.ManyChanges {
			if parts == 1 {
				t.Error("all came at once")
			}
			break
		}
		if err := errors.Join(put(1, &james.Device{ID: "1", Revision: 2}), put(2, nil)); err != nil {
			t.Fatal(err)
		}
	}
	if len(got) != n || got["1"].Revision != 2 || got["2"] != nil || got["3"] == nil {
		t.Errorf("%d rows, the changed one is %v, the deleted one %v", len(got), got["1"], got["2"])
	}
}
