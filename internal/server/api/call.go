package api

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/trusch/jamesd/internal/server/fleet"
	"github.com/trusch/jamesd/internal/server/limit"
	"github.com/trusch/jamesd/internal/server/supply"
	"github.com/trusch/jamesd/pkg/james"
)

// call is one request on its way to its handler and back. It is the
// http.ResponseWriter that http.ServeMux and net/http's helpers write to, and
// sees to it that every error answer is a problem, whoever gives it.
type call struct {
	w      http.ResponseWriter
	r      *http.Request
	ctl    http.ResponseController
	api    *handler
	id     string
	start  time.Time
	caller caller
	route  *Route // nil before it is found
	body   body
	poll   james.PollRequest // of a poll

	device  string       // of the path
	digest  james.Digest // of the path
	subject string       // of the operation
	values  url.Values

	limits   *limit.Table // nil where the caller is not limited
	limited  string       // who is
	transfer bool         // is counted among the transfers
	working  bool         // is counted among the requests that are worked on
	held     int64        // bytes of the body that are counted
	pace     *limit.Pacer // nil where nothing holds the answer up

	status  int
	out     int64
	err     error
	way     Way          // of the contents that go out
	sent    bool         // all of it, to its end
	saved   supply.Saved // by what was sent
	swallow bool         // the rest of an answer that became a problem
	cut     bool         // the answer must not look whole, as it failed in the middle
	parked  bool         // somebody else answers
}

func (h *handler) newCall(w http.ResponseWriter, r *http.Request) *call {
	c := &call{w: w, r: r, ctl: *http.NewResponseController(w), api: h, start: h.o.Now()}
	c.body = body{src: r.Body, ctl: &c.ctl, stall: h.o.Stall, length: r.ContentLength}
	if c.id = r.Header.Get("X-Request-Id"); !saneID(c.id) {
		c.id = h.prefix + strconv.FormatUint(h.count.Add(1), 36)
	}
	w.Header()["X-Request-Id"] = []string{c.id}
	return c
}

// saneID reports whether a client's request id can go into a log as it is.
func saneID(id string) bool {
	if id == "" || len(id) > 64 {
		return false
	}
	for i := range len(id) {
		c := id[i]
		if !('0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '-' || c == '_' || c == '.') {
			return false
		}
	}
	return true
}

// Header implements http.ResponseWriter.
func (c *call) Header() http.Header { return c.w.Header() }

// WriteHeader implements http.ResponseWriter. An error status that a helper of
// net/http gives becomes a problem.
func (c *call) WriteHeader(status int) {
	if c.status != 0 {
		return
	}
	if status < http.StatusBadRequest {
		c.writeHeader(status)
		return
	}
	c.swallow = true
	err := refuse(status, "%s", c.reason(status))
	if c.route != nil {
		err = cannot(c.route.Op, c.subject, err)
	}
	c.fail(err)
}

// reason says what a helper of net/http means by a status.
func (c *call) reason(status int) string {
	switch status {
	case http.StatusNotFound:
		return "there is nothing at " + strconv.Quote(c.r.URL.Path[:min(len(c.r.URL.Path), 200)])
	case http.StatusMethodNotAllowed:
		return strconv.Quote(c.r.URL.Path) + " does not know the method " + strconv.Quote(c.r.Method) + ", only " + c.Header().Get("Allow")
	case http.StatusRequestedRangeNotSatisfiable:
		return "the range lies beyond the end of the content"
	case http.StatusPreconditionFailed:
		return "the content has changed"
	}
	return http.StatusText(status)
}

// Write implements http.ResponseWriter.
func (c *call) Write(p []byte) (int, error) {
	if c.status == 0 {
		c.writeHeader(http.StatusOK)
	}
	if c.swallow {
		return len(p), nil
	}
	return c.write(p)
}

// writeHeader starts the answer. From here on every piece of it that goes out
// has Options.Stall to do so; net/http lifts the deadline after the answer.
func (c *call) writeHeader(status int) {
	c.rest()
	c.status = status
	c.ctl.SetWriteDeadline(time.Now().Add(c.api.o.Stall))
	c.w.WriteHeader(status)
}

func (c *call) write(p []byte) (int, error) {
	if c.pace != nil {
		return c.writePaced(p)
	}
	if c.out > 0 {
		c.ctl.SetWriteDeadline(time.Now().Add(c.api.o.Stall))
	}
	n, err := c.w.Write(p)
	c.out += int64(n)
	return n, err
}

// json answers with v.
func (c *call) json(status int, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return james.Errorf(james.KindInternal, "", "the answer cannot be encoded: %w", err)
	}
	h := c.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(raw)))
	c.writeHeader(status)
	c.write(raw)
	return nil
}

// result answers with v, unless there is an error.
func (c *call) result(v any, err error) error {
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, v)
}

// list answers with items, unless there is an error; none are [], not null.
func list[T any](c *call, items []T, err error) error {
	if items == nil {
		items = []T{}
	}
	return c.result(items, err)
}

// done answers that there is nothing to say, unless there is an error.
func (c *call) done(err error) error {
	if err == nil {
		c.writeHeader(http.StatusNoContent)
	}
	return err
}

// fleet returns the fleet, or fails with KindUnavailable.
func (c *call) fleet() (*fleet.Fleet, error) {
	if f := c.api.o.Fleet(); f != nil {
		return f, nil
	}
	return nil, james.Errorf(james.KindUnavailable, "store", "is not reached yet").
		WithHint("jamesd goes on trying; its log says what is wrong.")
}

func (c *call) query() url.Values {
	if c.values == nil {
		c.values = c.r.URL.Query()
	}
	return c.values
}

// pattern names the route in logs and metrics.
func (c *call) pattern() string {
	if c.route == nil {
		return "other"
	}
	return c.route.pattern
}
