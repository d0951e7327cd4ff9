package james

import "errors"

// HeaderRequestID is the header, of requests and of their answers, that has the id by
// which both sides name a request in their logs.
const HeaderRequestID = "X-Request-Id"

// request is the cause of an Error, with the id of the request that failed by it.
type request struct {
	cause error
	id    string
}

func (r *request) Error() string { return r.cause.Error() }
func (r *request) Unwrap() error { return r.cause }

// InRequest returns a copy of e that knows the id of the request which it ended; one
// that knows an id already is returned as it is.
func (e *Error) InRequest(id string) *Error {
	if id == "" || RequestOf(e) != "" {
		return e
	}
	out := *e
	if out.Err == nil {
		out.Err = errors.New(string(e.Kind))
	}
	out.Err = &request{out.Err, id}
	return &out
}

// RequestOf returns the id of the request that err is about, by which the other side
// may name it in its log; "" where there is none.
func RequestOf(err error) string {
	if r := (*request)(nil); errors.As(err, &r) {
		return r.id
	}
	return ""
}
