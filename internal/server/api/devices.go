package api

import (
	"math"
	"time"

	"github.com/trusch/jamesd/internal/server/fleet"
	"github.com/trusch/jamesd/pkg/james"
)

// Events in one answer.
const (
	standardEvents = 100
	maxEvents      = 10_000
)

func listDevices(c *call, f *fleet.Fleet) error {
	all, err := f.Devices(c.r.Context())
	return list(c, all, err)
}

func getDevice(c *call, f *fleet.Fleet) error {
	d, err := f.Device(c.r.Context(), c.device)
	return c.result(d, err)
}

func deleteDevice(c *call, f *fleet.Fleet) error {
	return c.done(f.DeleteDevice(c.r.Context(), c.caller.name, c.device))
}

func getState(c *call, f *fleet.Fleet) error {
	s, err := f.State(c.device)
	return c.result(s, err)
}

func getDesired(c *call, f *fleet.Fleet) error {
	d, err := f.Desired(c.r.Context(), c.device)
	return c.result(d, err)
}

func setDesired(c *call, f *fleet.Fleet) error {
	var req james.SetDesiredRequest
	if err := c.decode(&req); err != nil {
		return err
	}
	if req.State.ID != c.device {
		return james.Errorf(james.KindInvalid, "", "the state in the body is that of %.80q", req.State.ID)
	}
	resp, err := f.SetDesired(c.r.Context(), c.caller.name, req)
	return c.result(resp, err)
}

func deleteDesired(c *call, f *fleet.Fleet) error {
	return c.done(f.DeleteDesired(c.r.Context(), c.caller.name, c.device))
}

func getPlan(c *call, f *fleet.Fleet) error {
	p, err := f.Plan(c.device)
	if err != nil {
		return err
	}
	if p.Explanations == nil {
		p.Explanations = []james.Explanation{}
	}
	return c.result(p, nil)
}

func getStatus(c *call, f *fleet.Fleet) error {
	s, err := f.Overview(c.r.Context())
	return c.result(s, err)
}

func listEvents(c *call, f *fleet.Fleet) error {
	after, err := c.number("after", 0, math.MaxUint64)
	if err != nil {
		return err
	}
	limit, err := c.number("limit", standardEvents, maxEvents)
	if err != nil {
		return err
	}
	wait, err := c.number("wait", 0, uint64(james.MaxWait/time.Second))
	if err != nil {
		return err
	}
	events, err := f.Events(c.r.Context(), after, int(limit), time.Duration(wait)*time.Second)
	return list(c, events, err)
}
