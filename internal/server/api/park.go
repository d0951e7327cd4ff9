package api

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"runtime/debug"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/trusch/jamesd/internal/server/fleet"
	"github.com/trusch/jamesd/internal/server/parking"
	"github.com/trusch/jamesd/pkg/james"
)

// Serve serves the connections of l, which are those of TLS, with a server of NewServer
// until it is shut down. lot is that of the handler's Options, or nil.
func Serve(srv *http.Server, l net.Listener, lot *parking.Lot) error {
	if lot != nil {
		l = lot.Listener(l)
	}
	return srv.Serve(l)
}

// parked is a poll that is held, and its connection taken away from net/http. Of the
// request it keeps what the answer and the log need.
type parked struct {
	api    *handler
	id     string
	start  time.Time
	caller caller
	route  *Route
	remote string
	in     int64

	mu    sync.Mutex
	held  *fleet.Held
	conn  net.Conn
	place *parking.Place      // nil until it is parked
	early *james.PollResponse // the answer that came before
	last  bool                // the connection cannot be used again
}

// park answers a poll that may be held, or lets go of its connection until there is
// an answer.
func (c *call) park(ctx context.Context, f *fleet.Fleet, req *james.PollRequest) error {
	p := &parked{api: c.api, id: c.id, start: c.start, caller: c.caller, route: c.route, remote: c.r.RemoteAddr, in: c.body.read}
	resp, held, err := f.HoldPoll(ctx, c.caller.name, *req, p.answer)
	if err != nil {
		return err
	}
	if held == nil {
		return c.answerPoll(&resp)
	}
	conn, rw, err := c.ctl.Hijack()
	if err != nil {
		held.GiveUp()
		return james.Errorf(james.KindInternal, "", "the connection cannot be parked: %w", err)
	}
	c.parked = true
	p.begin(held, conn, rw.Reader.Buffered() > 0)
	return nil
}

// begin parks the connection. A client that has sent more than the poll, which none of
// ours does, is answered, and has to connect again.
func (p *parked) begin(held *fleet.Held, conn net.Conn, last bool) {
	p.mu.Lock()
	p.held, p.conn, p.last = held, conn, last
	place, err := p.api.o.Lot.Park(conn, p.gone)
	p.place = place
	early := p.early
	p.mu.Unlock()
	switch {
	case err != nil:
		held.GiveUp()
		conn.Close()
		p.api.o.Log.WithError(err).WithField("request", p.id).Warn("a held poll cannot be parked")
	case early != nil:
		p.finish(early)
	}
}

// answer takes the answer from the fleet.
func (p *parked) answer(resp james.PollResponse) {
	p.mu.Lock()
	ready := p.place != nil
	if !ready {
		p.early = &resp
	}
	p.mu.Unlock()
	if ready {
		p.finish(&resp)
	}
}

// gone ends the poll of a device that has hung up.
func (p *parked) gone() {
	p.mu.Lock()
	held, place := p.held, p.place
	p.mu.Unlock()
	if !held.GiveUp() {
		return // the answer is on its way, and finds out
	}
	place.Leave()
	p.conn.Close()
	c := p.call(newAnswer())
	c.fail(cannot(p.route.Op, "", james.Errorf(james.KindInterrupted, "", "the device hung up while its poll was held")))
	c.account()
}

// finish writes the answer, and parks the connection until its next request.
func (p *parked) finish(resp *james.PollResponse) {
	w := newAnswer()
	if p.write(w, resp) && p.send(w) == nil && !p.last {
		p.place.Return(idleTimeout)
		return
	}
	p.place.Leave()
	p.conn.Close()
}

func (p *parked) send(w *answer) error {
	p.conn.SetWriteDeadline(time.Now().Add(p.api.o.Stall))
	if _, err := p.conn.Write(w.bytes()); err != nil {
		return err
	}
	return p.conn.SetWriteDeadline(time.Time{})
}

// write makes the answer, and logs and counts it. No server stands behind it, so it
// recovers from a panic itself.
func (p *parked) write(w *answer, resp *james.PollResponse) (ok bool) {
	c := p.call(w)
	defer func() {
		if fault := recover(); fault != nil {
			p.api.o.Log.WithFields(logrus.Fields{"request": p.id, "panic": fault, "stack": string(debug.Stack())}).Error("request panicked")
		}
	}()
	if err := c.answerPoll(resp); err != nil {
		c.fail(cannot(p.route.Op, "", err))
	}
	c.account()
	return true
}

// call returns a call whose answer goes to w.
func (p *parked) call(w *answer) *call {
	w.header["X-Request-Id"] = []string{p.id}
	r := &http.Request{Method: p.route.Method, URL: &url.URL{Path: p.route.Path}, RemoteAddr: p.remote}
	c := &call{w: w, r: r, ctl: *http.NewResponseController(w), api: p.api, id: p.id, start: p.start, caller: p.caller, route: p.route}
	c.body.read, c.body.err = p.in, io.EOF
	return c
}

// answer is an answer as it goes out, whole.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func newAnswer() *answer { return &answer{header: make(http.Header), status: http.StatusOK} }

// Header implements http.ResponseWriter.
func (a *answer) Header() http.Header { return a.header }

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(status int) { a.status = status }

// Write implements http.ResponseWriter.
func (a *answer) Write(p []byte) (int, error) { return a.body.Write(p) }

// SetWriteDeadline lets a call set the deadlines that it always does; the one that
// counts is that of the connection.
func (a *answer) SetWriteDeadline(time.Time) error { return nil }

func (a *answer) bytes() []byte {
	var out bytes.Buffer
	fmt.Fprintf(&out, "HTTP/1.1 %d %s\r\n", a.status, http.StatusText(a.status))
	a.header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	a.header.Write(&out)
	out.WriteString("\r\n")
	out.Write(a.body.Bytes())
	return out.Bytes()
}
