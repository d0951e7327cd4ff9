package storetest

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/trusch/jamesd/internal/server/store"
	"github.com/trusch/jamesd/pkg/james"
)

// Bench measures what a jamesd does most: many callers that each update a row of
// their own, and asking for changes when there are none among 10,000 rows.
func Bench(b *testing.B, open func(b *testing.B) store.Store) {
	b.Run("Update64", func(b *testing.B) {
		s := open(b)
		var caller atomic.Int64
		b.SetParallelism(max(1, 64/runtime.GOMAXPROCS(0)))
		b.ResetTimer()
		b.RunParallel(func(pb *testing.PB) {
			id := fmt.Sprint("device-", caller.Add(1))
			for i := uint64(1); pb.Next(); i++ {
				_, _, err := s.Devices().Update(b.Context(), id, func(*james.Device) (*james.Device, error) { return device(id, i), nil })
				if err != nil {
					b.Error(err)
					return
				}
			}
		})
	})
	b.Run("ChangesIdle", func(b *testing.B) {
		s := open(b)
		fill(b, s, 10_000)
		_, cursor, err := s.Changes(b.Context(), store.Cursor{})
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			if some, _, err := s.Changes(b.Context(), cursor); err != nil || len(some) > 0 {
				b.Fatal(len(some), err)
			}
		}
	})
}

// fill makes n devices.
func fill(b *testing.B, s store.Store, n int) {
	b.Helper()
	var next atomic.Int64
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			for i := next.Add(1); i <= int64(n); i = next.Add(1) {
				id := fmt.Sprint("device-", i)
				_, _, err := s.Devices().Update(b.Context(), id, func(*james.Device) (*james.Device, error) { return device(id, 1), nil })
				if err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}
