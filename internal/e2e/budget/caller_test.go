package budget_test

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"math/big"
	"net/http"
	"testing"
	"time"

	"github.com/trusch/jamesd/pkg/james"
)

// issuer makes the certificates of many devices, which share a key, in memory.
type issuer struct {
	ca   tls.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newIssuer(b *testing.B, m *machine) *issuer {
	b.Helper()
	ca, err := tls.LoadX509KeyPair(m.pki+"/ca.crt", m.pki+"/ca.key")
	must(b, err)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(b, err)
	pool := x509.NewCertPool()
	pool.AddCert(ca.Leaf)
	return &issuer{ca, key, pool}
}

func (i *issuer) conf(b *testing.B, id string, serial int64) *tls.Config {
	b.Helper()
	raw, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(serial + 1), Subject: pkix.Name{CommonName: id},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, i.ca.Leaf, i.key.Public(), i.ca.PrivateKey)
	must(b, err)
	return &tls.Config{RootCAs: i.pool, ServerName: "localhost", MinVersion: tls.VersionTLS13,
		Certificates: []tls.Certificate{{Certificate: [][]byte{raw}, PrivateKey: i.key}}}
}

// caller is a device with as little of a client as possible, so that the
// server's share of the time is what is measured.
type caller struct {
	conn    *tls.Conn
	in      *bufio.Reader
	request []byte
}

func dial(b *testing.B, addr string, conf *tls.Config) *caller {
	b.Helper()
	conn, err := tls.Dial("tcp", addr, conf)
	must(b, err)
	b.Cleanup(func() { conn.Close() })
	return &caller{conn: conn, in: bufio.NewReaderSize(conn, 1<<10)}
}

// says sets the request of the next polls.
func (c *caller) says(b *testing.B, req james.PollRequest) {
	b.Helper()
	body, err := json.Marshal(req)
	must(b, err)
	r, err := http.NewRequest(http.MethodPost, "https://localhost/v1/poll", bytes.NewReader(body))
	must(b, err)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "jamesc/0123456789ab")
	var buf bytes.Buffer
	must(b, r.Write(&buf))
	c.request = buf.Bytes()
}

func (c *caller) send() error {
	_, err := c.conn.Write(c.request)
	return err
}

// idle reads the header of an answer and reports whether it is 204, which has no
// body.
func (c *caller) idle() (bool, error) {
	status, err := c.in.ReadSlice('\n')
	if err != nil {
		return false, err
	}
	idle := bytes.Contains(status, []byte(" 204 "))
	for {
		line, err := c.in.ReadSlice('\n')
		if err != nil || len(line) <= 2 {
			return idle, err
		}
	}
}
