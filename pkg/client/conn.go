package client

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"time"

	"github.com/trusch/jamesd/internal/session"
)

// dial returns a connection whose handshake is done, as far as the client can
// tell: with TLS 1.3 the server's verdict on the client's certificate comes with
// the first read.
func (c *Client) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.o.DialTimeout, errNoConnection)
	defer cancel()
	var d net.Dialer
	raw, err := d.DialContext(ctx, network, addr)
	if err != nil {
		return nil, because(ctx, err)
	}
	secured := tls.Client(raw, c.o.TLS)
	if err := session.Handshake(ctx, secured, c.o.TLS.ClientSessionCache); err != nil {
		raw.Close()
		return nil, because(ctx, err)
	}
	return &conn{Conn: secured, stall: c.o.Stall, ended: make(chan struct{})}, nil
}

// because returns why ctx was ended, if it was, as err is then a consequence.
func because(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// conn is a connection that tells what the server said before it hung up. A
// server that refuses a certificate or an upload answers and closes while the
// client still sends; the client then sees its write fail, and the reason lies
// in what it has not read yet.
type conn struct {
	*tls.Conn
	stall time.Duration

	once  sync.Once
	ended chan struct{} // closed when reading has ended
	err   error         // how, once ended is closed
}

// patience is how long a failed write waits for the rest of what the server
// sent, which has arrived by then.
const patience = 5 * time.Second

func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err != nil {
		c.once.Do(func() {
			c.err = err
			close(c.ended)
		})
	}
	return n, err
}

// Write returns an error only after everything that the server sent was read,
// so that an answer wins over a broken pipe.
func (c *conn) Write(p []byte) (int, error) {
	c.SetWriteDeadline(time.Now().Add(c.stall))
	n, err := c.Conn.Write(p)
	if err == nil {
		return n, nil
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-c.ended:
		if alertOf(c.err) != "" {
			err = c.err
		}
	case <-timer.C:
	}
	return n, err
}
