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
// silent for minutes in a held poll or a script. It is fed only while the loop
// keeps its word: before each thing that takes time the loop says how long it
// may take at most, and when that is over the feeding stops.
type supervisor struct {
	notify func(state string)
	now    func() time.Time
	// until is when the loop will have been heard of again. It is compared by the
	// monotonic clock: a board without a battery sets its clock while it runs.
	until atomic.Pointer[time.Time]
}

// expect says that the loop will be heard of again within d.
func (s *supervisor) expect(d time.Duration) {
	t := s.now().Add(d)
	s.until.Store(&t)
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
			if t := s.until.Load(); t != nil && s.now().Before(*t) {
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
