package gate_test

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trusch/jamesd/internal/pki"
	"github.com/trusch/jamesd/internal/server/gate"
)

// certs is a directory with an authority and what it issued.
var certs string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "gate-test-")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(dir)
		certs = dir
		if err := errors.Join(pki.Init(dir), pki.AddServer(dir, "server", nil), pki.AddClient(dir, "device-1"), pki.AddAdmin(dir, "admin")); err != nil {
			panic(err)
		}
		return m.Run()
	}())
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// world is a gate behind which every byte is sent back.
type world struct {
	*gate.Listener
	addr   string
	conf   *tls.Config // of clients
	server *tls.Config
}

func newWorld(t *testing.T, o gate.Options) *world {
	t.Helper()
	file := func(name string) string { return filepath.Join(certs, name) }
	conf, err := pki.ServerTLS(file("ca.crt"), file("server.crt"), file("server.key"))
	must(t, err)
	client, err := pki.ClientTLS(file("ca.crt"), file("device-1.crt"), file("device-1.key"))
	must(t, err)
	client.ServerName, client.ClientSessionCache = "localhost", tls.NewLRUClientSessionCache(1)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	o.TLS = conf
	g := gate.New(l, o)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := g.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				io.Copy(c, c)
			})
		}
	})
	w := &world{g, l.Addr().String(), client, conf}
	t.Cleanup(func() {
		g.Close()
		wg.Wait()
		if s := g.Stats(); s.Open != 0 || s.Pending != 0 {
			t.Errorf("after the end: %+v", s)
		}
	})
	return w
}

// connect returns a connection on which a byte went to and fro.
func (w *world) connect(t *testing.T) (*tls.Conn, error) {
	t.Helper()
	raw := w.dial(t)
	raw.SetDeadline(time.Now().Add(20 * time.Second))
	c := tls.Client(raw, w.conf)
	_, err := c.Write([]byte("x"))
	if err == nil {
		_, err = c.Read(make([]byte, 1))
	}
	return c, err
}

// dial returns a connection without TLS.
func (w *world) dial(t *testing.T) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", w.addr)
	must(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

// await waits until the numbers are as wanted.
func (w *world) await(t *testing.T, what string, ok func(gate.Stats) bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(w.Stats()); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: %+v", what, w.Stats())
		}
	}
}

// closed checks that the other side ends a connection.
func closed(t *testing.T, what string, c net.Conn) {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(20 * time.Second))
	var timeout net.Error
	if _, err := io.Copy(io.Discard, c); errors.As(err, &timeout) && timeout.Timeout() {
		t.Errorf("%s is not closed", what)
	}
}

func TestHandshakes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, gate.Options{})
	for range 3 {
		c, err := w.connect(t)
		must(t, err)
		c.Close()
	}
	garbage := w.dial(t)
	_, err := garbage.Write([]byte("GET / HTTP/1.1\r\n\r\n"))
	must(t, err)
	w.await(t, "three that are good and one that is not", func(s gate.Stats) bool {
		return s.Full == 1 && s.Resumed == 2 && s.Failed == 1 && s.Pending == 0
	})
	garbage.Close()
	w.await(t, "all are closed", func(s gate.Stats) bool { return s.Open == 0 })
}

// TestSilentClients hold up nobody, also where one handshake is worked at a time; the
// oldest go where there are too many.
func TestSilentClients(t *testing.T) {
	t.Parallel()
	w := newWorld(t, gate.Options{Workers: 1, Silent: 45, Timeout: time.Hour})
	var silent []net.Conn
	for range 40 {
		silent = append(silent, w.dial(t))
	}
	for range 5 { // that begin and go no further
		c := w.dial(t)
		go tls.Client(writeOnly{c, t.Context().Done()}, w.conf).Handshake()
	}
	w.await(t, "they are in their handshakes", func(s gate.Stats) bool { return s.Pending == 45 })
	for range 5 {
		_, err := w.connect(t)
		must(t, err)
	}
	for range 20 {
		silent = append(silent, w.dial(t))
	}
	w.await(t, "the oldest go", func(s gate.Stats) bool { return s.Silent == 15 && s.Pending == 50 })
	closed(t, "the oldest", silent[0])
	_, err := w.connect(t)
	must(t, err)
}

// TestWaitingClients: who has said something and waits for its turn is none of the silent
// ones, however many wait.
func TestWaitingClients(t *testing.T) {
	t.Parallel()
	busy := make(chan struct{})
	w := newWorld(t, gate.Options{Workers: 1, Silent: 2, Wait: time.Minute, Timeout: time.Minute})
	w.server.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { <-busy; return nil, nil }
	var clients sync.WaitGroup
	for i := range 20 {
		raw := w.dial(t)
		clients.Go(func() {
			if err := tls.Client(raw, w.conf.Clone()).Handshake(); err != nil {
				t.Error(err)
			}
		})
		w.await(t, "it waits", func(s gate.Stats) bool { return s.Pending == int64(i+1) && w.Mute() == 0 })
	}
	close(busy)
	clients.Wait()
	if s := w.Stats(); s.Silent != 0 || s.Late != 0 {
		t.Errorf("%+v", s)
	}
}

// writeOnly is a connection of which nothing is read.
type writeOnly struct {
	net.Conn
	end <-chan struct{}
}

func (w writeOnly) Read([]byte) (int, error) { <-w.end; return 0, io.EOF }

// TestBurst has more come at one moment than one processor can serve in the time that each
// may wait: those who are let in are finished, the others are told at once, and each
// is let in when it comes back.
func TestBurst(t *testing.T) {
	t.Parallel()
	w := newWorld(t, gate.Options{Workers: 1, Wait: 50 * time.Millisecond, Timeout: time.Minute})
	w.conf.ClientSessionCache = nil
	var wg sync.WaitGroup
	for range 80 {
		wg.Go(func() {
			for begun := time.Now(); time.Since(begun) < time.Minute; time.Sleep(20 * time.Millisecond) {
				c, err := w.connect(t)
				c.Close()
				if err == nil {
					return
				}
			}
			t.Error("it is never let in")
		})
	}
	wg.Wait()
	if s := w.Stats(); s.Full != 80 || s.Failed != 0 {
		t.Errorf("%+v", s)
	}
}

func TestTooManyConnections(t *testing.T) {
	t.Parallel()
	w := newWorld(t, gate.Options{Connections: 3})
	var let []*tls.Conn
	for range 3 {
		c, err := w.connect(t)
		must(t, err)
		let = append(let, c)
	}
	closed(t, "the fourth", w.dial(t))
	if s := w.Stats(); s.Refused != 1 || s.Open != 3 {
		t.Errorf("%+v", s)
	}
	let[0].Close()
	w.await(t, "one is gone", func(s gate.Stats) bool { return s.Open == 2 })
	_, err := w.connect(t)
	must(t, err)
}

// TestRoom: where connections are all taken by clients that have shown nothing, one of those
// goes for each that comes.
func TestRoom(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(*testing.T, *world){
		"silent": func(t *testing.T, w *world) { w.dial(t) },
		"that begin and go no further": func(t *testing.T, w *world) {
			c := w.dial(t)
			go tls.Client(writeOnly{c, t.Context().Done()}, w.conf.Clone()).Handshake()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, gate.Options{Connections: 10, Timeout: time.Hour})
			for range 10 {
				open(t, w)
			}
			w.await(t, "they have all connections", func(s gate.Stats) bool { return s.Open == 10 && w.Awaited() == 10 })
			var let []*tls.Conn
			for range 4 {
				c, err := w.connect(t)
				must(t, err)
				let = append(let, c)
			}
			w.await(t, "one goes for each", func(s gate.Stats) bool { return s.Open == 10 && s.Pending == 6 && s.Silent == 4 && s.Refused == 0 })
			for _, c := range let {
				_, err := c.Write([]byte("x"))
				must(t, err)
			}
		})
	}
}

// TestSpare: where devices have all connections, another one is refused, and an admin gets in.
func TestSpare(t *testing.T) {
	t.Parallel()
	w := newWorld(t, gate.Options{Connections: 3, Client: func(cs tls.ConnectionState) string {
		if cs.PeerCertificates[0].Subject.CommonName == "admin" {
			return ""
		}
		return "device"
	}})
	for range 3 {
		_, err := w.connect(t)
		must(t, err)
	}
	if _, err := w.connect(t); err == nil {
		t.Error("a fourth device is let in")
	}
	w.await(t, "it is refused", func(s gate.Stats) bool { return s.Refused == 1 && s.Open == 3 })
	admin, err := pki.ClientTLS(filepath.Join(certs, "ca.crt"), filepath.Join(certs, "admin.crt"), filepath.Join(certs, "admin.key"))
	must(t, err)
	admin.ServerName = "localhost"
	w.conf = admin
	_, err = w.connect(t)
	must(t, err)
}

// TestTooManyOfOne: of a client that has too many the oldest goes, as its end of the
// connection sees and as the one that uses it here sees; others keep theirs.
func TestTooManyOfOne(t *testing.T) {
	t.Parallel()
	var anybody atomic.Bool
	w := newWorld(t, gate.Options{Each: 2, Client: func(cs tls.ConnectionState) string {
		if anybody.Load() {
			return ""
		}
		return cs.PeerCertificates[0].Subject.CommonName
	}})
	echoed := func(c *tls.Conn) bool {
		_, err := c.Write([]byte("y"))
		if err == nil {
			_, err = io.ReadFull(c, make([]byte, 1))
		}
		return err == nil
	}
	var all []*tls.Conn
	for i := range 5 {
		c, err := w.connect(t)
		must(t, err)
		all = append(all, c)
		open := int64(min(i+1, 2))
		w.await(t, "the oldest go", func(s gate.Stats) bool { return s.Open == open && s.Crowded == uint64(max(0, i-1)) })
	}
	for i, c := range all {
		if echoed(c) != (i >= 3) {
			t.Errorf("connection %d is open: %t", i, i < 3)
		}
	}
	all[3].Close() // makes room
	w.await(t, "one is gone", func(s gate.Stats) bool { return s.Open == 1 })
	c, err := w.connect(t)
	must(t, err)
	if !echoed(c) || !echoed(all[4]) {
		t.Error("one of two is closed")
	}
	anybody.Store(true) // and may have any number
	for range 3 {
		c, err := w.connect(t)
		must(t, err)
		all = append(all, c)
	}
	if s := w.Stats(); s.Open != 5 || s.Crowded != 3 {
		t.Errorf("%+v", s)
	}
}

// TestClose ends what is in its handshake.
func TestClose(t *testing.T) {
	t.Parallel()
	w := newWorld(t, gate.Options{Timeout: time.Hour})
	silent := w.dial(t)
	w.await(t, "it is in its handshake", func(s gate.Stats) bool { return s.Pending == 1 })
	must(t, w.Close())
	closed(t, "it", silent)
	if _, err := w.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept returns %v", err)
	}
}
