package james_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/trusch/jamesd/pkg/james"
)

func TestAfter(t *testing.T) {
	t.Parallel()
	busy := james.Errorf(james.KindUnavailable, "server", "has too much to do").WithAfter(10 * time.Second)
	for name, row := range map[string]struct {
		err    error
		after  time.Duration
		random float64
		waits  time.Duration // who would wait for 4 s
	}{
		"no error":        {nil, 0, 0.5, 4 * time.Second},
		"another error":   {errors.New("x"), 0, 0.5, 4 * time.Second},
		"nothing said":    {james.Errorf(james.KindUnavailable, "", "x"), 0, 0.9, 4 * time.Second},
		"the least":       {busy, 10 * time.Second, 0, 10 * time.Second},
		"spread":          {busy, 10 * time.Second, 0.5, 12500 * time.Millisecond},
		"of an operation": {james.Cannot("poll", "", busy), 10 * time.Second, 0, 10 * time.Second},
		"wrapped":         {fmt.Errorf("x: %w", james.Errorf(james.KindInternal, "y", "%w", busy)), 10 * time.Second, 0, 10 * time.Second},
		"less than own":   {james.Errorf(james.KindUnavailable, "", "x").WithAfter(time.Second), time.Second, 0.5, 4 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := james.AfterOf(row.err); got != row.after {
				t.Errorf("after %s, want %s", got, row.after)
			}
			if got := james.Patience(row.err, 4*time.Second, row.random); got != row.waits {
				t.Errorf("waits %s, want %s", got, row.waits)
			}
		})
	}
}
