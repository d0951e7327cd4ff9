package fleet

import (
	"context"
	"time"

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
	resp, err := f.poll(ctx, id, &req)
	f.counters.poll(&resp, err)
	return resp, err
}

func (f *Fleet) poll(ctx context.Context, id string, req *james.PollRequest) (james.PollResponse, error) {
	if err := checkPoll(id, req); err != nil {
		return james.PollResponse{}, err
	}
	if err := f.hear(ctx, id, req.Report); err != nil {
		return james.PollResponse{}, err
	}
	if req.Report != nil {
		req.Report = heard
	}
	longest := int(james.MaxWait / time.Second)
	return f.hold(ctx, id, req, time.Duration(max(0, min(req.Wait, longest)))*time.Second)
}

// heard stands for a report in a poll that is held: it is in the catalogue by then,
// and not needed twice.
var heard = new(james.DeviceReport)

// idle reports whether the answer has nothing to say.
func idle(resp *james.PollResponse) bool {
	return resp.Plan == nil && !resp.Resend && !resp.Dropped
}

// decide returns the answer for a device as it is known; Fleet.mu is held.
func (f *Fleet) decide(d *device, req *james.PollRequest) james.PollResponse {
	var resp james.PollResponse
	if d == nil || d.reported == nil || req.Report == nil && d.reportDigest() != req.Same {
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
