package sim

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/trusch/jamesd/pkg/james"
)

// refusal is an answer that is an error, of no kind where no jamesd gave it.
type refusal struct {
	status int
	cause  *james.Error
}

// Error returns what was answered.
func (r *refusal) Error() string { return r.cause.Error() }

// Unwrap returns what was answered.
func (r *refusal) Unwrap() error { return r.cause }

// nameOf sorts errors: a few names, so that they can be counted.
func nameOf(err error) string {
	var refused *refusal
	var op *net.OpError
	var unknown x509.UnknownAuthorityError
	var other x509.HostnameError
	switch {
	case errors.As(err, &refused) && refused.cause.Kind != "":
		return "answered " + strconv.Itoa(refused.status) + " " + string(refused.cause.Kind)
	case errors.As(err, &refused):
		return "answered " + strconv.Itoa(refused.status) + ", not as a jamesd does"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded), isTimeout(err):
		return "no answer in time"
	case errors.As(err, &unknown):
		return "the server's certificate is not from this authority"
	case errors.As(err, &other):
		return "the server's certificate is not for this name"
	case errors.As(err, &op) && op.Op == "remote error": // what TLS says of the other side's verdict
		return op.Err.Error()
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return "too many open files"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return "no port is left"
	case lostConnection(err):
		return "connection lost"
	case james.KindOf(err) == james.KindCorrupt:
		return "malformed answer"
	}
	return short(err)
}

func isTimeout(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}

// lostConnection reports whether the other side has ended the connection, or nobody
// knows who did.
func lostConnection(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNABORTED)
}

// short returns the last part of an error, without addresses.
func short(err error) string {
	text := err.Error()
	if at := strings.LastIndex(text, ": "); at >= 0 {
		text = text[at+2:]
	}
	return text[:min(len(text), 60)]
}
