package boltstore_test

import (
	"path/filepath"
	"testing"

	"github.com/trusch/jamesd/internal/server/store"
	"github.com/trusch/jamesd/internal/server/store/boltstore"
	"github.com/trusch/jamesd/internal/server/store/storetest"
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
