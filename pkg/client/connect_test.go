package client_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trusch/jamesd/pkg/client"
	"github.com/trusch/jamesd/pkg/james"
)

func TestNew(t *testing.T) {
	t.Parallel()
	for _, addr := range []string{"", "localhost", ":2761", "localhost:", "a:b:c"} {
		if _, err := client.New(client.Options{Addr: addr, TLS: &tls.Config{}}); james.KindOf(err) != james.KindInvalid {
			t.Errorf("%q: %v", addr, err)
		}
	}
	if _, err := client.New(client.Options{Addr: "localhost:1"}); james.KindOf(err) != james.KindInvalid {
		t.Errorf("without TLS: %v", err)
	}
}

// closed returns an address at which nothing listens.
func closed(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	return l.Addr().String()
}

// TestConnect: whatever is wrong with the connection is told by its cause, with
// the server's address, and with what to do.
func TestConnect(t *testing.T) {
	t.Parallel()
	nothing := func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "[]") }
	server := serve(t, "server", nothing)
	_, port, err := net.SplitHostPort(server)
	must(t, err)
	silent := accept(t, func(conn net.Conn) { conn.Read(make([]byte, 1)); io.Copy(io.Discard, conn) })
	for _, row := range []struct {
		name, addr, as string
		kind           james.Kind
		says           string
		hint           bool
	}{
		{"it works", server, "device-1", "", "", false},
		{"refused", closed(t), "device-1", james.KindUnavailable, "connection refused", true},
		{"unknown host", "no-such-host.invalid:1", "device-1", james.KindUnavailable, "no-such-host.invalid", false},
		{"no TLS", accept(t, func(c net.Conn) { io.WriteString(c, "HTTP/1.0 400 Bad Request\r\n\r\n"); io.Copy(io.Discard, c) }),
			"device-1", james.KindInvalid, "does not speak TLS", true},
		{"hangs up", accept(t, func(net.Conn) {}), "device-1", james.KindUnavailable, "the connection was lost", false},
		{"silent", silent, "device-1", james.KindUnavailable, "no connection within 300ms", false},
		{"server of another authority", serve(t, "other/server", nothing), "device-1", james.KindUnauthenticated,
			"not from the authority that is trusted here", true},
		{"server is too late", serve(t, "server-late", nothing), "device-1", james.KindUnauthenticated, "it expired on", true},
		{"server is too early", serve(t, "server-early", nothing), "device-1", james.KindUnauthenticated, "it begins on", true},
		{"server of another name", "127.0.0.2:" + port, "device-1", james.KindUnauthenticated, `not for "127.0.0.2" but for server, localhost`, true},
		{"no certificate", server, "", james.KindUnauthenticated, "none was shown", true},
		{"certificate of another authority", server, "other/device-1", james.KindUnauthenticated,
			`refused this certificate: it is not from the server's authority (certificate "device-1")`, true},
		{"certificate expired", server, "late", james.KindUnauthenticated, "refused this certificate: it has expired", true},
		{"certificate of a server", server, "server", james.KindUnauthenticated, "refused this certificate: it is not good for a client", true},
	} {
		t.Run(row.name, func(t *testing.T) {
			if row.addr == "127.0.0.2:"+port {
				row.addr = listenAt(t, "127.0.0.2", nothing)
			}
			c := newClient(t, row.addr, row.as, func(o *client.Options) {
				if row.name == "silent" {
					o.DialTimeout = 300 * time.Millisecond
				}
			})
			_, err := c.Packets(t.Context(), "")
			if row.kind == "" {
				must(t, err)
				return
			}
			if james.KindOf(err) != row.kind || !strings.HasPrefix(err.Error(), "cannot list packets: "+row.addr+": ") ||
				!strings.Contains(err.Error(), row.says) || (james.HintOf(err) != "") != row.hint {
				t.Fatalf("got %s: %v\nhint: %s", james.KindOf(err), err, james.HintOf(err))
			}
		})
	}
}

// listenAt is serve at another loopback address.
func listenAt(t *testing.T, host string, h http.HandlerFunc) string {
	l, err := tls.Listen("tcp", host+":0", serverTLS(t, "server"))
	if err != nil {
		if runtime.GOOS == "linux" {
			t.Fatal(err)
		}
		t.Skip(err) // not every system has all of 127.0.0.0/8
	}
	srv := &http.Server{Handler: h}
	go srv.Serve(l)
	t.Cleanup(func() { srv.Close() })
	return l.Addr().String()
}

// TestRefusedWhileSending: the server's verdict on a certificate comes while the
// client sends, and must not be lost in a broken pipe.
func TestRefusedWhileSending(t *testing.T) {
	t.Parallel()
	server := serve(t, "server", func(http.ResponseWriter, *http.Request) {})
	for range 10 {
		_, err := newClient(t, server, "other/device-1").AddPacket(t.Context(), james.AddPacketRequest{Name: "p"}, bytes.NewReader(make([]byte, 8<<20)))
		if james.KindOf(err) != james.KindUnauthenticated {
			t.Fatalf("got %s: %v", james.KindOf(err), err)
		}
	}
}

// TestAnswerBeforeEnd: a server that answers an upload and hangs up at once, in
// the middle of it, is understood.
func TestAnswerBeforeEnd(t *testing.T) {
	t.Parallel()
	conf := serverTLS(t, "server")
	addr := accept(t, func(raw net.Conn) {
		conn := tls.Server(raw, conf)
		req, err := http.ReadRequest(bufio.NewReader(conn))
		if err != nil {
			t.Error(err)
			return
		}
		fmt.Fprint(conn, "HTTP/1.1 100 Continue\r\n\r\n")
		io.CopyN(io.Discard, req.Body, 1<<20)
		body := `{"kind":"exists","op":"add packet","subject":"p","detail":"is there","hint":"Do."}`
		fmt.Fprintf(conn, "HTTP/1.1 409 Conflict\r\nContent-Type: application/problem+json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", len(body), body)
	})
	for range 10 {
		_, err := newClient(t, addr, "device-1").AddPacket(t.Context(), james.AddPacketRequest{Name: "p"}, io.LimitReader(zeros{}, 64<<20))
		if james.KindOf(err) != james.KindExists || err.Error() != "cannot add packet p: is there" || james.HintOf(err) != "Do." {
			t.Fatalf("got %s: %v", james.KindOf(err), err)
		}
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// TestPatience: a client does not wait for ever, neither for an answer nor for
// the rest of one, and as long as a poll may be held.
func TestPatience(t *testing.T) {
	t.Parallel()
	addr := serve(t, "server", func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		if r.URL.Path == "/v1/devices" {
			io.WriteString(w, "[")
			w.(http.Flusher).Flush()
		}
		<-r.Context().Done()
	})
	quick := func(o *client.Options) { o.Timeout, o.Stall = 100*time.Millisecond, 100*time.Millisecond }
	_, err := newClient(t, addr, "device-1", quick).Packets(t.Context(), "")
	if james.KindOf(err) != james.KindUnavailable || !strings.Contains(err.Error(), "did not answer in time") {
		t.Errorf("no answer: %v", err)
	}
	impatient := func(o *client.Options) { o.Stall = 100 * time.Millisecond }
	_, err = newClient(t, addr, "device-1", impatient).Devices(t.Context())
	if james.KindOf(err) != james.KindUnavailable || !strings.Contains(err.Error(), "stalled for 100ms") {
		t.Errorf("half an answer: %v", err)
	}
	before := time.Now()
	_, err = newClient(t, addr, "device-1", quick).Poll(t.Context(), james.PollRequest{Wait: 1})
	if took := time.Since(before); james.KindOf(err) != james.KindUnavailable || took < time.Second {
		t.Errorf("poll: %v after %s", err, took)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(100*time.Millisecond, cancel)
	_, err = newClient(t, addr, "device-1").Packets(ctx, "")
	if james.KindOf(err) != james.KindInterrupted {
		t.Errorf("cancelled: %v", err)
	}
}

// TestAnswerTooLate: what a server says when it sees that the client has given up
// is no answer, also where it arrives while the connection is being closed.
func TestAnswerTooLate(t *testing.T) {
	t.Parallel()
	addr := serve(t, "server", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	c := newClient(t, addr, "device-1", func(o *client.Options) { o.Timeout, o.Retries = time.Millisecond, -1 })
	c.EachConn(func(conn net.Conn) net.Conn { return &lingering{Conn: conn, read: make(chan struct{}, 1)} })
	for range 50 {
		if _, err := c.Packets(t.Context(), ""); james.KindOf(err) != james.KindUnavailable {
			t.Fatal(err)
		}
	}
}

// lingering tells the server that it is being closed, and is closed when the
// server has reacted.
type lingering struct {
	net.Conn
	read chan struct{}
}

func (l *lingering) Read(p []byte) (int, error) {
	n, err := l.Conn.Read(p)
	select {
	case l.read <- struct{}{}:
	default:
	}
	return n, err
}

func (l *lingering) Close() error {
	l.Conn.(interface{ CloseWrite() error }).CloseWrite()
	<-l.read
	time.Sleep(2 * time.Millisecond) // then the transport's reader is the next to have its mutex
	return l.Conn.Close()
}

// TestBrokenHandshake: a client resumes its session with a server that has broken its
// handshake, as one that has too much to do does.
func TestBrokenHandshake(t *testing.T) {
	t.Parallel()
	conf := serverTLS(t, "server")
	var resumed []bool
	breaks := false
	addr := accept(t, func(raw net.Conn) {
		if breaks = !breaks; breaks && resumed != nil {
			raw.Read(make([]byte, 1))
			return
		}
		conn := tls.Server(raw, conf)
		req, err := http.ReadRequest(bufio.NewReader(conn))
		if err != nil {
			t.Error(err)
			return
		}
		io.Copy(io.Discard, req.Body)
		resumed = append(resumed, conn.ConnectionState().DidResume)
		fmt.Fprint(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n[]")
	})
	c := newClient(t, addr, "device-1", func(o *client.Options) { o.Retries = -1 })
	for range 6 {
		c.Packets(t.Context(), "") // every other one fails
	}
	if want := []bool{false, true, true, true}; !slices.Equal(resumed, want) {
		t.Errorf("resumed: %v, want %v", resumed, want)
	}
}
