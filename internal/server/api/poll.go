package api

import (
	"bytes"
	"io"
	"strconv"
	"sync"

	"github.com/trusch/jamesd/internal/server/fleet"
	"github.com/trusch/jamesd/pkg/james"
)

// poll answers 204 when there is nothing to do. It may hold the request; the
// device hanging up ends that.
func poll(c *call, f *fleet.Fleet) error {
	req := &c.poll
	if err := c.decodePoll(req); err != nil {
		return err
	}
	ctx := c.r.Context()
	if req.Report != nil { // it may make events
		ctx = fleet.WithRequest(ctx, c.id)
	}
	if req.Wait > 0 && c.api.o.Lot != nil {
		return c.park(ctx, f, req)
	}
	if req.Wait > 0 {
		c.rest() // it is held
	}
	resp, err := f.Poll(ctx, c.caller.name, *req)
	if err != nil {
		return err
	}
	return c.answerPoll(&resp)
}

func (c *call) answerPoll(resp *james.PollResponse) error {
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

// idlePoll is more than the body of a poll has, in bytes, whose report the server
// knows.
const idlePoll = 256

var pollBuffers = sync.Pool{New: func() any { return new([idlePoll]byte) }}

// decodePoll reads the body of a poll. Nearly all polls of a fleet say that nothing
// is new, all in the same words.
func (c *call) decodePoll(req *james.PollRequest) error {
	if c.body.length < 0 || c.body.length > idlePoll {
		return c.decode(req)
	}
	if err := c.mediaType("application/json"); err != nil {
		return err
	}
	buf := pollBuffers.Get().(*[idlePoll]byte)
	defer pollBuffers.Put(buf)
	raw := buf[:c.body.length]
	if _, err := io.ReadFull(&c.body, raw); err != nil {
		return c.because(malformed(err))
	}
	if !parseIdlePoll(raw, req) {
		*req = james.PollRequest{}
		if err := decodeJSON(bytes.NewReader(raw), req); err != nil {
			return err
		}
	}
	return c.work()
}

// parseIdlePoll reads a poll without a report in the form in which encoding/json
// writes it, and reports whether it has that.
func parseIdlePoll(raw []byte, req *james.PollRequest) bool {
	rest, ok := cutDigest(raw, `{"same":"`, &req.Same)
	if !ok {
		return false
	}
	if after, ok := cutDigest(rest, `,"known":"`, &req.Known); ok {
		rest = after
	}
	if after, n, ok := cutNumber(rest, `,"known_revision":`); ok {
		rest, req.KnownRevision = after, n
	}
	if after, n, ok := cutNumber(rest, `,"wait":`); ok {
		rest, req.Wait = after, int(n)
	}
	return string(rest) == "}"
}

// cutDigest reads a digest in quotes after the prefix.
func cutDigest(raw []byte, prefix string, d *james.Digest) (rest []byte, ok bool) {
	rest, ok = bytes.CutPrefix(raw, []byte(prefix))
	if size := 2 * len(d); !ok || len(rest) <= size || rest[size] != '"' || d.UnmarshalText(rest[:size]) != nil {
		return raw, false
	}
	return rest[2*len(d)+1:], true
}

// maxDigits keeps what cutNumber reads within every type of number.
const maxDigits = 9

// cutNumber reads a number without a sign after the prefix.
func cutNumber(raw []byte, prefix string) (rest []byte, n uint64, ok bool) {
	rest, ok = bytes.CutPrefix(raw, []byte(prefix))
	if !ok || len(rest) == 0 || rest[0] < '1' || rest[0] > '9' {
		return raw, 0, false
	}
	for i, c := range rest {
		if c < '0' || c > '9' || i == maxDigits {
			return rest[i:], n, i < maxDigits
		}
		n = 10*n + uint64(c-'0')
	}
	return nil, n, true
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
