package fleet

import (
	"cmp"
	"context"
	"maps"
	"runtime"
	"slices"
	"time"

	"github.com/trusch/jamesd/internal/server/store"
	"github.com/trusch/jamesd/pkg/james"
)

// Devices returns all devices, sorted by id: those that have polled and those
// that have a desired state. The output of scripts is left out.
func (f *Fleet) Devices(ctx context.Context) ([]james.DeviceStatus, error) {
	if err := f.refresh(ctx); err != nil {
		return nil, err
	}
	if err := f.loadSeen(ctx); err != nil {
		return nil, err
	}
	var out []james.DeviceStatus
	f.each(func(d *device) { out = append(out, f.status(d)) })
	slices.SortFunc(out, func(a, b james.DeviceStatus) int { return cmp.Compare(a.ID, b.ID) })
	return out, nil
}

// Device returns one device with everything that is known of it. It fails with
// james.KindNotFound.
func (f *Fleet) Device(ctx context.Context, id string) (james.DeviceStatus, error) {
	if err := james.CheckDeviceID(id); err != nil {
		return james.DeviceStatus{}, err
	}
	if err := f.refresh(ctx); err != nil {
		return james.DeviceStatus{}, err
	}
	if err := f.loadSeen(ctx); err != nil {
		return james.DeviceStatus{}, err
	}
	status, ok := f.statusOf(id)
	if !ok {
		return status, neverPolled(id)
	}
	if status.Report == nil {
		return status, nil
	}
	stored, err := f.o.Store.Devices().Get(ctx, id) // has the output, too
	if err == nil {
		status.Report = stored.Report
	}
	return status, err
}

func (f *Fleet) statusOf(id string) (james.DeviceStatus, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	d := f.cat.devices[id]
	if d == nil {
		return james.DeviceStatus{}, false
	}
	return f.status(d), true
}

// eachBatch is how many devices are looked at without letting go of Fleet.mu, a fraction of
// a millisecond where their plans are to be computed.
const eachBatch = 20

// each calls fn with every device and Fleet.mu held, which it releases now and
// then: polls go on while an operator looks at a large fleet.
func (f *Fleet) each(fn func(*device)) {
	f.mu.Lock()
	all := slices.AppendSeq(make([]*device, 0, len(f.cat.devices)), maps.Values(f.cat.devices))
	f.mu.Unlock()
	for batch := range slices.Chunk(all, eachBatch) {
		f.mu.Lock()
		for _, d := range batch {
			if f.cat.devices[d.id] == d { // it was not deleted meanwhile
				fn(d)
			}
		}
		f.mu.Unlock()
		runtime.Gosched() // who waits for it is to have it
	}
}

// status returns the device as an operator sees it; Fleet.mu is held.
func (f *Fleet) status(d *device) james.DeviceStatus {
	s := james.DeviceStatus{Device: james.Device{ID: d.id}, LastSeen: d.seen}
	if d.reported != nil {
		s.Device = *d.reported
	}
	if d.managed() {
		s.Desired = d.desired.Revision
	}
	plan := f.wantedPlan(d)
	if plan != nil {
		s.Problems = plan.Problems
	}
	s.Progress = d.progressAt(plan, f.now())
	s.Condition = condition(d, plan, s.Progress)
	s.Reason = reason(d, plan, s.Progress, s.Condition)
	s.InSync = s.Reason == ""
	return s
}

// wantedPlan returns what a device has to do because somebody wants it, nil where
// nobody wants anything of it, or it has never polled; Fleet.mu is held.
func (f *Fleet) wantedPlan(d *device) *james.Plan {
	if d.reported == nil || !d.managed() {
		return nil
	}
	return f.cat.planOf(d)
}

// State returns what the device reported, without the system tags in its apps'
// tags. It fails with james.KindNotFound for a device that has never polled.
func (f *Fleet) State(id string) (james.State, error) {
	reported, err := f.reported(context.Background(), id)
	if err != nil {
		return james.State{}, err
	}
	return reported.State(), nil
}

// reported returns the device's row. It fails with james.KindNotFound.
func (f *Fleet) reported(ctx context.Context, id string) (*james.Device, error) {
	if err := james.CheckDeviceID(id); err != nil {
		return nil, err
	}
	found, err := lookup(ctx, f, func(c *catalogue) *james.Device {
		if d := c.devices[id]; d != nil {
			return d.reported
		}
		return nil
	})
	if err == nil && found == nil {
		err = neverPolled(id)
	}
	return found, err
}

// DeleteDevice removes everything that is known of a device, its desired state
// included. A device that goes on polling comes back as a new one, and nobody
// wants anything of it. It fails with james.KindNotFound.
func (f *Fleet) DeleteDevice(ctx context.Context, by, id string) error {
	if err := james.CheckDeviceID(id); err != nil {
		return err
	}
	wanted, err := remove(ctx, f, f.o.Store.Desired(), store.TableDesired, id)
	if err != nil {
		return err
	}
	known, err := remove(ctx, f, f.o.Store.Devices(), store.TableDevices, id)
	if err != nil {
		return err
	}
	if !wanted && !known {
		return neverPolled(id)
	}
	f.mu.Lock()
	delete(f.unsaved, id)
	f.mu.Unlock()
	if err := f.o.Store.Forget(ctx, id); err != nil {
		return err
	}
	f.event(ctx, james.Event{Kind: james.EventDeviceDeleted, Actor: by, Device: id, Text: id + " was deleted"})
	return nil
}

// rounded returns t as stores keep it.
func rounded(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC().Truncate(time.Millisecond)
}
