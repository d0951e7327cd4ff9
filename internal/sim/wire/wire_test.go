package wire_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trusch/jamesd/internal/pki"
	"github.com/trusch/jamesd/internal/sim/wire"
	"github.com/trusch/jamesd/pkg/james"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// world is an authority and a server of it.
type world struct {
	dir  string
	addr string
	tls  *tls.Config // of a device
}

// serve has each connection served by serve.
func serve(t *testing.T, serve func(net.Conn)) *world {
	t.Helper()
	w := &world{dir: t.TempDir()}
	must(t, pki.Init(w.dir))
	must(t, pki.AddServer(w.dir, "server", nil))
	conf, err := pki.ServerTLS(w.dir+"/ca.crt", w.dir+"/server.crt", w.dir+"/server.key")
	must(t, err)
	l, err := tls.Listen("tcp", "127.0.0.1:0", conf)
	must(t, err)
	t.Cleanup(func() { l.Close() })
	w.addr = l.Addr().String()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() { defer conn.Close(); serve(conn) }()
		}
	}()
	i, err := pki.NewIssuer(w.dir+"/ca.crt", w.dir+"/ca.key")
	must(t, err)
	cert, err := i.Client("device-1")
	must(t, err)
	w.tls = wire.TLS(i.Roots(), "localhost", &cert)
	return w
}

// handle is serve with a handler of net/http.
func handle(t *testing.T, h http.HandlerFunc) *world {
	return serve(t, func(conn net.Conn) {
		l := &one{conn: conn, done: make(chan struct{})}
		srv := &http.Server{Handler: h, ConnState: func(_ net.Conn, s http.ConnState) {
			if s == http.StateClosed {
				close(l.done)
			}
		}}
		srv.Serve(l)
	})
}

// one is a listener of one connection.
type one struct {
	conn  net.Conn
	given atomic.Bool
	done  chan struct{}
}

func (o *one) Accept() (net.Conn, error) {
	if o.given.Swap(true) {
		<-o.done
		return nil, net.ErrClosed
	}
	return o.conn, nil
}
func (o *one) Close() error   { return nil }
func (o *one) Addr() net.Addr { return o.conn.LocalAddr() }

func (w *world) dial(t *testing.T) *wire.Conn {
	t.Helper()
	c, err := (&wire.Dialer{Addr: w.addr}).Dial(t.Context(), w.tls, nil, false)
	must(t, err)
	t.Cleanup(c.Close)
	must(t, c.Within(time.Minute))
	return c
}

// TestExchange: what net/http writes is understood, answer after answer on one
// connection.
func TestExchange(t *testing.T) {
	t.Parallel()
	large := strings.Repeat("0123456789", 10_000)
	w := handle(t, func(w http.ResponseWriter, r *http.Request) {
		got, _ := io.ReadAll(r.Body)
		h := w.Header()
		switch r.URL.Path {
		case "/idle":
			h["Poll-Interval"], h["Poll-Pause"], h["Revision"], h["Plan"] = []string{"27"}, []string{"1.250"}, []string{"42"}, []string{"none"}
			w.WriteHeader(http.StatusNoContent)
		case "/echo":
			fmt.Fprintf(w, "%s %s %s %s %s", r.Method, r.Host, r.UserAgent(), r.Header.Get("If-Match"), got)
		case "/chunks":
			for i := 0; i < len(large); i += 7_001 {
				io.WriteString(w, large[i:min(len(large), i+7_001)])
				w.(http.Flusher).Flush()
			}
		case "/length":
			io.WriteString(w, large[:2000])
		case "/later":
			h.Set("Retry-After", "7")
			http.Error(w, "later", http.StatusServiceUnavailable)
		case "/last":
			h.Set("Connection", "close")
		}
	})
	c := w.dial(t)
	for _, row := range []struct {
		path string
		want wire.Answer
		body string
	}{
		{"/idle", wire.Answer{Status: 204, Interval: 27, Pause: 1250 * time.Millisecond, Revision: 42, Dropped: true}, ""},
		{"/echo", wire.Answer{Status: 200}, `POST host agent "x" {}`},
		{"/chunks", wire.Answer{Status: 200}, large},
		{"/length", wire.Answer{Status: 200}, large[:2000]},
		{"/later", wire.Answer{Status: 503, RetryAfter: 7 * time.Second}, "later\n"},
		{"/idle", wire.Answer{Status: 204, Interval: 27, Pause: 1250 * time.Millisecond, Revision: 42, Dropped: true}, ""},
		{"/last", wire.Answer{Status: 200, Last: true}, ""},
	} {
		must(t, c.Send(wire.Encode("POST", row.path, "host", "agent", []byte("{}"), `If-Match: "x"`)))
		a, err := c.Receive()
		must(t, err)
		body, err := io.ReadAll(c.Body())
		must(t, err)
		if string(body) != row.body || a.Header() != row.want {
			t.Errorf("%s: %+v with %d bytes", row.path, a, len(body))
		}
	}
}

// TestMalformed: what is no answer is an error, and takes no memory.
func TestMalformed(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name, answer string
		kind         james.Kind
		lost         bool
	}{
		{"nothing", "", "", true},
		{"no HTTP", "SSH-2.0-OpenSSH\r\n\r\n", james.KindCorrupt, false},
		{"cut in the header", "HTTP/1.1 200 OK\r\nContent-Le", "", true},
		{"cut in the body", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345", "", true},
		{"cut in a chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\n12345", "", true},
		{"negative", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", james.KindCorrupt, false},
		{"no number", "HTTP/1.1 204 No Content\r\nPoll-Interval: soon\r\n\r\n", james.KindCorrupt, false},
		{"no pause", "HTTP/1.1 204 No Content\r\nPoll-Pause: none\r\n\r\n", james.KindCorrupt, false},
		{"no revision", "HTTP/1.1 204 No Content\r\nRevision: -7\r\n\r\n", james.KindCorrupt, false},
		{"trailer", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n\r\n", james.KindCorrupt, false},
		{"line", "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 10_000) + "\r\n\r\n", "", false},
		{"lines", "HTTP/1.1 200 OK\r\n" + strings.Repeat("X: y\r\n", 1000) + "\r\n", james.KindCorrupt, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			w := serve(t, func(conn net.Conn) {
				conn.Read(make([]byte, 1000))
				io.WriteString(conn, row.answer)
			})
			c := w.dial(t)
			must(t, c.Send(wire.Encode("GET", "/", "host", "agent", nil)))
			_, err := c.Receive()
			if err == nil {
				_, err = io.Copy(io.Discard, c.Body())
			}
			lost := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
			if err == nil || lost != row.lost || row.kind != "" && james.KindOf(err) != row.kind {
				t.Errorf("%s: %v", james.KindOf(err), err)
			}
		})
	}
}

// TestSession: the second handshake of a device goes on with the session of the
// first, also after a reset, and bytes are counted.
func TestSession(t *testing.T) {
	t.Parallel()
	w := handle(t, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusNoContent) })
	var in, out atomic.Int64
	d := &wire.Dialer{Addr: w.addr, In: &in, Out: &out}
	for i := range 3 {
		c, err := d.Dial(t.Context(), w.tls, net.IPv4(127, 0, 1, byte(1+i)), i == 2)
		must(t, err)
		must(t, c.Within(time.Minute))
		must(t, c.Send(wire.Encode("GET", "/", "host", "agent", nil)))
		_, err = c.Receive()
		must(t, err)
		if c.Resumed() != (i > 0) {
			t.Errorf("handshake %d: resumed %t", i, c.Resumed())
		}
		c.Reset()
	}
	if in.Load() == 0 || out.Load() == 0 {
		t.Errorf("received %d, sent %d", in.Load(), out.Load())
	}
}

// TestRefusedCertificate: the server's verdict comes with the first read.
func TestRefusedCertificate(t *testing.T) {
	t.Parallel()
	w := handle(t, func(http.ResponseWriter, *http.Request) {})
	other := t.TempDir()
	must(t, pki.Init(other))
	i, err := pki.NewIssuer(other+"/ca.crt", other+"/ca.key")
	must(t, err)
	cert, err := i.Client("device-1")
	must(t, err)
	c, err := (&wire.Dialer{Addr: w.addr}).Dial(t.Context(), wire.TLS(w.tls.RootCAs, "localhost", &cert), nil, false)
	must(t, err)
	defer c.Close()
	must(t, c.Within(time.Minute))
	_, err = c.Receive()
	if err == nil || !strings.Contains(err.Error(), "unknown certificate authority") {
		t.Errorf("got %v", err)
	}
}
