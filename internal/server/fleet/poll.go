package fleet

import (
	"context"

	"github.com/trusch/jamesd/pkg/james"
)

// Poll answers a device that reports itself and asks what to do. It answers at
// once with a plan that the device does not know yet, and where there is none any
// more in the place of the one that it knows; otherwise it holds the
// poll up to req.Wait, at most james.MaxWait, until there is one. A later poll
// of the same device ends an earlier one that is held. The plan of the answer is
// shared and must not be changed.
//
// It fails with james.KindInvalid for a report that breaks the limits, with
// james.KindUnavailable where a new report cannot be stored, and with
// james.KindInterrupted when ctx ends while the poll is held.
func (f *Fleet) Poll(ctx context.Context, id string, req james.PollRequest) (james.PollResponse, error) {
	if req.Wait <= 0 {
		resp, _, err := f.HoldPoll(ctx, id, req, nil)
		return resp, err
	}
	answered := make(chan james.PollResponse, 1)
	resp, held, err := f.HoldPoll(ctx, id, req, func(resp james.PollResponse) { answered <- resp })
	if held == nil {
		return resp, err
	}
	select {
	case resp = <-answered:
		return resp, nil
	case <-ctx.Done():
	}
	if held.GiveUp() {
		return resp, james.Errorf(james.KindInterrupted, "poll of "+id, "ended while it was held: %w", context.Cause(ctx))
	}
	return <-answered, nil
}

// idle reports whether the answer has nothing to say.
func idle(resp *james.PollResponse) bool {
	return resp.Plan == nil && !resp.Resend && !resp.Dropped
}

// decide returns the answer for a device as it is known, whose report was heard; Fleet.mu
// is held.
func (f *Fleet) decide(d *device, req *james.PollRequest) james.PollResponse {
	var resp james.PollResponse
	if d == nil || d.reported == nil || d.reportDigest() != req.Same {
		resp.Resend = true
		return resp
	}
	plan := f.cat.planOf(d)
	switch {
	case plan.Empty():
		resp.Dropped = !req.Known.IsZero()
		if d.managed() {
			resp.Revision = d.desired.Revision
		}
	case !knowsPlan(req, plan):
		resp.Plan = plan
		f.hand(d, plan)
	}
	return resp
}

// knowsPlan reports whether the device has the plan and does not want it now. A
// device that names no revision means any.
func knowsPlan(req *james.PollRequest, plan *james.Plan) bool {
	return plan.ID == req.Known && (req.KnownRevision == 0 || req.KnownRevision == plan.Revision)
}
