package james

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Kind says what sort of failure an Error is. Kinds travel on the wire and are
// only ever added to.
type Kind string

// The kinds of error.
const (
	KindInvalid         Kind = "invalid"         // the input is wrong; the same input will fail again
	KindNotFound        Kind = "not-found"       // the thing named does not exist
	KindExists          Kind = "exists"          // a thing of that identity exists with other content
	KindConflict        Kind = "conflict"        // what is asked does not go with what is there
	KindDenied          Kind = "denied"          // the caller is known and may not do this
	KindUnauthenticated Kind = "unauthenticated" // the caller is not known
	KindUnavailable     Kind = "unavailable"     // a part that is needed does not answer now
	KindCorrupt         Kind = "corrupt"         // stored or received bytes are not what they must be
	KindInterrupted     Kind = "interrupted"     // stopped before the end, by a signal, a limit or a lost connection
	KindInternal        Kind = "internal"        // a defect of the program
)

// Retryable reports whether the same request may succeed later without anybody
// changing anything.
func (k Kind) Retryable() bool { return k == KindUnavailable || k == KindInterrupted }

// Error is the error of every operation, on either side of the wire.
type Error struct {
	// Op is what the user asked for, such as "add packet". Only the operation
	// that the user named sets it; lower layers leave it empty.
	Op string
	// Kind is what callers branch on.
	Kind Kind
	// Subject names the thing that the operation or the cause is about.
	Subject string
	// Err is the cause, in words.
	Err error
	// Hint says what to do about it, as a sentence; it may be empty.
	Hint string
	// After is how long to wait at least before the same is asked for again; 0 where
	// nobody knows. It travels as the header Retry-After.
	After time.Duration
}

// Errorf returns an Error without an operation. It is what lower layers return
// for a cause; format may wrap with %w.
func Errorf(kind Kind, subject, format string, args ...any) *Error {
	return &Error{Kind: kind, Subject: subject, Err: fmt.Errorf(format, args...)}
}

// Cannot returns err as the failure of op on subject, keeping its kind and its
// hint. It returns nil for a nil err.
func Cannot(op, subject string, err error) error {
	if err == nil {
		return nil
	}
	out := &Error{Op: op, Kind: KindOf(err), Subject: subject, Err: err}
	var inner *Error
	if errors.As(err, &inner) {
		out.Hint, out.After = inner.Hint, inner.After
		if errors.Unwrap(err) == inner.Err && inner.Op == "" && inner.Subject == subject {
			out.Err = inner.Err // "cannot add packet x: x: ..." names x once
		}
	}
	return out
}

// WithHint returns e with its hint set.
func (e *Error) WithHint(format string, args ...any) *Error {
	e.Hint = fmt.Sprintf(format, args...)
	return e
}

// WithAfter returns e with the time set after which the same may be asked for again.
func (e *Error) WithAfter(d time.Duration) *Error {
	e.After = d
	return e
}

// Error returns "cannot OP SUBJECT: CAUSE", or "SUBJECT: CAUSE" without an
// operation. The hint is not part of it.
func (e *Error) Error() string {
	cause := ""
	if e.Err != nil {
		cause = e.Err.Error()
	}
	head := e.Subject
	if e.Op != "" {
		head = "cannot " + e.Op
		if e.Subject != "" {
			head += " " + e.Subject
		}
	}
	switch {
	case head == "" && cause == "":
		return string(e.Kind)
	case head == "":
		return cause
	case cause == "":
		return head + ": " + string(e.Kind)
	}
	return head + ": " + cause
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// KindOf returns the kind of the outermost Error in err's chain. A cancelled or
// expired context is KindInterrupted; any other error is KindInternal. It
// returns "" for a nil err.
func KindOf(err error) Kind {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return KindInterrupted
	}
	return KindInternal
}

// HintOf returns the first hint in err's chain, or "".
func HintOf(err error) string {
	for e := (*Error)(nil); errors.As(err, &e); err = e.Err {
		if e.Hint != "" {
			return e.Hint
		}
	}
	return ""
}

// AfterOf returns the first time in err's chain before which it is of no use to try
// again, or 0.
func AfterOf(err error) time.Duration {
	for e := (*Error)(nil); errors.As(err, &e); err = e.Err {
		if e.After > 0 {
			return e.After
		}
	}
	return 0
}

// Patience returns how long somebody waits who would wait for d before the same is
// tried again: as long as err asks for and up to half more, so that those who were
// turned away at one moment do not come back at one moment, or d where that is more.
// random is in [0, 1).
func Patience(err error, d time.Duration, random float64) time.Duration {
	after := AfterOf(err)
	return max(d, after+time.Duration(random*float64(after)/2))
}
