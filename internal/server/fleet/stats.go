package fleet

import (
	"sync/atomic"

	"github.com/trusch/jamesd/pkg/james"
)

// Stats are numbers for monitoring. Polls and Reports count from the start of
// the process, the others are of this moment.
type Stats struct {
	Packets int
	Devices int // that have polled
	Waiting int // held polls
	// InSync, OutOfSync and Unmanaged add up to Devices; an unmanaged device has
	// no desired state.
	InSync, OutOfSync, Unmanaged int
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

// Stats returns the numbers. It takes no store.
func (f *Fleet) Stats() Stats {
	var s Stats
	f.each(func(d *device) {
		switch {
		case d.reported == nil:
			return
		case !d.managed():
			s.Unmanaged++
		case f.cat.planOf(d).Empty():
			s.InSync++
		default:
			s.OutOfSync++
		}
		s.Devices++
		if drift := d.reported.Drift; drift != nil && drift.Damaged > 0 {
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
