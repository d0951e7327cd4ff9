package memstore_test

import (
	"testing"

	"github.com/trusch/jamesd/internal/server/store"
	"github.com/trusch/jamesd/internal/server/store/memstore"
	"github.com/trusch/jamesd/internal/server/store/storetest"
)

func TestContract(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) store.Store {
		s := memstore.New()
		t.Cleanup(func() { s.Close() })
		return s
	})
}

func BenchmarkStore(b *testing.B) {
	storetest.Bench(b, func(b *testing.B) store.Store { return memstore.New() })
}
