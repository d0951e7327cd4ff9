package backoff_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trusch/jamesd/internal/backoff"
)

func TestAfter(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name string
		n    int
		rand float64
		want time.Duration
	}{
		{"the first, least", 1, 0, 100 * time.Millisecond},
		{"the first, most", 1, 0.999999999999, time.Second - 1},
		{"doubled", 3, 0.999999999999, 4*time.Second - 1},
		{"the limit, most", 100, 0.999999999999, time.Minute - 1},
		{"the limit, least", 100, 0, 6 * time.Second},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			b := backoff.Backoff{First: time.Second, Limit: time.Minute, Rand: func() float64 { return row.rand }}
			if got := b.After(row.n); got != row.want {
				t.Errorf("got %s, want %s", got, row.want)
			}
		})
	}
}

func TestSpread(t *testing.T) {
	t.Parallel()
	for rand, want := range map[float64]time.Duration{0: 90 * time.Second, 0.5: 100 * time.Second} {
		if got := backoff.Spread(100*time.Second, func() float64 { return rand }); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestSleep(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		if err := backoff.Sleep(t.Context(), time.Minute); err != nil || time.Since(begun) != time.Minute {
			t.Errorf("%v after %s", err, time.Since(begun))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := backoff.Sleep(ctx, time.Minute); err == nil || time.Since(begun) != time.Minute+time.Second {
			t.Errorf("%v after %s", err, time.Since(begun))
		}
	})
}
