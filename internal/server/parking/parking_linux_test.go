package parking_test

import (
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/trusch/jamesd/internal/server/parking"
)

// yard is a lot, its listener, and what dials it.
type yard struct {
	*parking.Lot
	t        *testing.T
	listener net.Listener
}

func newYard(t *testing.T) *yard {
	t.Helper()
	lot, err := parking.New()
	must(t, err)
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	y := &yard{lot, t, lot.Listener(inner)}
	t.Cleanup(func() {
		y.listener.Close()
		lot.Shutdown(context.Background())
	})
	return y
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// pair returns both ends of a new connection.
func (y *yard) pair() (server, client net.Conn) {
	y.t.Helper()
	client, err := net.Dial("tcp", y.listener.Addr().String())
	must(y.t, err)
	y.t.Cleanup(func() { client.Close() })
	server, err = y.listener.Accept()
	must(y.t, err)
	return server, client
}

func (y *yard) park(conn net.Conn) (*parking.Place, <-chan struct{}) {
	y.t.Helper()
	gone := make(chan struct{})
	p, err := y.Park(conn, func() { close(gone) })
	must(y.t, err)
	return p, gone
}

// TestGone: who hangs up or sends something is noticed, also where that was before.
func TestGone(t *testing.T) {
	t.Parallel()
	for name, act := range map[string]func(client net.Conn) error{
		"hangs up":       net.Conn.Close,
		"shuts its side": func(c net.Conn) error { return c.(*net.TCPConn).CloseWrite() },
		"sends":          func(c net.Conn) error { _, err := c.Write([]byte("x")); return err },
		"resets":         func(c net.Conn) error { return errors.Join(c.(*net.TCPConn).SetLinger(0), c.Close()) },
	} {
		for _, before := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				y := newYard(t)
				server, client := y.pair()
				if before {
					must(t, act(client))
				}
				p, gone := y.park(server)
				if !before {
					must(t, act(client))
				}
				<-gone
				p.Leave()
				server.Close()
				if n := y.Len(); n != 0 {
					t.Errorf("%d are parked", n)
				}
			})
		}
	}
}

// TestReturn: a connection comes back with what its peer sends, as often as it does.
func TestReturn(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	server, client := y.pair()
	for _, text := range []string{"one", "two", "three"} {
		p, gone := y.park(server)
		p.Return(time.Hour)
		_, err := client.Write([]byte(text))
		must(t, err)
		server, err = y.listener.Accept()
		must(t, err)
		buf := make([]byte, len(text))
		if _, err := io.ReadFull(server, buf); err != nil || string(buf) != text {
			t.Fatalf("read %q, %v", buf, err)
		}
		select {
		case <-gone:
			t.Error("a poll that was answered is told that its device is gone")
		default:
		}
	}
	if n := y.Len(); n != 0 {
		t.Errorf("%d are parked", n)
	}
}

// TestIdle: who does not come back in time is closed.
func TestIdle(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	server, client := y.pair()
	p, _ := y.park(server)
	p.Return(time.Millisecond)
	if _, err := client.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("read ends with %v", err)
	}
	if n := y.Len(); n != 0 {
		t.Errorf("%d are parked", n)
	}
}

// TestShutdown closes who is idle at once, and waits for the others as long as it may.
func TestShutdown(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	idle, idleClient := y.pair()
	p, _ := y.park(idle)
	p.Return(time.Hour)
	held, heldClient := y.pair()
	h, _ := y.park(held)
	done := make(chan struct{})
	go func() {
		defer close(done)
		y.Shutdown(t.Context())
	}()
	if _, err := idleClient.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("reading what was idle ends with %v", err)
	}
	_, err := held.Write([]byte("answer"))
	must(t, err)
	h.Return(time.Hour)
	<-done
	if raw, err := io.ReadAll(heldClient); err != nil || string(raw) != "answer" {
		t.Errorf("read %q, %v", raw, err)
	}
}

// TestShutdownInTime closes what is still held when the time is over.
func TestShutdownInTime(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	held, client := y.pair()
	y.park(held)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	y.Shutdown(ctx)
	if _, err := client.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("read ends with %v", err)
	}
}

// TestListenerClosed: nothing is accepted any more, and what comes then is closed.
func TestListenerClosed(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	server, client := y.pair()
	p, _ := y.park(server)
	p.Return(time.Hour)
	must(t, y.listener.Close())
	if _, err := y.listener.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("accepting ends with %v", err)
	}
	_, err := client.Write([]byte("x"))
	must(t, err)
	y.Shutdown(t.Context())
	if _, err := io.ReadAll(client); err != nil && !errors.Is(err, io.EOF) && !isReset(err) {
		t.Errorf("read ends with %v", err)
	}
}

func isReset(err error) bool {
	var op *net.OpError
	return errors.As(err, &op)
}

// TestNoGoroutines: many parked connections have none.
func TestNoGoroutines(t *testing.T) {
	y := newYard(t)
	const n = 200
	before := runtime.NumGoroutine()
	for i := range n {
		server, _ := y.pair()
		p, _ := y.park(server)
		if i%2 == 0 {
			p.Return(time.Hour)
		}
	}
	if now := runtime.NumGoroutine(); now > before+10 {
		t.Errorf("%d goroutines, %d before", now, before)
	}
	if y.Len() != n {
		t.Errorf("%d are parked", y.Len())
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	y.Shutdown(ctx)
}

// TestNotOfTheKernel: a connection that nobody can watch is refused.
func TestNotOfTheKernel(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	one, two := net.Pipe()
	defer one.Close()
	defer two.Close()
	if _, err := y.Park(one, func() {}); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("got %v", err)
	}
	if y.Len() != 0 {
		t.Error("it is parked")
	}
}
