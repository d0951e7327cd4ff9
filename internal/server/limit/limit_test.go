package limit_test

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trusch/jamesd/internal/server/limit"
)

// TestRequests: a device that floods gets its rate and no more, and another one is not
// held up.
func TestRequests(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		table := limit.New(limit.Options{DeviceRequests: 10})
		allowed := func(id string, n int) (got int) {
			for range n {
				if r, after := table.Request(id); r == limit.Allowed {
					got++
				} else if r != limit.DeviceRequests || after <= 0 || after > time.Second {
					t.Fatalf("it is told %v and %s", r, after)
				}
			}
			return got
		}
		if got := allowed("flood", 1000); got != 10*limit.Burst+1 {
			t.Errorf("%d requests at once", got)
		}
		if got := allowed("other", 5); got != 5 {
			t.Errorf("%d requests of another device", got)
		}
		time.Sleep(3 * time.Second)
		if got := allowed("flood", 1000); got != 30 {
			t.Errorf("%d requests after 3 seconds", got)
		}
		if n := table.Met(limit.DeviceRequests); n != 2000-10*limit.Burst-1-30 {
			t.Errorf("the limit was met %d times", n)
		}
	})
}

func TestTransfers(t *testing.T) {
	t.Parallel()
	table := limit.New(limit.Options{DeviceTransfers: 2, Transfers: 3})
	for i, step := range []struct {
		id   string
		end  bool
		want limit.Reason
	}{
		{"a", false, limit.Allowed}, {"a", false, limit.Allowed}, {"a", false, limit.DeviceTransfers},
		{"b", false, limit.Allowed}, {"b", false, limit.Transfers}, {"a", true, 0},
		{"b", false, limit.Allowed}, {"a", false, limit.Transfers}, {"b", true, 0}, {"a", false, limit.Allowed},
	} {
		if step.end {
			table.End(step.id)
		} else if got := table.Begin(step.id); got != step.want {
			t.Errorf("step %d: %v, want %v", i, got, step.want)
		}
	}
	if table.Running() != 3 || table.Met(limit.Transfers) != 2 || table.Met(limit.DeviceTransfers) != 1 {
		t.Errorf("%d run, the limits were met %d and %d times", table.Running(), table.Met(limit.Transfers), table.Met(limit.DeviceTransfers))
	}
}

// TestMemory: what is kept is of those that are active.
func TestMemory(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		table := limit.New(limit.Options{DeviceRequests: 10, DeviceTransfers: 1})
		var wg sync.WaitGroup
		for i := range 4 {
			wg.Go(func() {
				for n := range 5000 {
					table.Request(fmt.Sprint("d", i, "-", n))
				}
			})
		}
		wg.Wait()
		table.Begin("busy")
		time.Sleep(2 * time.Minute)
		for n := range 2000 {
			table.Request(fmt.Sprint("later-", n))
		}
		if known := table.Known(); known > 2001 {
			t.Errorf("%d devices are kept", known)
		}
		table.End("busy")
	})
}

func TestRequestsAllocateNothing(t *testing.T) {
	table := limit.New(limit.Options{DeviceRequests: 10})
	if n := testing.AllocsPerRun(100, func() { table.Request("device-1") }); n != 0 {
		t.Errorf("a request takes %.0f allocations", n)
	}
}
