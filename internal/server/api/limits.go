package api

import (
	"net/http"
	"time"

	"github.com/trusch/jamesd/internal/server/limit"
	"github.com/trusch/jamesd/pkg/james"
)

// How long who met a limit stays away at least, and how long a device that sends too many
// requests waits for each answer that says so.
const (
	afterTransfers = 5 * time.Second
	afterFlood     = 500 * time.Millisecond
)

// limit refuses what is too much of a device. Admins are not limited, and a site's cache is
// not, which asks for many.
func (c *call) limit() error {
	t := c.api.o.Limits
	if t == nil || c.caller.role != Device {
		return nil
	}
	if r, after := t.Request(c.caller.name); r != limit.Allowed {
		c.dawdle()
		return &refusal{http.StatusTooManyRequests, james.Errorf(james.KindUnavailable, "", "%s sends too many requests", c.caller.name).
			WithAfter(max(after, time.Second)).WithHint("It is the limit --device-requests of jamesd.")}
	}
	if !c.route.transfer {
		return nil
	}
	switch t.Begin(c.caller.name) {
	case limit.DeviceTransfers:
		return &refusal{http.StatusTooManyRequests, james.Errorf(james.KindUnavailable, "", "%s has too many transfers at a time", c.caller.name).
			WithAfter(afterTransfers).WithHint("It is the limit --device-transfers of jamesd.")}
	case limit.Transfers:
		return james.Errorf(james.KindUnavailable, "", "there are too many transfers at a time").
			WithAfter(afterTransfers).WithHint("It is the limit --max-transfers of jamesd.")
	}
	c.transfer = true
	return nil
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
	if c.transfer {
		c.transfer = false
		c.api.o.Limits.End(c.caller.name)
	}
}
