package wire

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/trusch/jamesd/internal/session"
)

// Dialer makes connections to one server.
type Dialer struct {
	Addr string // host:port
	// Timeout is how long connecting may take, and how long a handshake; 0 is no limit.
	Timeout time.Duration
	// Turns are those of all devices of this machine; nil has them all go at once.
	Turns *Turns
	// In and Out count the bytes of the connections, TLS included; nil does not.
	In, Out *atomic.Int64
}

// Dial returns a connection whose handshake is done, as far as a client can tell:
// with TLS 1.3 the server's verdict on the certificate comes with the first read.
// from is the own address, nil for any; slow has the kernel take in little of what
// the server sends before it is read.
func (d *Dialer) Dial(ctx context.Context, conf *tls.Config, from net.IP, slow bool) (*Conn, error) {
	if d.Turns == nil {
		return d.dial(ctx, conf, from, slow, nil)
	}
	turn, err := d.Turns.open(ctx)
	if err != nil {
		return nil, err
	}
	defer turn.end()
	return d.dial(ctx, conf, from, slow, turn)
}

// dial is Dial when there is nothing to be waited for, but for a turn to begin.
func (d *Dialer) dial(ctx context.Context, conf *tls.Config, from net.IP, slow bool, turn *turn) (*Conn, error) {
	begun := time.Now()
	raw, err := d.connect(ctx, from, slow)
	if err != nil {
		return nil, err
	}
	connected := time.Since(begun)
	var below net.Conn = &counted{raw, d.In, d.Out}
	if turn != nil {
		turn.Conn, below = below, turn
		if err := turn.begin(ctx); err != nil {
			raw.Close()
			return nil, err
		}
	}
	begun = time.Now()
	ctx, cancel := d.limit(ctx)
	defer cancel()
	secured := tls.Client(below, conf)
	if err := session.Handshake(ctx, secured, conf.ClientSessionCache); err != nil {
		raw.Close()
		return nil, err
	}
	return &Conn{raw: raw, tls: secured, in: bufio.NewReaderSize(secured, maxLine), took: connected + time.Since(begun)}, nil
}

func (d *Dialer) connect(ctx context.Context, from net.IP, slow bool) (net.Conn, error) {
	dialer := net.Dialer{Timeout: d.Timeout, KeepAlive: -1, ControlContext: func(_ context.Context, _, _ string, raw syscall.RawConn) error {
		return raw.Control(func(fd uintptr) { choosePortLate(fd); shrink(fd, slow) })
	}}
	if from != nil {
		dialer.LocalAddr = &net.TCPAddr{IP: from}
	}
	return dialer.DialContext(ctx, "tcp", d.Addr)
}

func (d *Dialer) limit(ctx context.Context) (context.Context, context.CancelFunc) {
	if d.Timeout <= 0 {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, d.Timeout)
}

// counted counts the bytes of a connection.
type counted struct {
	net.Conn
	in, out *atomic.Int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.in != nil {
		c.in.Add(int64(n))
	}
	return n, err
}

func (c *counted) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if c.out != nil {
		c.out.Add(int64(n))
	}
	return n, err
}

// TLS returns the configuration of one device: TLS 1.3, a server of these
// authorities that is good for serverName, and a session that the next handshake
// resumes.
func TLS(roots *x509.CertPool, serverName string, cert *tls.Certificate) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, RootCAs: roots, ServerName: serverName, ClientSessionCache: &session.Session{},
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert, nil },
	}
}
