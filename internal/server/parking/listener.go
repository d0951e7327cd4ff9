package parking

import (
	"net"
	"sync"
)

// Listener returns a listener that accepts what inner does, and the connections that
// come back from the lot.
func (l *Lot) Listener(inner net.Listener) net.Listener {
	out := &listener{Listener: inner, lot: l, fresh: make(chan accepted), done: make(chan struct{})}
	out.close = sync.OnceValue(func() error {
		close(out.done)
		return inner.Close()
	})
	go out.accept()
	return out
}

type listener struct {
	net.Listener
	lot   *Lot
	fresh chan accepted
	done  chan struct{}
	close func() error
}

type accepted struct {
	conn net.Conn
	err  error
}

// accept passes on what is accepted, errors too, until the listener is closed.
func (l *listener) accept() {
	for {
		conn, err := l.Listener.Accept()
		select {
		case l.fresh <- accepted{conn, err}:
		case <-l.done:
			if err == nil {
				conn.Close()
			}
			return
		}
	}
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	select {
	case a := <-l.fresh:
		return a.conn, a.err
	case conn := <-l.lot.back:
		return conn, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (l *listener) Close() error { return l.close() }
