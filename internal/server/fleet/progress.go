package fleet

import (
	"time"

	"github.com/trusch/jamesd/pkg/james"
)

// silence is how long a device may tell nothing until what it told is not worth
// anything any more: it was cut off.
const silence = 10 * time.Minute

// Progress takes over how far a device is with its plan. That is kept in memory
// until the plan has ended, so other processes do not know it. It fails with
// james.KindInvalid for a malformed one and with james.KindNotFound for a device
// that has never polled.
func (f *Fleet) Progress(id string, p james.Progress) error {
	if err := james.CheckDeviceID(id); err != nil {
		return err
	}
	if err := p.Validate(); err != nil {
		return err
	}
	p.Time = f.now()
	f.mu.Lock()
	defer f.mu.Unlock()
	d := f.cat.devices[id]
	if d == nil || d.reported == nil {
		return neverPolled(id)
	}
	d.progress = &p
	return nil
}

// progressAt returns how far the device is with the plan, nil where nobody knows.
func (d *device) progressAt(plan *james.Plan, now time.Time) *james.Progress {
	p := d.progress
	if p == nil || plan == nil || p.Plan != plan.ID || p.Revision != plan.Revision || now.Sub(p.Time) > silence {
		return nil
	}
	return p
}

// waits returns why the device does not carry out the plan now, nil where it does
// not know it or does.
func (d *device) waits(plan *james.Plan) *james.Waiting {
	w := d.reported.Waiting
	if w == nil || w.Plan != plan.ID || w.Revision != plan.Revision {
		return nil
	}
	return w
}

// sameEnd reports whether two reports are of the same end of a plan.
func sameEnd(a, b *james.Report) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Plan == b.Plan && a.Revision == b.Revision && a.Ended.Equal(b.Ended)
}

// newlyWaits reports whether a device has put its plan aside.
func newlyWaits(old, now *james.Device) bool {
	return now.Waiting != nil && !now.Waiting.Equal(old.Waiting)
}
