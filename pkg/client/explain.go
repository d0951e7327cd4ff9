package client

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/trusch/jamesd/pkg/james"
)

// Why the client itself ended an exchange.
var (
	errNoConnection = errors.New("no connection in time")
	errNoAnswer     = errors.New("no answer in time")
	errStalled      = errors.New("no progress")
)

// explain returns what a failed exchange with the server means.
func (c *Client) explain(err error) error {
	var own *james.Error
	if errors.As(err, &own) {
		return own
	}
	fail := func(kind james.Kind, format string, args ...any) *james.Error {
		return james.Errorf(kind, c.o.Addr, format, args...)
	}
	var dns *net.DNSError
	var timeout net.Error
	var record tls.RecordHeaderError
	var verification *tls.CertificateVerificationError
	switch {
	case errors.Is(err, errNoConnection):
		return fail(james.KindUnavailable, "no connection within %s", c.o.DialTimeout)
	case errors.Is(err, errNoAnswer):
		return fail(james.KindUnavailable, "it did not answer in time")
	case errors.Is(err, errStalled), errors.Is(err, os.ErrDeadlineExceeded):
		return fail(james.KindUnavailable, "the transfer stalled for %s", c.o.Stall)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fail(james.KindInterrupted, "%w", err)
	case errors.As(err, &verification):
		return c.explainCertificate(verification.Err, fail)
	case alertOf(err) != "":
		return c.explainAlert(alertOf(err), fail)
	case errors.As(err, &record):
		return fail(james.KindInvalid, "it does not speak TLS").
			WithHint("Use the address that jamesd has as --addr.")
	case errors.Is(err, syscall.ECONNREFUSED):
		return fail(james.KindUnavailable, "connection refused").
			WithHint("Is jamesd running, and does it listen there?")
	case errors.As(err, &dns):
		return fail(james.KindUnavailable, "the name %s cannot be resolved: %s", dns.Name, dns.Err)
	case errors.As(err, &timeout) && timeout.Timeout():
		return fail(james.KindUnavailable, "no connection: %w", err)
	case lost(err):
		return fail(james.KindUnavailable, "the connection was lost: %w", err)
	}
	return fail(james.KindUnavailable, "%w", err)
}

func lost(err error) bool {
	for _, e := range []error{io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE, net.ErrClosed} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

type failer func(kind james.Kind, format string, args ...any) *james.Error

// explainCertificate says what is wrong with the server's certificate.
func (c *Client) explainCertificate(err error, fail failer) error {
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &name):
		return fail(james.KindUnauthenticated, "the server's certificate is not for %q but for %s", name.Host, namesOf(name.Certificate)).
			WithHint("Call the server by a name of its certificate, or issue one that has this name (pki add-server --san).")
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return fail(james.KindUnauthenticated, "the server's certificate is not valid now: %s", validity(invalid.Cert, c.now())).
			WithHint("Issue a new certificate for the server, or set the clock of this machine.")
	case errors.As(err, &unknown):
		return fail(james.KindUnauthenticated, "the server's certificate is not from the authority that is trusted here").
			WithHint("Use the ca.crt of the authority that issued the server's certificate.")
	}
	return fail(james.KindUnauthenticated, "the server's certificate is not accepted: %w", err)
}

func (c *Client) now() time.Time {
	if c.o.TLS.Time != nil {
		return c.o.TLS.Time()
	}
	return time.Now()
}

func namesOf(cert *x509.Certificate) string {
	names := cert.DNSNames
	for _, ip := range cert.IPAddresses {
		names = append(names, ip.String())
	}
	if len(names) == 0 {
		return "no name at all"
	}
	return strings.Join(names, ", ")
}

func validity(cert *x509.Certificate, now time.Time) string {
	const form = "2006-01-02 15:04 MST"
	clock := now.UTC().Format(form)
	if now.Before(cert.NotBefore) {
		return fmt.Sprintf("it begins on %s, and the clock says %s", cert.NotBefore.UTC().Format(form), clock)
	}
	return fmt.Sprintf("it expired on %s, and the clock says %s", cert.NotAfter.UTC().Format(form), clock)
}

// alertOf returns the text of the alert by which the server ended the
// connection, or "". The type of alerts is not exported by crypto/tls.
func alertOf(err error) string {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "remote error" {
		return strings.TrimPrefix(op.Err.Error(), "tls: ")
	}
	return ""
}

// refusals say what the server's alerts mean, and what helps.
var refusals = map[string]struct{ cause, hint string }{
	"certificate required":          {"the server wants a certificate, and none was shown", "Use a certificate of the server's authority."},
	"expired certificate":           {"the server refused this certificate: it has expired", "Issue a new one, or check the clock of the server."},
	"unknown certificate authority": {"the server refused this certificate: it is not from the server's authority", "Use a certificate of the authority whose ca.crt the server has."},
	"bad certificate":               {"the server refused this certificate: it is not good for a client", "Issue one with pki add-client or pki add-admin."},
	"unsupported certificate":       {"the server refused this certificate: it is of an unsupported type", "Issue one with pki add-client or pki add-admin."},
	"revoked certificate":           {"the server refused this certificate: it was revoked", "Issue a new one."},
	"unknown certificate":           {"the server refused this certificate", "The log of jamesd says why."},
	"access denied":                 {"the server refused this certificate", "The log of jamesd says why."},
}

func (c *Client) explainAlert(alert string, fail failer) error {
	r, ok := refusals[alert]
	switch {
	case ok:
		return fail(james.KindUnauthenticated, "%s%s", r.cause, c.whose()).WithHint("%s", r.hint)
	case alert == "protocol version not supported":
		return fail(james.KindInvalid, "the server does not speak TLS 1.3")
	}
	return fail(james.KindUnavailable, "the server ended the connection: %s", alert)
}

// whose names the own certificate.
func (c *Client) whose() string {
	if len(c.o.TLS.Certificates) == 0 || c.o.TLS.Certificates[0].Leaf == nil {
		return ""
	}
	return fmt.Sprintf(" (certificate %q)", c.o.TLS.Certificates[0].Leaf.Subject.CommonName)
}
