package client

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/trusch/jamesd/pkg/james"
)

// Poll tells the server what the device is and has, and returns what it is to
// do. The server may hold it for req.Wait seconds. It is not retried.
func (c *Client) Poll(ctx context.Context, req james.PollRequest) (james.PollResponse, error) {
	var resp james.PollResponse
	r := request{
		op: "poll", method: http.MethodPost, path: "/v1/poll", mediaType: "application/json", body: encode(req),
		wait: time.Duration(req.Wait) * time.Second, once: true,
	}
	header, err := c.call(ctx, r, &resp)
	if err != nil {
		return james.PollResponse{}, err
	}
	resp.Dropped, resp.Request = header.Get(james.HeaderPlan) == james.PlanNone, requestOf(header)
	if err = pollHeaders(header, &resp); err != nil {
		return james.PollResponse{}, named(&r, james.Errorf(james.KindCorrupt, c.o.Addr, "the answer is malformed: %w", err))
	}
	return resp, nil
}

func pollHeaders(h http.Header, resp *james.PollResponse) (err error) {
	if v := h.Get(james.HeaderPollInterval); v != "" {
		if resp.Interval, err = strconv.Atoi(v); err != nil {
			return err
		}
	}
	if v := h.Get(james.HeaderPollPause); v != "" {
		if resp.Pause, err = time.ParseDuration(v + "s"); err != nil {
			return err
		}
	}
	if v := h.Get(james.HeaderRevision); v != "" {
		resp.Revision, err = strconv.ParseUint(v, 10, 64)
	}
	return err
}

// Progress tells the server how far the device is with a plan. It is not retried.
func (c *Client) Progress(ctx context.Context, p james.Progress) error {
	_, err := c.call(ctx, request{
		op: "tell the progress of a plan", method: http.MethodPost, path: "/v1/progress",
		mediaType: "application/json", body: encode(p), once: true,
	}, nil)
	return err
}

// Report tells the server how a plan went. It is not retried.
func (c *Client) Report(ctx context.Context, report james.Report) error {
	_, err := c.call(ctx, request{
		op: "report a transaction", method: http.MethodPost, path: "/v1/reports",
		mediaType: "application/json", body: encode(report), once: true,
	}, nil)
	return err
}
