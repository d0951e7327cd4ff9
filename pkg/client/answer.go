package client

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"time"

	"github.com/trusch/jamesd/pkg/james"
)

// answer is the body of an answer. Reading it fails when nothing comes for
// Options.Stall, and its errors are those of package james.
type answer struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	src    io.ReadCloser
	client *Client
	id     string // of the request
	err    error  // other than io.EOF
}

func (a *answer) Read(p []byte) (int, error) {
	timer := time.AfterFunc(a.client.o.Stall, func() { a.cancel(errStalled) })
	n, err := a.src.Read(p)
	timer.Stop()
	// The end of an answer that was given up is what the server makes of that.
	if err != nil && (err != io.EOF || a.ctx.Err() != nil) {
		err = inRequest(a.client.explain(because(a.ctx, err)), a.id)
		a.err = err
	}
	return n, err
}

func (a *answer) Close() error {
	err := a.src.Close()
	a.cancel(nil)
	return err
}

// failed returns why a body could not be read to its end, or nil.
func failed(body io.Reader) error {
	if a, ok := body.(*answer); ok && a.err != nil {
		return a.err
	}
	return nil
}

// problem returns the error that an answer tells of.
func (c *Client) problem(resp *http.Response) error {
	mediaType, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if mediaType != "application/problem+json" {
		return c.foreign(resp)
	}
	var p james.ProblemDetails
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxProblem)).Decode(&p); err != nil {
		if failed(resp.Body) != nil {
			return failed(resp.Body)
		}
		return c.foreign(resp)
	}
	io.Copy(io.Discard, io.LimitReader(resp.Body, maxProblem)) // the connection is used again
	if p.Kind == "" {
		return c.foreign(resp)
	}
	return &james.Error{Op: p.Op, Kind: p.Kind, Subject: p.Subject, Err: raised(p.Detail), Hint: p.Hint, After: afterOf(resp.Header)}
}

// raised is what a jamesd says of an error of its own.
type raised string

func (r raised) Error() string { return string(r) }

// Answered reports whether err is one that a jamesd raised and answered with, so
// that the connection to it works and both sides have taken the other's
// certificate.
func Answered(err error) bool {
	var r raised
	return errors.As(err, &r)
}

// foreign is about an answer that no jamesd gives: a proxy or another service
// is in its place.
func (c *Client) foreign(resp *http.Response) error {
	kind := james.KindInternal
	switch resp.StatusCode {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout, http.StatusTooManyRequests:
		kind = james.KindUnavailable
	case http.StatusPreconditionFailed:
		kind = james.KindConflict
	}
	return james.Errorf(kind, c.o.Addr, "it answered %q, which is not how a jamesd answers", resp.Status).
		WithHint("Is there a jamesd at this address, or something in between?").WithAfter(afterOf(resp.Header))
}
