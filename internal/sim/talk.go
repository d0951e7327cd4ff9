package sim

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/trusch/jamesd/internal/backoff"
	"github.com/trusch/jamesd/internal/sim/wire"
	"github.com/trusch/jamesd/pkg/james"
)

// connect returns the connection of the device, which it makes where there is none.
func (d *device) connect(ctx context.Context) (*wire.Conn, error) {
	d.mu.Lock()
	c := d.conn
	d.mu.Unlock()
	if c != nil {
		return c, nil
	}
	f := d.fleet
	if err := f.enter(ctx); err != nil {
		return nil, err
	}
	c, err := f.dialer.Dial(ctx, d.tls, d.from, d.role == slow)
	if err != nil {
		f.leave()
		return nil, err
	}
	d.m.took(handshakeOf(c), c.Took())
	d.m.connect()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.conn, d.used = c, time.Time{}
	return c, ctx.Err()
}

func handshakeOf(c *wire.Conn) kind {
	if c.Resumed() {
		return handshakeResumed
	}
	return handshakeFull
}

// close closes the connection, if there is one.
func (d *device) close() { d.end((*wire.Conn).Close) }

// drop gives up a connection that has failed.
func (d *device) drop() { d.end((*wire.Conn).Reset) }

func (d *device) end(how func(*wire.Conn)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.conn != nil {
		how(d.conn)
		d.conn = nil
		d.m.connected.Add(-1)
		d.fleet.leave()
	}
}

// stormed resets the connection as part of s, and reports whether there was one.
func (d *device) stormed(s *storm) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.conn == nil {
		return false
	}
	if d.storm == nil {
		s.left.Add(1)
		d.storm = s
	}
	d.conn.Reset() // the device finds that out
	return true
}

// request is one that a device makes.
type request struct {
	method, path string
	body         []byte
	header       []string
	wait         time.Duration // that the server may take beyond --timeout
	kind         kind
	poll         bool
}

// ask makes a request and reads the answer by use, which is handed a successful one.
// What became of a connection while nothing was on it is no failure: a client notices
// that, and connects again.
func (d *device) ask(ctx context.Context, r *request, use func(wire.Answer, io.Reader) error) error {
	idle := !d.used.IsZero() && time.Since(d.used) > time.Second
	begun := time.Now()
	err := d.exchange(ctx, r, use)
	if idle && err != nil && ctx.Err() == nil && lostConnection(err) && time.Since(begun) < time.Second {
		d.drop()
		err = d.exchange(ctx, r, use)
	}
	return err
}

func (d *device) exchange(ctx context.Context, r *request, use func(wire.Answer, io.Reader) error) error {
	c, err := d.connect(ctx)
	if err != nil {
		return err
	}
	f := d.fleet
	begun := time.Now()
	if err := errors.Join(c.Within(f.s.timeout+r.wait), c.Send(wire.Encode(r.method, r.path, f.s.addr, f.agent, r.body, r.header...))); err != nil {
		return err
	}
	if r.poll {
		d.arrived()
		d.m.asking.Add(1)
		defer d.m.asking.Add(-1)
	}
	a, err := c.Receive()
	if err != nil {
		return err
	}
	d.heard()
	body := d.paced(ctx, c.Body())
	if a.Status >= 400 {
		err = problem(a, body)
	} else {
		err = use(a, body)
		d.m.took(r.kind, time.Since(begun))
	}
	if a.Last || f.s.keepAlive == 0 {
		d.close()
	}
	d.used = time.Now()
	return err
}

// arrived notes that the device has asked again after a storm.
func (d *device) arrived() {
	d.mu.Lock()
	s := d.storm
	d.storm = nil
	d.mu.Unlock()
	if s != nil {
		s.back()
	}
}

// heard notes that the server answered.
func (d *device) heard() {
	d.tries, d.answered = 0, true
}

// maxProblem bounds an answer that is an error, maxPlan a plan, in bytes.
const (
	maxProblem = 64 << 10
	maxPlan    = 16 << 20
)

// problem returns the error that an answer tells of.
func problem(a wire.Answer, body io.Reader) error {
	raw, err := io.ReadAll(io.LimitReader(body, maxProblem))
	if err != nil {
		return err
	}
	var p james.ProblemDetails
	if json.Unmarshal(raw, &p) != nil {
		p.Kind = ""
	}
	return &refusal{a.Status, james.Errorf(p.Kind, "server", "%s", p.Detail).WithAfter(a.RetryAfter)}
}

// poll asks the server what to do. It sends the whole report where the server does
// not have it, and its digest otherwise.
func (d *device) poll(ctx context.Context, known try) (james.PollResponse, error) {
	report := james.DeviceReport{SystemTags: d.tags, Apps: d.apps, Revision: d.revision, Agent: d.fleet.agent}
	digest := report.Digest()
	hold := d.hold()
	req := james.PollRequest{Known: known.plan, KnownRevision: known.revision, Wait: int(hold / time.Second)}
	if d.acked == digest {
		req.Same = digest
	} else {
		req.Report = &report
	}
	answer, err := d.sendPoll(ctx, &req, hold)
	if err == nil && answer.Resend && req.Report == nil {
		req.Same, req.Report = james.Digest{}, &report
		answer, err = d.sendPoll(ctx, &req, hold)
	}
	if err != nil {
		return answer, err
	}
	d.acked = digest
	d.pace(answer)
	return answer, nil
}

// pace notes when the next poll is due.
func (d *device) pace(answer james.PollResponse) {
	d.turn = time.Time{}
	switch {
	case d.fleet.s.interval > 0:
		d.interval = backoff.Spread(d.fleet.s.interval, d.fleet.rand)
		return
	case answer.Interval > 0:
		d.interval = time.Duration(answer.Interval) * time.Second
	}
	if answer.Pause > 0 {
		d.turn = time.Now().Add(answer.Pause)
	}
}

func (d *device) sendPoll(ctx context.Context, req *james.PollRequest, hold time.Duration) (james.PollResponse, error) {
	r := &request{method: http.MethodPost, path: "/v1/poll", body: encode(req), wait: hold, kind: pollKind, poll: true}
	if hold > 0 {
		r.kind = heldKind
	}
	var answer james.PollResponse
	err := d.ask(ctx, r, func(a wire.Answer, body io.Reader) error {
		if a.Status != http.StatusNoContent {
			if err := decode(body, &answer); err != nil {
				return err
			}
		}
		answer.Interval, answer.Pause, answer.Revision, answer.Dropped = a.Interval, a.Pause, a.Revision, a.Dropped
		return nil
	})
	if err == nil && answer.Plan != nil {
		d.got(answer.Plan)
	}
	return answer, err
}

// got measures how long a change took until here.
func (d *device) got(plan *james.Plan) {
	d.m.got(plan)
	d.mu.Lock()
	c := d.change
	d.change = change{}
	d.mu.Unlock()
	if !c.begun.IsZero() {
		d.m.took(c.kind, time.Since(c.begun))
	}
}

// deliver sends the report that the server has not got. One that it does not want is
// dropped, as it would not want it the next time either.
func (d *device) deliver(ctx context.Context) error {
	if d.pending == nil {
		return nil
	}
	r := &request{method: http.MethodPost, path: "/v1/reports", body: encode(d.pending), kind: reportKind}
	err := d.ask(ctx, r, func(wire.Answer, io.Reader) error { return nil })
	var refused *refusal
	if errors.As(err, &refused) && !refused.cause.Kind.Retryable() && refused.cause.Kind != "" {
		d.m.lost(nameOf(err))
		err = nil
	}
	if err == nil {
		d.pending = nil
	}
	return err
}

// encode returns v as a body.
func encode(v any) []byte {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err) // the types of package james have no value that cannot be encoded
	}
	return raw
}

// decode reads a body to its end.
func decode(body io.Reader, v any) error {
	raw, err := io.ReadAll(io.LimitReader(body, maxPlan+1))
	if err != nil {
		return err
	}
	if len(raw) > maxPlan {
		return james.Errorf(james.KindCorrupt, "answer", "has more than %d bytes", maxPlan)
	}
	if err := json.Unmarshal(raw, v); err != nil {
		return james.Errorf(james.KindCorrupt, "answer", "is malformed: %w", err)
	}
	return nil
}
