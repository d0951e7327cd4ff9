package fleet

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/trusch/jamesd/pkg/james"
)

// Overviews are made again for whoever asks after freshFor, or after dearTimes what
// making the last one took, so that they never take more than a twentieth of a processor.
const (
	freshFor  = time.Second
	dearTimes = 20
)

// resultsWithin is how old the ends of transactions may be that an overview counts.
const resultsWithin = time.Hour

// overviews is the last overview. Its lock is held while one is made.
type overviews struct {
	mu     sync.Mutex
	status *james.FleetStatus
	until  time.Time     // it is good
	seen   time.Time     // when last-seen times were read from the store
	events []james.Event // the newest that there were
}

// Overview returns the fleet at a glance. Most of it may be a second old, and more in a
// fleet that is so large that looking at it takes long. It must not be changed. It fails
// with james.KindUnavailable when the store does not answer.
func (f *Fleet) Overview(ctx context.Context) (*james.FleetStatus, error) {
	o := &f.overviews
	o.mu.Lock()
	defer o.mu.Unlock()
	start := time.Now()
	if o.status == nil || !start.Before(o.until) {
		if start.Sub(o.seen) >= f.o.SeenInterval {
			if err := f.loadSeen(ctx); err != nil {
				return nil, err
			}
			o.seen = start
		}
		o.status = f.look()
		now := time.Now()
		o.until = now.Add(max(freshFor, dearTimes*now.Sub(start)))
	}
	if err := o.follow(ctx, f); err != nil {
		return nil, err
	}
	out := *o.status
	out.Time, out.Events, out.Polls = f.now(), slices.Clone(o.events), f.pollStatus()
	return &out, nil
}

// follow takes over the newest events.
func (o *overviews) follow(ctx context.Context, f *Fleet) error {
	for {
		after := uint64(0)
		if n := len(o.events); n > 0 {
			after = o.events[n-1].Seq
		}
		more, err := f.o.Store.ListEvents(ctx, after, MaxEvents)
		if err != nil || len(more) == 0 {
			return err
		}
		all := append(o.events, more...)
		o.events = slices.Clone(all[max(0, len(all)-james.MaxGlances):])
	}
}

// look walks over all devices.
func (f *Fleet) look() *james.FleetStatus {
	l := &look{
		now:      f.now(),
		rollouts: make(map[james.Digest]*james.Rollout),
		s: james.FleetStatus{
			Devices: make(map[james.Condition]int), Results: make(map[james.Result]int), ResultsWithin: int(resultsWithin / time.Second),
		},
	}
	f.each(func(d *device) { l.take(d, f.wantedPlan(d), f.isSilent(d, l.now)) })
	if len(l.rollouts) > 0 {
		f.each(l.count)
	}
	f.mu.Lock()
	l.s.Packets = len(f.cat.packets)
	f.mu.Unlock()
	slices.SortFunc(l.troubled, func(a, b trouble) int { return cmp.Or(cmp.Compare(a.what, b.what), cmp.Compare(a.id, b.id)) })
	slices.Sort(l.working)
	l.s.TroubledCount = len(l.troubled)
	l.s.Troubled, l.s.Working = []james.Glance{}, []james.Glance{}
	for _, t := range l.troubled[:min(len(l.troubled), james.MaxGlances)] {
		if s, ok := f.statusOf(t.id); ok {
			l.s.Troubled = append(l.s.Troubled, glance(s, t.what, l.now))
		}
	}
	for _, id := range l.working[:min(len(l.working), james.MaxGlances)] {
		if s, ok := f.statusOf(id); ok {
			l.s.Working = append(l.s.Working, glance(s, noTrouble, l.now))
		}
	}
	l.s.Rollouts = l.furthest()
	return &l.s
}

// isSilent reports whether a device should have been here again by now: one that waits
// was seen when its poll began, and one or two polls may get lost. Fleet.mu is held.
func (f *Fleet) isSilent(d *device, now time.Time) bool {
	return d.reported != nil && !d.seen.IsZero() && now.Sub(d.seen) > 3*f.intervalOf(d)+james.MaxWait
}

// look is what a walk over the devices has found so far.
type look struct {
	now      time.Time
	s        james.FleetStatus
	troubled []trouble
	working  []string
	rollouts map[james.Digest]*james.Rollout
}

// trouble is a device with which something is wrong.
type trouble struct {
	what wrong
	id   string
}

// wrong is what is wrong with a device, the worst first.
type wrong int

const (
	isBroken wrong = iota
	hasFailed
	isUnresolved
	isDamaged
	hasGoneSilent
	noTrouble
)

// take takes a device in; Fleet.mu is held.
func (l *look) take(d *device, plan *james.Plan, silent bool) {
	p := d.progressAt(plan, l.now)
	c := condition(d, plan, p)
	l.s.Devices[c]++
	what := noTrouble
	if silent {
		l.s.Silent++
		what = hasGoneSilent
	}
	if d.damaged() {
		l.s.Damaged++
		what = isDamaged
	}
	switch c {
	case james.ConditionBroken:
		what = isBroken
	case james.ConditionFailed:
		what = hasFailed
	case james.ConditionUnresolved:
		what = isUnresolved
	}
	if what != noTrouble {
		l.troubled = append(l.troubled, trouble{what, d.id})
	}
	if p != nil {
		l.working = append(l.working, d.id)
	}
	if d.reported != nil {
		l.takePlan(d.reported, plan, c)
	}
}

// takePlan takes in how a device's last plan ended, and what it is to get.
func (l *look) takePlan(d *james.Device, plan *james.Plan, c james.Condition) {
	if r := d.Report; r != nil && l.now.Sub(r.Ended) <= resultsWithin {
		l.s.Results[r.Result]++
	}
	if plan == nil {
		return
	}
	for i := range plan.Steps {
		p := plan.Steps[i].New
		if p == nil {
			continue
		}
		r := l.rollouts[p.Digest]
		if r == nil {
			r = &james.Rollout{Name: p.Name, Tags: p.Tags, Digest: p.Digest}
			l.rollouts[p.Digest] = r
		}
		if r.Pending++; c == james.ConditionFailed {
			r.Failed++
		}
	}
}

// count counts a device for the rollouts of what it has; Fleet.mu is held.
func (l *look) count(d *device) {
	if d.reported == nil {
		return
	}
	for i := range d.reported.Apps {
		if r := l.rollouts[d.reported.Apps[i].Digest]; r != nil {
			r.Have++
		}
	}
}

// furthest returns the rollouts of the most devices.
func (l *look) furthest() []james.Rollout {
	out := make([]james.Rollout, 0, len(l.rollouts))
	for _, r := range l.rollouts {
		out = append(out, *r)
	}
	slices.SortFunc(out, func(a, b james.Rollout) int {
		return cmp.Or(cmp.Compare(b.Pending, a.Pending), cmp.Compare(a.Name, b.Name), slices.Compare(a.Digest[:], b.Digest[:]))
	})
	return out[:min(len(out), james.MaxGlances)]
}

// glance returns the line of a device.
func glance(s james.DeviceStatus, what wrong, now time.Time) james.Glance {
	g := james.Glance{ID: s.ID, Condition: s.Condition, LastSeen: s.LastSeen, Reason: s.Reason, Progress: s.Progress}
	switch {
	case what == isDamaged && s.Drift != nil:
		g.Reason = join("; ", s.Drift.String(), s.Reason)
	case what == hasGoneSilent:
		g.Reason = join("; ", "has not polled for "+now.Sub(s.LastSeen).Round(time.Minute).String(), s.Reason)
	}
	return g
}

// join returns a and b with separator between them, or a alone.
func join(separator, a, b string) string {
	if b == "" {
		return a
	}
	return a + separator + b
}
