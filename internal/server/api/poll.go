package api

import (
	"strconv"

	"github.com/trusch/jamesd/internal/server/fleet"
	"github.com/trusch/jamesd/pkg/james"
)

// poll answers 204 when there is nothing to do. It may hold the request; the
// device hanging up ends that.
func poll(c *call, f *fleet.Fleet) error {
	var req james.PollRequest
	if err := c.decode(&req); err != nil {
		return err
	}
	resp, err := f.Poll(c.r.Context(), c.caller.name, req)
	if err != nil {
		return err
	}
	h := c.Header()
	h.Set(james.HeaderPollInterval, strconv.Itoa(resp.Interval))
	h.Set(james.HeaderPollPause, strconv.FormatFloat(resp.Pause.Seconds(), 'f', 3, 64))
	h.Set(james.HeaderRevision, strconv.FormatUint(resp.Revision, 10))
	if resp.Dropped {
		h.Set(james.HeaderPlan, james.PlanNone)
	}
	if resp.Plan == nil && !resp.Resend {
		return c.done(nil)
	}
	return c.result(resp, nil)
}

func hearProgress(c *call, f *fleet.Fleet) error {
	var p james.Progress
	if err := c.decode(&p); err != nil {
		return err
	}
	return c.done(f.Progress(c.caller.name, p))
}

func report(c *call, f *fleet.Fleet) error {
	var r james.Report
	if err := c.decode(&r); err != nil {
		return err
	}
	return c.done(f.Report(c.r.Context(), c.caller.name, r))
}
