package api

import (
	"fmt"
	"net/http"
	"time"

	"github.com/trusch/jamesd/internal/server/limit"
	"github.com/trusch/jamesd/pkg/james"
)

// How long who met a limit stays away at least, and how long a device that sends too many
// requests waits for each answer that says so.
const (
	afterTransfers = 5 * time.Second
	afterBusy      = 2 * time.Second
	afterFlood     = 500 * time.Millisecond
)

// limit refuses what is too much of a device. Admins are not limited, and a site's cache is
// not, which asks for many; what they are sent counts towards the rate of all.
func (c *call) limit() error {
	t := c.api.o.Limits
	if t == nil {
		return nil
	}
	if c.caller.role != Device {
		if c.route.heavy() {
			c.pace = t.PaceOther()
		}
		return nil
	}
	c.limits, c.limited = t, c.caller.name
	if r, after := t.Request(c.limited); r != limit.Allowed {
		c.dawdle()
		return c.met(r, max(after, time.Second))
	}
	if c.route.MaxBody == 0 {
		if err := c.work(); err != nil {
			return err
		}
	}
	if !c.route.heavy() {
		return nil
	}
	return c.limitTransfer()
}

func (c *call) limitTransfer() error {
	if c.route.transfer {
		if r := c.limits.Begin(c.limited); r != limit.Allowed {
			return c.met(r, afterTransfers)
		}
		c.transfer = true
	}
	var r limit.Reason
	if c.pace, r = c.limits.Pace(c.limited); r != limit.Allowed {
		return c.met(r, afterTransfers)
	}
	return nil
}

// work counts the request among those that are worked on. It is called when all of it has
// come: who is waited for takes no place.
func (c *call) work() error {
	if c.limits == nil || c.working {
		return nil
	}
	if r := c.limits.Work(); r != limit.Allowed {
		return c.met(r, afterBusy)
	}
	c.working = true
	return nil
}

// rest ends what work has begun: the answer is known, or has to wait for something.
func (c *call) rest() {
	if c.working {
		c.working = false
		c.limits.Rest()
	}
}

// met returns the answer to who has met a limit: 429 where it is one of his own, 503 where it
// is one of all.
func (c *call) met(r limit.Reason, after time.Duration) error {
	err := james.Errorf(james.KindUnavailable, "", "%s", c.tooMuch(r)).
		WithAfter(after).WithHint("It is the limit --%s of jamesd.", r)
	switch r {
	case limit.DeviceRequests, limit.DeviceBodies, limit.DeviceTransfers:
		return &refusal{http.StatusTooManyRequests, err}
	}
	return err
}

func (c *call) tooMuch(r limit.Reason) string {
	switch r {
	case limit.DeviceRequests:
		return c.limited + " sends too many requests"
	case limit.DeviceBodies:
		return "the requests of " + c.limited + " bring too much at a time"
	case limit.DeviceTransfers:
		return c.limited + " has too many transfers at a time"
	case limit.Requests:
		return "devices send too many requests"
	case limit.Concurrent:
		return "there are too many requests at a time"
	case limit.Bodies:
		return "the requests of devices bring too much at a time"
	case limit.Transfers:
		return "there are too many transfers at a time"
	case limit.Rate:
		return "there are so many transfers that another one would get nowhere"
	}
	return fmt.Sprintf("there is too much of it (%s)", r)
}

// dawdle makes a device that floods wait, so that refusing costs little.
func (c *call) dawdle() {
	timer := time.NewTimer(afterFlood)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-c.r.Context().Done():
	}
}

// release ends what limit has begun.
func (c *call) release() {
	c.rest()
	if c.held > 0 {
		c.limits.Drop(c.limited, c.held)
		c.held = 0
	}
	if c.transfer {
		c.transfer = false
		c.limits.End(c.limited)
	}
	c.pace.Close()
	c.pace = nil
}
