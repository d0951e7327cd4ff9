package fleet

import (
	"context"
	"time"

	"github.com/trusch/jamesd/pkg/james"
)

// Drain ends every held poll with an empty answer, and lets none be held from
// now on: jamesd is about to stop.
func (f *Fleet) Drain() { f.drain() }

func (f *Fleet) isDrained() bool {
	select {
	case <-f.drained:
		return true
	default:
		return false
	}
}

// hold answers the poll as soon as there is something to say, or at the end of its
// time. A held poll costs a channel and a timer; whoever changes something that the
// device's plan depends on sends to the channel, and the poll looks again.
func (f *Fleet) hold(ctx context.Context, id string, req *james.PollRequest, wait time.Duration) (james.PollResponse, error) {
	var wake chan struct{}
	if wait > 0 && !f.isDrained() {
		wake = make(chan struct{}, 1)
	}
	d, resp, held := f.enter(id, req, wait, wake)
	if d == nil {
		return resp, nil
	}
	defer f.leave(d, wake)
	timer := time.NewTimer(held)
	defer timer.Stop()
	for {
		over := true
		select {
		case <-wake:
			over = false
		case <-timer.C:
		case <-f.drained:
		case <-ctx.Done():
			return james.PollResponse{}, james.Errorf(james.KindInterrupted, "poll of "+id, "ended while it was held: %w", context.Cause(ctx))
		}
		resp, current := f.again(d, req, wait, wake)
		if over || !current || !idle(&resp) {
			return resp, nil
		}
	}
}

// enter returns the first answer. With a device it is not the last one: wake is
// sent to when it may be another, until leave, and the poll is held for that long.
func (f *Fleet) enter(id string, req *james.PollRequest, wait time.Duration, wake chan struct{}) (*device, james.PollResponse, time.Duration) {
	now := f.now()
	f.mu.Lock()
	defer f.mu.Unlock()
	d := f.cat.devices[id]
	if d != nil {
		d.nudge() // an earlier poll sees that it is not the current one
		d.wake = nil
		if d.reported != nil {
			f.see(d, now)
		}
	}
	resp := f.decide(d, req)
	t := f.turnOf(id, d, wait)
	if wake == nil || !idle(&resp) {
		f.pace(&resp, t, wait)
		return nil, resp, 0
	}
	d.wake = wake
	f.waiting++
	return d, resp, t.held(wait)
}

// again returns the answer as it is now, and whether the poll of wake is still
// the device's last one.
func (f *Fleet) again(d *device, req *james.PollRequest, wait time.Duration, wake chan struct{}) (resp james.PollResponse, current bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	current = d.wake == wake
	known := d
	if f.cat.devices[d.id] != d { // deleted meanwhile
		known = nil
	}
	resp = f.decide(known, req)
	f.pace(&resp, f.turnOf(d.id, known, wait), wait)
	return resp, current
}

func (f *Fleet) leave(d *device, wake chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.waiting--
	if d.wake == wake {
		d.wake = nil
	}
}
