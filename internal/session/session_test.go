package session_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/trusch/jamesd/internal/pki"
	"github.com/trusch/jamesd/internal/session"
)

// certs is a directory with an authority and what it issued.
var certs string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "session-test-")
		check(err)
		defer os.RemoveAll(dir)
		certs = dir
		check(pki.Init(dir))
		check(pki.AddServer(dir, "server", nil))
		check(pki.AddClient(dir, "device-1"))
		return m.Run()
	}())
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// world is a server that treats each connection as told, and a client of it.
type world struct {
	listener net.Listener
	server   *tls.Config
	client   *tls.Config
}

func newWorld(t *testing.T, cache tls.ClientSessionCache) *world {
	t.Helper()
	file := func(name string) string { return filepath.Join(certs, name) }
	server, err := pki.ServerTLS(file("ca.crt"), file("server.crt"), file("server.key"))
	must(t, err)
	client, err := pki.ClientTLS(file("ca.crt"), file("device-1.crt"), file("device-1.key"))
	must(t, err)
	client.ServerName, client.ClientSessionCache = "localhost", cache
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { l.Close() })
	return &world{l, server, client}
}

// connect has the server treat one connection by treat, and returns how the client's
// handshake ended and whether it was a resumed one. It gives up when ctx is done.
func (w *world) connect(ctx context.Context, t *testing.T, treat func(net.Conn)) (resumed bool, _ error) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		raw, err := w.listener.Accept()
		if err != nil {
			t.Error(err)
			return
		}
		defer raw.Close()
		treat(raw)
	}()
	raw, err := net.Dial("tcp", w.listener.Addr().String())
	must(t, err)
	c := tls.Client(raw, w.client)
	if err = session.Handshake(ctx, c, w.client.ClientSessionCache); err == nil {
		_, err = c.Read(make([]byte, 1)) // and the ticket before it
	}
	raw.Close()
	<-done
	return c.ConnectionState().DidResume, err
}

// serve is a server that does what it should.
func (w *world) serve(raw net.Conn) { tls.Server(raw, w.server).Write([]byte("x")) }

// wants checks a connection to a server that does what it should.
func (w *world) wants(t *testing.T, what string, resumed bool) {
	t.Helper()
	if got, err := w.connect(t.Context(), t, w.serve); err != nil || got != resumed {
		t.Errorf("%s: resumed %t, want %t: %v", what, got, resumed, err)
	}
}

// hear reads the beginning of the handshake.
func hear(raw net.Conn) { raw.Read(make([]byte, 4096)) }

// TestBrokenHandshake: what is nobody's verdict leaves the session as it was.
func TestBrokenHandshake(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name     string
		treat    func(net.Conn)
		patience time.Duration
		kept     bool
	}{
		{"hangs up", hear, time.Minute, true},
		{"resets", func(raw net.Conn) { hear(raw); raw.(*net.TCPConn).SetLinger(0) }, time.Minute, true},
		{"says nothing", func(raw net.Conn) { io.Copy(io.Discard, raw) }, 50 * time.Millisecond, true},
		{"refuses", func(raw net.Conn) { hear(raw); raw.Write([]byte{21, 3, 3, 0, 2, 2, 40}) }, time.Minute, false},
		{"is no TLS", func(raw net.Conn) { hear(raw); io.WriteString(raw, "HTTP/1.0 400 Bad Request\r\n\r\n") }, time.Minute, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, &session.Session{})
			w.wants(t, "the first connection", false)
			w.wants(t, "the second connection", true)
			ctx, cancel := context.WithTimeout(t.Context(), row.patience)
			defer cancel()
			if _, err := w.connect(ctx, t, row.treat); err == nil {
				t.Error("the handshake does not fail")
			}
			w.wants(t, "the next one", row.kept)
			w.wants(t, "the one after that", true)
		})
	}
}

// TestBrokenAgainAndAgain: a session with which no handshake gets through is given up, and
// one handshake that does has the counting begin anew.
func TestBrokenAgainAndAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, &session.Session{})
	w.wants(t, "the first connection", false)
	for _, row := range []struct {
		broken  int
		resumed bool
	}{{7, true}, {7, true}, {8, false}, {7, true}} {
		for range row.broken {
			if _, err := w.connect(t.Context(), t, hear); err == nil {
				t.Error("the handshake does not fail")
			}
		}
		w.wants(t, "the next one", row.resumed)
	}
}

// TestOtherCache: one of crypto/tls is what it is there.
func TestOtherCache(t *testing.T) {
	t.Parallel()
	w := newWorld(t, tls.NewLRUClientSessionCache(1))
	w.wants(t, "the first connection", false)
	w.wants(t, "the second connection", true)
	if _, err := w.connect(t.Context(), t, hear); err == nil {
		t.Error("the handshake does not fail")
	}
	w.wants(t, "the next one", false)
}
