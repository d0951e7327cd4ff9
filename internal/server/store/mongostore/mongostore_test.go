package mongostore_test

import (
	"testing"

	"github.com/trusch/jamesd/internal/e2e/mongodtest"
	"github.com/trusch/jamesd/internal/server/store"
	"github.com/trusch/jamesd/internal/server/store/mongostore"
	"github.com/trusch/jamesd/internal/server/store/storetest"
)

// open opens a store and closes it with the test, if it is not closed by then.
func open(t testing.TB, uri string) store.Store {
	t.Helper()
	s, err := mongostore.Open(t.Context(), uri)
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
	storetest.Run(t, func(t *testing.T) store.Store { return open(t, mongodtest.URI(t)) })
}

func TestReopen(t *testing.T) {
	t.Parallel()
	storetest.RunReopen(t, func(t *testing.T) func() store.Store {
		uri := mongodtest.URI(t)
		return func() store.Store { return open(t, uri) }
	})
}

func TestShared(t *testing.T) {
	t.Parallel()
	storetest.RunShared(t, func(t *testing.T) func() store.Store {
		uri := mongodtest.URI(t)
		return func() store.Store { return open(t, uri) }
	})
}

func BenchmarkStore(b *testing.B) {
	storetest.Bench(b, func(b *testing.B) store.Store { return open(b, mongodtest.URI(b)) })
}
