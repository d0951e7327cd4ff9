package api

import (
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/trusch/jamesd/pkg/james"
)

// statuses pairs the kinds of error with statuses, in both directions: the
// first row of a kind is its status, the first row of a status its kind.
var statuses = []struct {
	status int
	kind   james.Kind
}{
	{http.StatusBadRequest, james.KindInvalid},
	{http.StatusUnauthorized, james.KindUnauthenticated},
	{http.StatusForbidden, james.KindDenied},
	{http.StatusNotFound, james.KindNotFound},
	{http.StatusRequestTimeout, james.KindInterrupted},
	{http.StatusConflict, james.KindConflict},
	{http.StatusConflict, james.KindExists},
	{http.StatusUnprocessableEntity, james.KindCorrupt},
	{http.StatusInternalServerError, james.KindInternal},
	{http.StatusServiceUnavailable, james.KindUnavailable},

	{http.StatusMethodNotAllowed, james.KindInvalid},
	{http.StatusPreconditionFailed, james.KindConflict},
	{http.StatusRequestEntityTooLarge, james.KindInvalid},
	{http.StatusUnsupportedMediaType, james.KindInvalid},
	{http.StatusRequestedRangeNotSatisfiable, james.KindInvalid},
	{http.StatusTooManyRequests, james.KindUnavailable},
}

// StatusOf returns the status of answers about an error of that kind.
func StatusOf(kind james.Kind) int {
	for _, row := range statuses {
		if row.kind == kind {
			return row.status
		}
	}
	return http.StatusInternalServerError
}

// KindOf returns the kind of an error that is known by its status only.
func KindOf(status int) james.Kind {
	for _, row := range statuses {
		if row.status == status {
			return row.kind
		}
	}
	if status < http.StatusInternalServerError {
		return james.KindInvalid
	}
	return james.KindInternal
}

// refusal is an error with a status that says more than its kind's.
type refusal struct {
	status int
	cause  *james.Error
}

func (r *refusal) Error() string { return r.cause.Error() }
func (r *refusal) Unwrap() error { return r.cause }

// refuse returns an error of that status, with the kind that goes with it.
func refuse(status int, format string, args ...any) error {
	return &refusal{status, james.Errorf(KindOf(status), "", format, args...)}
}

// details returns err as problem details of the request of that id.
func details(err error, request string) james.ProblemDetails {
	e := &james.Error{Kind: james.KindOf(err), Err: err}
	errors.As(err, &e)
	status := StatusOf(e.Kind)
	if r := (*refusal)(nil); errors.As(err, &r) {
		status = r.status
	}
	p := james.ProblemDetails{
		Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: string(e.Kind),
		Kind: e.Kind, Op: e.Op, Subject: e.Subject, Hint: james.HintOf(err), Request: request,
	}
	if e.Err != nil {
		p.Detail = e.Err.Error()
	}
	if p.Hint == "" && e.Kind == james.KindInternal {
		p.Hint = "The log of jamesd says more under request " + request + "."
	}
	return p
}

// cannot returns err as the failure of op on subject, without naming again what
// the operation has named: "cannot get packet 12ab: packet 12ab: does not exist".
func cannot(op, subject string, err error) error {
	out := james.Cannot(op, subject, err)
	inner, ok := err.(*james.Error)
	if !ok || subject == "" || inner.Op != "" || inner.Err == nil {
		return out
	}
	if strings.HasSuffix(op+" "+subject, inner.Subject) || strings.HasSuffix(inner.Subject, " "+subject) {
		return &james.Error{Op: op, Kind: inner.Kind, Subject: subject, Err: inner.Err, Hint: james.HintOf(err)}
	}
	return out
}

// retryAfter returns the seconds after which the request may be tried again, up to
// twice as many as the time says, so that those who are turned away at one moment do not
// come back at one moment.
func retryAfter(after time.Duration) int {
	return int(math.Ceil((after + rand.N(after)).Seconds()))
}

// afterUnavailable is how long who needs what does not answer stays away at least.
const afterUnavailable = time.Second

// after returns how long to wait before the request is sent again, 0 where that is for
// the caller to say: who downloads, and is told to ask again, does so for as long as it
// takes.
func (c *call) after(err error, status int) time.Duration {
	after := james.AfterOf(err)
	if after == 0 && status == http.StatusServiceUnavailable && (c.route == nil || !c.route.transfer) {
		return afterUnavailable
	}
	return after
}

// fail answers with the problem. What was answered already cannot be taken back.
func (c *call) fail(err error) {
	c.err = err
	if c.status != 0 {
		return
	}
	p := details(err, c.id)
	raw, jsonErr := json.Marshal(p)
	if jsonErr != nil {
		panic(jsonErr) // strings and numbers only
	}
	h := c.Header()
	for _, name := range []string{"Etag", "Last-Modified", "Content-Encoding", "X-Content-Type-Options"} {
		h.Del(name)
	}
	if after := c.after(err, p.Status); after > 0 {
		h.Set("Retry-After", strconv.Itoa(retryAfter(after)))
	}
	h.Set("Content-Type", "application/problem+json")
	h.Set("Content-Length", strconv.Itoa(len(raw)))
	unread := c.body.unread()
	if unread {
		h.Set("Connection", "close")
	}
	c.writeHeader(p.Status)
	c.write(raw)
	if unread {
		c.linger()
	}
}
