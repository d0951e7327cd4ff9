package agent

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// supervisor tells the service manager how the agent is doing, in the words of
// sd_notify(3): that it is ready, what it does, and that it is not stuck.
//
// The watchdog is fed by a goroutine of its own, as the loop may rightly be
// silent for minutes in a held poll or a script. It is fed only while the loop, and
// what fetches contents beside it, keep their words: before each thing that takes
// time they say how long it may take at most, and when that is over the feeding
// stops.
type supervisor struct {
	notify      func(state string)
	loop, fetch promise
}

func newSupervisor(notify func(string), now func() time.Time) *supervisor {
	return &supervisor{notify: notify, loop: promise{now: now}, fetch: promise{now: now}}
}

// promise is that somebody will be heard of again.
type promise struct {
	now func() time.Time
	// until is when, nil for nothing promised. It is compared by the monotonic clock:
	// a board without a battery sets its clock while it runs.
	until atomic.Pointer[time.Time]
}

// expect promises to be heard of within d.
func (p *promise) expect(d time.Duration) {
	t := p.now().Add(d)
	p.until.Store(&t)
}

// keep ends what was promised.
func (p *promise) keep() { p.until.Store(nil) }

// kept reports whether nothing promised is overdue.
func (p *promise) kept() bool {
	t := p.until.Load()
	return t == nil || p.now().Before(*t)
}

// status says in a few words what the agent does now.
func (s *supervisor) status(format string, args ...any) {
	s.notify("STATUS=" + fmt.Sprintf(format, args...))
}

// feed feeds the watchdog, which bites after every, until stop is called; stop
// returns when no more is sent.
func (s *supervisor) feed(every time.Duration) (stop func()) {
	if every <= 0 {
		return func() {}
	}
	ctx, cancel := context.WithCancel(context.Background())
	var feeding sync.WaitGroup
	feeding.Go(func() {
		tick := time.NewTicker(every / 3)
		defer tick.Stop()
		for {
			if s.loop.kept() && s.fetch.kept() {
				s.notify("WATCHDOG=1")
			}
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	})
	return func() { cancel(); feeding.Wait() }
}
