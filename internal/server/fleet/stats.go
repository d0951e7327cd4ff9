package fleet

import (
	"sync/atomic"

	"github.com/trusch/jamesd/pkg/james"
)

// Stats are numbers for monitoring. Polls and Reports count from the start of
// the process, the others are of this moment.
type Stats struct {
	Packets int
	Waiting int // held polls
	// Devices counts them by condition, all that there are.
	Devices map[james.Condition]int
	// Damaged counts those on which files of packets are not as they should be,
	// edited configuration aside.
	Damaged int
	Polls   PollStats
	Reports ReportStats
}

// PollStats counts polls by their outcome.
type PollStats struct {
	Plan   uint64 // a plan was handed out
	Idle   uint64 // there was nothing to do
	Resend uint64 // the device was asked for its whole report
	Failed uint64
}

// ReportStats counts transactions by their result.
type ReportStats struct{ Committed, RolledBack, Refused, Broken uint64 }

type counters struct {
	plan, idle, resend, failed             atomic.Uint64
	committed, rolledBack, refused, broken atomic.Uint64
}

func (c *counters) poll(resp *james.PollResponse, err error) {
	switch {
	case err != nil:
		c.failed.Add(1)
	case resp.Resend:
		c.resend.Add(1)
	case resp.Plan != nil:
		c.plan.Add(1)
	default:
		c.idle.Add(1)
	}
}

// polls returns how many were answered.
func (c *counters) polls() uint64 {
	return c.plan.Load() + c.idle.Load() + c.resend.Load() + c.failed.Load()
}

func (c *counters) report(r james.Result) {
	switch r {
	case james.Committed:
		c.committed.Add(1)
	case james.RolledBack:
		c.rolledBack.Add(1)
	case james.Refused:
		c.refused.Add(1)
	case james.Broken:
		c.broken.Add(1)
	}
}

// Stats returns the numbers. It takes no store, and looks at every device, a few at a
// time: polls go on meanwhile.
func (f *Fleet) Stats() Stats {
	s := Stats{Devices: make(map[james.Condition]int)}
	now := f.now()
	f.each(func(d *device) {
		plan := f.wantedPlan(d)
		s.Devices[condition(d, plan, d.progressAt(plan, now))]++
		if d.damaged() {
			s.Damaged++
		}
	})
	f.mu.Lock()
	s.Packets, s.Waiting = len(f.cat.packets), f.waiting
	f.mu.Unlock()
	c := &f.counters
	s.Polls = PollStats{Plan: c.plan.Load(), Idle: c.idle.Load(), Resend: c.resend.Load(), Failed: c.failed.Load()}
	s.Reports = ReportStats{Committed: c.committed.Load(), RolledBack: c.rolledBack.Load(), Refused: c.refused.Load(), Broken: c.broken.Load()}
	return s
}
