package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/trusch/jamesd/pkg/james"
)

// Devices returns all devices that have polled or have a desired state.
func (c *Client) Devices(ctx context.Context) ([]james.DeviceStatus, error) {
	var devices []james.DeviceStatus
	_, err := c.call(ctx, request{op: "list devices", method: http.MethodGet, path: "/v1/devices", limit: maxList}, &devices)
	return devices, err
}

// Device returns a device. It fails with KindNotFound.
func (c *Client) Device(ctx context.Context, id string) (james.DeviceStatus, error) {
	return device[james.DeviceStatus](ctx, c, "get device", http.MethodGet, id, "", nil)
}

// DeleteDevice makes the server forget a device, until it polls again. It fails
// with KindNotFound.
func (c *Client) DeleteDevice(ctx context.Context, id string) error {
	_, err := device[struct{}](ctx, c, "delete device", http.MethodDelete, id, "", nil)
	return err
}

// State returns the state that a device reported. It fails with KindNotFound.
func (c *Client) State(ctx context.Context, id string) (james.State, error) {
	return device[james.State](ctx, c, "get the state of", http.MethodGet, id, "/state", nil)
}

// Desired returns a device's desired state with its history. It fails with
// KindNotFound where there is none.
func (c *Client) Desired(ctx context.Context, id string) (james.Desired, error) {
	return device[james.Desired](ctx, c, "get the desired state of", http.MethodGet, id, "/desired", nil)
}

// SetDesired sets the desired state of the device that req.State names.
func (c *Client) SetDesired(ctx context.Context, req james.SetDesiredRequest) (james.SetDesiredResponse, error) {
	return device[james.SetDesiredResponse](ctx, c, "set the desired state of", http.MethodPut, req.State.ID, "/desired", encode(req))
}

// DeleteDesired removes a device's desired state: it is then left alone. It
// fails with KindNotFound where there is none.
func (c *Client) DeleteDesired(ctx context.Context, id string) error {
	_, err := device[struct{}](ctx, c, "delete the desired state of", http.MethodDelete, id, "/desired", nil)
	return err
}

// Plan returns what a device has to do, and how its apps resolve.
func (c *Client) Plan(ctx context.Context, id string) (james.PlanResponse, error) {
	return device[james.PlanResponse](ctx, c, "get the plan of", http.MethodGet, id, "/plan", nil)
}

// Status returns the fleet at a glance.
func (c *Client) Status(ctx context.Context) (james.FleetStatus, error) {
	var s james.FleetStatus
	_, err := c.call(ctx, request{op: "get the status of the fleet", method: http.MethodGet, path: "/v1/status"}, &s)
	return s, err
}

// Events returns the oldest limit events after the one of that number; 0 stands
// for the beginning, and a limit of 0 for what the server finds reasonable. Where there
// is none, the server holds the request up to wait, in whole seconds and at most
// james.MaxWait, and answers with none after that.
func (c *Client) Events(ctx context.Context, after uint64, limit int, wait time.Duration) ([]james.Event, error) {
	r := request{op: "list events", method: http.MethodGet, path: "/v1/events", query: url.Values{}, limit: maxList, wait: wait}
	if seconds := int(wait / time.Second); seconds > 0 {
		r.query.Set("wait", strconv.Itoa(seconds))
	}
	if after > 0 {
		r.query.Set("after", strconv.FormatUint(after, 10))
	}
	if limit > 0 {
		r.query.Set("limit", strconv.Itoa(limit))
	}
	var events []james.Event
	_, err := c.call(ctx, r, &events)
	return events, err
}

// device carries out a request about a device or a part of it.
func device[T any](ctx context.Context, c *Client, op, method, id, part string, body []byte) (out T, err error) {
	r := request{op: op, subject: id, method: method, path: "/v1/devices/" + id + part, body: body}
	if err := james.CheckDeviceID(id); err != nil {
		return out, named(&r, err)
	}
	if body != nil {
		r.mediaType = "application/json"
	}
	_, err = c.call(ctx, r, &out)
	return out, err
}
