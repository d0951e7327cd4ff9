package fleet

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/trusch/jamesd/pkg/james"
)

// Limits of what a device says of itself, in bytes.
const (
	maxAgent = 200
	maxError = 4 << 10
	maxKind  = 40
)

// checkPoll returns an error of james.KindInvalid for a poll that no device of
// ours sends.
func checkPoll(id string, req *james.PollRequest) error {
	if err := james.CheckDeviceID(id); err != nil {
		return err
	}
	r := req.Report
	if r == nil {
		if req.Same.IsZero() {
			return james.Errorf(james.KindInvalid, "poll of "+id, "has neither a report nor the digest of one")
		}
		return nil
	}
	if len(r.Agent) > maxAgent {
		return james.Errorf(james.KindInvalid, "poll of "+id, "the agent's version has %d bytes, the limit is %d", len(r.Agent), maxAgent)
	}
	for _, app := range r.Apps {
		if app.Digest.IsZero() {
			return james.Errorf(james.KindInvalid, "poll of "+id, "the installed app %.140q has no digest", app.Name)
		}
	}
	if r.Drift != nil {
		if err := r.Drift.Validate(); err != nil {
			return err
		}
	}
	if r.Waiting != nil {
		if err := r.Waiting.Validate(); err != nil {
			return err
		}
	}
	return james.CheckApps(r.Apps)
}

// hear takes over what a device reports, of which the digest alone stays in the poll. It
// writes to the store only where that is not what is known already.
func (f *Fleet) hear(ctx context.Context, id string, req *james.PollRequest) error {
	r := req.Report
	if r == nil {
		return nil
	}
	digest := r.Digest()
	req.Same, req.Report = digest, nil
	if f.knows(id, r, digest) {
		return nil
	}
	var first, drifted bool
	_, err := f.saveDevice(ctx, id, func(old *james.Device) (*james.Device, error) {
		first = old == nil
		drifted = driftStage(old) != driftStage(&james.Device{Drift: r.Drift})
		if old != nil && sameReport(old, r) {
			return old, nil
		}
		now := &james.Device{ID: id, FirstSeen: f.now()}
		if old != nil {
			*now = *old
		}
		now.SystemTags, now.Apps, now.Revision, now.Agent, now.Drift, now.Waiting = r.SystemTags, r.Apps, r.Revision, r.Agent, r.Drift, r.Waiting
		return now, nil
	})
	if err != nil {
		return err
	}
	f.knows(id, r, digest)
	if first {
		f.event(ctx, james.Event{Kind: james.EventDeviceSeen, Actor: id, Device: id, Text: id + " polled for the first time, with the system tags " + tagsText(r.SystemTags)})
	}
	if drifted {
		f.event(ctx, james.Event{Kind: james.EventDrift, Actor: id, Device: id, Text: driftText(id, r.Drift)})
	}
	return nil
}

// driftStage tells the conditions of a device apart whose change is an event:
// nothing differs, configuration alone, or files are damaged.
func driftStage(d *james.Device) int {
	switch {
	case d == nil || d.Drift == nil:
		return 0
	case d.Drift.Damaged == 0:
		return 1
	}
	return 2
}

func driftText(id string, d *james.Drift) string {
	if d == nil {
		return id + " has all files as its packets have them again"
	}
	return id + ": " + d.String()
}

// knows reports whether the device's report is known to be r, and if so notes
// by which digest the device will refer to it.
func (f *Fleet) knows(id string, r *james.DeviceReport, digest james.Digest) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	d := f.cat.devices[id]
	if d == nil || d.reported == nil || !sameReport(d.reported, r) {
		return false
	}
	d.digest = digest
	return true
}

// surely returns the device, nil where there is none. Where it would be told to do something
// that it may have been told to undo by another process, as it has said something new since
// the store was looked at, that is looked at before. Fleet.mu is held, but not meanwhile.
func (f *Fleet) surely(ctx context.Context, id string) (*device, error) {
	d := f.cat.devices[id]
	if d == nil || d.heard < f.follower.done.Load() || f.cat.planOf(d).Empty() {
		return d, nil
	}
	f.mu.Unlock()
	err := f.refresh(ctx)
	f.mu.Lock()
	return f.cat.devices[id], err
}

// Report takes over how a device's transaction ended. Texts are shortened to
// their limits, the output of a script at its beginning. A report that is sent
// again changes nothing. It fails with james.KindInvalid for a malformed one and
// with james.KindNotFound for a device that has never polled.
func (f *Fleet) Report(ctx context.Context, id string, r james.Report) error {
	if err := checkReport(id, &r); err != nil {
		return err
	}
	again := false
	_, err := f.saveDevice(ctx, id, func(old *james.Device) (*james.Device, error) {
		if old == nil {
			return nil, neverPolled(id)
		}
		if again = old.Report != nil && sameJSON(old.Report, &r); again {
			return old, nil
		}
		now := *old
		now.Report = &r
		return &now, nil
	})
	if err != nil {
		return err
	}
	if !again {
		f.counters.report(r.Result)
		f.event(ctx, james.Event{Kind: james.EventReport, Actor: id, Device: id, Text: id + ": " + r.Summary()})
	}
	return nil
}

func neverPolled(id string) error {
	return james.Errorf(james.KindNotFound, "device "+id, "has never polled").
		WithHint("Check the name, which is the common name of the device's certificate, and that jamesc runs there.")
}

// checkReport refuses what cannot be a report, and bounds and rounds the rest to
// what stores keep.
func checkReport(id string, r *james.Report) error {
	fail := func(format string, args ...any) error {
		return james.Errorf(james.KindInvalid, "report of "+id, format, args...)
	}
	if err := james.CheckDeviceID(id); err != nil {
		return err
	}
	if !slices.Contains([]james.Result{james.Committed, james.RolledBack, james.Refused, james.Broken}, r.Result) {
		return fail("the result %.40q is none of committed, rolled-back, refused, broken", r.Result)
	}
	if r.Script != "" && !slices.Contains(james.ScriptNames(), r.Script) {
		return fail("%.40q is no script", r.Script)
	}
	if r.App != "" {
		if err := james.CheckName(r.App); err != nil {
			return fail("%w", err)
		}
	}
	switch {
	case r.Plan.IsZero():
		return fail("has no plan")
	case len(r.Kind) > maxKind:
		return fail("the kind of the error has %d bytes, the limit is %d", len(r.Kind), maxKind)
	case r.Attempts < 0:
		return fail("has a negative number of attempts")
	}
	r.Error = strings.ToValidUTF8(r.Error[:min(len(r.Error), maxError)], "")
	r.Output = strings.ToValidUTF8(r.Output[max(0, len(r.Output)-james.MaxOutput):], "")
	r.Started, r.Ended, r.RetryAt = rounded(r.Started), rounded(r.Ended), rounded(r.RetryAt)
	return nil
}

func sameJSON(a, b any) bool {
	rawA, errA := json.Marshal(a)
	rawB, errB := json.Marshal(b)
	return errA == nil && errB == nil && bytes.Equal(rawA, rawB)
}
