package budget_test

import (
	"crypto/tls"
	"encoding/json"
	"net/http"
	"testing"

	"github.com/trusch/jamesd/internal/pki"
	"github.com/trusch/jamesd/internal/sim/wire"
	"github.com/trusch/jamesd/pkg/james"
)

// issuer makes the certificates of many devices in memory.
type issuer struct{ *pki.Issuer }

func newIssuer(b *testing.B, m *machine) *issuer {
	b.Helper()
	i, err := pki.NewIssuer(m.pki+"/ca.crt", m.pki+"/ca.key")
	must(b, err)
	return &issuer{i}
}

func (i *issuer) conf(b *testing.B, id string) *tls.Config {
	b.Helper()
	cert, err := i.Client(id)
	must(b, err)
	return wire.TLS(i.Roots(), "localhost", &cert)
}

// caller is a device with as little of a client as possible, so that the
// server's share of the time is what is measured.
type caller struct {
	*wire.Conn
	request []byte
}

func dial(b *testing.B, addr string, conf *tls.Config) *caller {
	b.Helper()
	conn, err := (&wire.Dialer{Addr: addr}).Dial(b.Context(), conf, nil, false)
	must(b, err)
	b.Cleanup(conn.Close)
	return &caller{Conn: conn}
}

// says sets the request of the next polls.
func (c *caller) says(b *testing.B, req james.PollRequest) {
	b.Helper()
	body, err := json.Marshal(req)
	must(b, err)
	c.request = wire.Encode(http.MethodPost, "/v1/poll", "localhost", "jamesc/0123456789ab", body)
}

func (c *caller) send() error { return c.Send(c.request) }

// idle reads the header of an answer and reports whether it is 204, which has no
// body.
func (c *caller) idle() (bool, error) {
	a, err := c.Receive()
	return a.Status == http.StatusNoContent, err
}
