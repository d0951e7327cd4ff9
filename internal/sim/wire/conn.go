package wire

import (
	"bufio"
	"crypto/tls"
	"net"
	"strconv"
	"time"
)

// Conn is a connection for one request at a time. Close and Reset may be called
// while others are at work, everything else by one goroutine.
type Conn struct {
	raw  net.Conn
	tls  *tls.Conn
	in   *bufio.Reader
	body body
	took time.Duration
}

// Took returns how long it took to connect, and for the handshake.
func (c *Conn) Took() time.Duration { return c.took }

// Resumed reports whether the handshake went on with a session of before.
func (c *Conn) Resumed() bool { return c.tls.ConnectionState().DidResume }

// Close ends the connection.
func (c *Conn) Close() { c.raw.Close() }

// Reset ends the connection without a word, as a device that has lost its power or
// its link: the server gets a reset, and no port stays taken.
func (c *Conn) Reset() {
	if t, ok := c.raw.(*net.TCPConn); ok {
		_ = t.SetLinger(0) // it is closed all the same
	}
	c.raw.Close()
}

// Within says until when all of what follows must be done.
func (c *Conn) Within(d time.Duration) error { return c.tls.SetDeadline(time.Now().Add(d)) }

// Write sends raw bytes over TLS.
func (c *Conn) Write(p []byte) (int, error) { return c.tls.Write(p) }

// WriteBeneath sends raw bytes in the place of TLS, after which the connection is good for
// nothing.
func (c *Conn) WriteBeneath(p []byte) (int, error) { return c.raw.Write(p) }

// Send sends a request of Encode. The answer to the one before must have been read
// to its end.
func (c *Conn) Send(request []byte) error {
	_, err := c.tls.Write(request)
	return err
}

// Encode returns a request. header are further lines of its header, "Name: value".
func Encode(method, path, host, agent string, body []byte, header ...string) []byte {
	out := make([]byte, 0, 192+len(body))
	out = append(out, method+" "+path+" HTTP/1.1\r\nHost: "+host+"\r\nUser-Agent: "+agent+"\r\n"...)
	if body != nil {
		out = append(out, "Content-Type: application/json\r\nContent-Length: "...)
		out = strconv.AppendInt(out, int64(len(body)), 10)
		out = append(out, "\r\n"...)
	}
	for _, line := range header {
		out = append(append(out, line...), "\r\n"...)
	}
	return append(append(out, "\r\n"...), body...)
}
