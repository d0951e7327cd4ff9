package client

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/trusch/jamesd/pkg/james"
)

// request is one call of the API.
type request struct {
	op, subject  string // as the server names them in its errors
	method, path string
	query        url.Values
	header       http.Header
	mediaType    string
	body         []byte
	stream       io.Reader     // in place of body; can be sent once
	wait         time.Duration // that the server may take beyond Options.Timeout
	once         bool          // never tried again
	known        bool          // the answer may be that what the header names is what there is
	limit        int64         // of the answer, in bytes; 0 for maxAnswer
}

// Limits of answers, in bytes.
const (
	maxAnswer  = 16 << 20
	maxList    = 512 << 20
	maxProblem = 1 << 20
)

// call carries out r and decodes the answer into out, which may be nil.
func (c *Client) call(ctx context.Context, r request, out any) (http.Header, error) {
	var header http.Header
	err := c.retry(ctx, &r, func() error {
		resp, err := c.send(ctx, &r)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		header = resp.Header
		return c.decode(resp, &r, out)
	})
	return header, err
}

// send returns the answer to r if it is a success. The body must be closed.
func (c *Client) send(ctx context.Context, r *request) (*http.Response, error) {
	id, start := c.ids.next(), time.Now()
	resp, err := c.answered(ctx, r, id)
	x := Exchange{Request: id, Method: r.method, Path: r.path, Took: time.Since(start), Err: err}
	if resp != nil {
		x.Status = resp.StatusCode
	}
	c.o.Observe(x)
	if err != nil {
		return nil, err
	}
	return resp, nil
}

// answered returns the answer to r, and with an error as well, where that is what it
// tells of.
func (c *Client) answered(ctx context.Context, r *request, id string) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	resp, sent, err := c.exchange(ctx, cancel, r, id)
	if err != nil {
		err = c.explain(because(ctx, err))
		cancel(nil)
		if sent {
			err = inRequest(err, id)
		}
		return nil, err
	}
	resp.Body = &answer{ctx: ctx, cancel: cancel, src: resp.Body, client: c, id: id}
	if resp.StatusCode < 300 || resp.StatusCode == http.StatusNotModified && r.known {
		return resp, nil
	}
	defer resp.Body.Close()
	return resp, inRequest(c.problem(resp), id)
}

// exchange sends the request and waits for the header of the answer. It reports whether
// the request got out.
func (c *Client) exchange(ctx context.Context, cancel context.CancelCauseFunc, r *request, id string) (_ *http.Response, sent bool, _ error) {
	var answered, out atomic.Bool
	defer answered.Store(true)
	timer := time.AfterFunc(time.Hour, func() {
		if !answered.Load() {
			cancel(errNoAnswer)
		}
	})
	timer.Stop()
	defer timer.Stop()
	// The time for the answer begins when the request is out, however long that takes.
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		WroteRequest: func(w httptrace.WroteRequestInfo) {
			out.Store(w.Err == nil)
			timer.Reset(c.o.Timeout + r.wait)
		},
	})
	req, err := c.build(ctx, r)
	if err != nil {
		return nil, false, james.Errorf(james.KindInvalid, c.o.Addr, "%w", err)
	}
	req.Header[james.HeaderRequestID] = []string{id}
	resp, err := c.transport.RoundTrip(req)
	if err == nil && ctx.Err() != nil { // it came after the client had given up, and may say nothing
		resp.Body.Close()
		return nil, out.Load(), ctx.Err()
	}
	return resp, out.Load(), err
}

func (c *Client) build(ctx context.Context, r *request) (*http.Request, error) {
	var body io.Reader
	switch {
	case r.stream != nil:
		body = r.stream
	case r.body != nil:
		body = bytes.NewReader(r.body)
	}
	target := url.URL{Scheme: "https", Host: c.o.Addr, Path: r.path, RawQuery: r.query.Encode()}
	req, err := http.NewRequestWithContext(ctx, r.method, target.String(), body)
	if err != nil {
		return nil, err
	}
	for name, values := range r.header {
		req.Header[name] = values
	}
	req.Header.Set("User-Agent", c.o.UserAgent)
	if c.device != "" {
		req.Header.Set(james.HeaderDevice, c.device)
	}
	if r.mediaType != "" {
		req.Header.Set("Content-Type", r.mediaType)
	}
	return req, nil
}

// decode reads the answer to its end, so that the connection can be used again.
func (c *Client) decode(resp *http.Response, r *request, out any) error {
	if resp.StatusCode == http.StatusNoContent || out == nil {
		return nil
	}
	limit := r.limit
	if limit == 0 {
		limit = maxAnswer
	}
	src := &io.LimitedReader{R: resp.Body, N: limit + 1}
	err := json.NewDecoder(src).Decode(out)
	if err == nil {
		_, err = io.Copy(io.Discard, src)
	}
	switch {
	case src.N <= 0:
		return james.Errorf(james.KindCorrupt, c.o.Addr, "the answer is larger than %d bytes", limit)
	case failed(resp.Body) != nil:
		return failed(resp.Body)
	case err != nil:
		return james.Errorf(james.KindCorrupt, c.o.Addr, "the answer is malformed: %w", err)
	}
	return nil
}

// encode returns v as a body.
func encode(v any) []byte {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err) // the types of package james have no value that cannot be encoded
	}
	return raw
}
