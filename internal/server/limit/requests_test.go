package limit_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/trusch/jamesd/internal/server/limit"
)

// TestAllRequests: all devices together get their rate, and no more.
func TestAllRequests(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		table := limit.New(limit.Options{DeviceRequests: 4, Requests: 10})
		allowed := func() (got int) {
			for range 200 {
				for _, id := range []string{"a", "b", "c"} {
					switch r, after := table.Request(id); {
					case r == limit.Allowed:
						got++
					case after <= 0 || after > time.Second:
						t.Fatalf("it is told %v and %s", r, after)
					}
				}
			}
			return got
		}
		if got := allowed(); got != 10*limit.Burst+1 {
			t.Errorf("%d requests at once", got)
		}
		time.Sleep(2 * time.Second)
		if got := allowed(); got != 20 {
			t.Errorf("%d requests after 2 seconds", got)
		}
		if table.Met(limit.Requests) == 0 || table.Met(limit.DeviceRequests) == 0 {
			t.Errorf("the limits were met %d and %d times", table.Met(limit.Requests), table.Met(limit.DeviceRequests))
		}
	})
}

func TestWork(t *testing.T) {
	t.Parallel()
	table := limit.New(limit.Options{Concurrent: 2})
	for i, want := range []limit.Reason{limit.Allowed, limit.Allowed, limit.Concurrent} {
		if got := table.Work(); got != want {
			t.Errorf("request %d: %v, want %v", i, got, want)
		}
	}
	table.Rest()
	if table.Work() != limit.Allowed || table.Working() != 2 || table.Met(limit.Concurrent) != 1 {
		t.Errorf("%d work, the limit was met %d times", table.Working(), table.Met(limit.Concurrent))
	}
}

func TestBodies(t *testing.T) {
	t.Parallel()
	table := limit.New(limit.Options{DeviceBodies: 10, Bodies: 15})
	for i, step := range []struct {
		id   string
		n    int64 // less than 0 drops
		want limit.Reason
	}{
		{"a", 6, limit.Allowed}, {"a", 5, limit.DeviceBodies}, {"a", 4, limit.Allowed}, {"b", 6, limit.Bodies}, {"b", 5, limit.Allowed},
		{"a", -10, limit.Allowed}, {"b", 5, limit.Allowed}, {"b", 1, limit.DeviceBodies}, {"b", -10, limit.Allowed},
	} {
		if step.n < 0 {
			table.Drop(step.id, -step.n)
		} else if got := table.Hold(step.id, step.n); got != step.want {
			t.Errorf("step %d: %v, want %v", i, got, step.want)
		}
	}
	if table.Held() != 0 || table.Met(limit.DeviceBodies) != 2 || table.Met(limit.Bodies) != 1 {
		t.Errorf("%d bytes are held, the limits were met %d and %d times", table.Held(), table.Met(limit.DeviceBodies), table.Met(limit.Bodies))
	}
}

// TestNames: each limit that is met has the name of its setting.
func TestNames(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, r := range append(limit.Refusals(), limit.DeviceRate) {
		if r.String() == "" || seen[r.String()] {
			t.Errorf("%d is called %q", r, r)
		}
		seen[r.String()] = true
	}
}
