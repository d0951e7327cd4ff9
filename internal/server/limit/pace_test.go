package limit_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trusch/jamesd/internal/server/limit"
	"github.com/trusch/jamesd/internal/throttle"
)

// sender sends as an answer does, for as long as ctx lasts.
type sender struct {
	id   string        // "" for no device
	idle time.Duration // rests after each piece, as one does whose reader is slow
	sent int64
}

func (s *sender) run(ctx context.Context, t *testing.T, table *limit.Table) {
	p, r := table.PaceOther(), limit.Allowed
	if s.id != "" {
		p.Close()
		p, r = table.Pace(s.id)
	}
	if r != limit.Allowed {
		t.Errorf("%s is refused for %s", s.id, r)
		return
	}
	defer p.Close()
	for ctx.Err() == nil {
		n := p.Piece()
		if p.Wait(ctx, n) != nil {
			return
		}
		s.sent += int64(n)
		time.Sleep(s.idle)
	}
}

// TestPace: a device gets its rate and all together theirs, in equal parts; who reads slowly
// leaves his part to the others.
func TestPace(t *testing.T) {
	t.Parallel()
	const span = 100 * time.Second
	for name, row := range map[string]struct {
		o       limit.Options
		senders []sender
		want    []int64 // bytes a second
	}{
		"a device":           {limit.Options{DeviceRate: 10_000}, []sender{{id: "a"}}, []int64{10_000}},
		"transfers of one":   {limit.Options{DeviceRate: 10_000}, []sender{{id: "a"}, {id: "a"}}, []int64{5000, 5000}},
		"devices":            {limit.Options{DeviceRate: 10_000}, []sender{{id: "a"}, {id: "b"}}, []int64{10_000, 10_000}},
		"all":                {limit.Options{Rate: 30_000}, []sender{{id: "a"}, {id: "b"}, {}}, []int64{10_000, 10_000, 10_000}},
		"the less of both":   {limit.Options{DeviceRate: 10_000, Rate: 50_000}, []sender{{id: "a"}, {id: "b"}, {}}, []int64{10_000, 10_000, 30_000}},
		"a slow one":         {limit.Options{Rate: 30_000}, []sender{{id: "a"}, {id: "slow", idle: time.Second}}, []int64{26_750, 3250}},
		"at a great rate":    {limit.Options{Rate: 100_000_000}, []sender{{id: "a"}, {id: "b"}}, []int64{50_000_000, 50_000_000}},
		"as many as can":     {limit.Options{Rate: 10 * throttle.Least}, make([]sender, 10), []int64{2000, 2000, 2000, 2000, 2000, 2000, 2000, 2000, 2000, 2000}},
		"nobody is a device": {limit.Options{DeviceRate: 10_000, Rate: 20_000}, []sender{{}}, []int64{20_000}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				table := limit.New(row.o)
				ctx, cancel := context.WithTimeout(t.Context(), span)
				defer cancel()
				var wg sync.WaitGroup
				for i := range row.senders {
					wg.Go(func() { row.senders[i].run(ctx, t, table) })
				}
				wg.Wait()
				for i, s := range row.senders {
					if got := s.sent / int64(span/time.Second); got < row.want[i]*95/100 || got > row.want[i]*105/100 {
						t.Errorf("sender %d gets %d bytes a second, want %d", i, got, row.want[i])
					}
				}
				if (table.Waited(limit.DeviceRate) > 0) != (row.o.DeviceRate > 0 && row.senders[0].id != "") || (table.Waited(limit.Rate) > 0) != (row.o.Rate > 0) {
					t.Errorf("held up for %s and %s", table.Waited(limit.DeviceRate), table.Waited(limit.Rate))
				}
			})
		})
	}
}

// TestPaceRefuses: who would get less than is of use is told; somebody who is no device
// is not.
func TestPaceRefuses(t *testing.T) {
	t.Parallel()
	table := limit.New(limit.Options{Rate: 2 * throttle.Least, DeviceRate: throttle.Least})
	first, _ := table.Pace("a")
	second, _ := table.Pace("b")
	if p, r := table.Pace("c"); p != nil || r != limit.Rate || table.Met(limit.Rate) != 1 {
		t.Errorf("a third one: %v", r)
	}
	table.PaceOther().Close()
	first.Close()
	if _, r := table.Pace("c"); r != limit.Allowed {
		t.Errorf("after one has ended: %v", r)
	}
	second.Close()
}

// TestNoRates: without limits nothing is held up.
func TestNoRates(t *testing.T) {
	t.Parallel()
	table := limit.New(limit.Options{})
	p, r := table.Pace("a")
	if p != nil || r != limit.Allowed || table.PaceOther() != nil || p.Piece() != 64<<10 || p.Wait(t.Context(), 1<<30) != nil {
		t.Errorf("%v, %v", p, r)
	}
	p.Close()
}
