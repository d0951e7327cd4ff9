// Package parking keeps connections on which nothing happens: those whose poll is held,
// and those between two polls. A parked connection has no goroutine, and none of what
// net/http has of a connection; what is left of it is the TLS state and the kernel's
// buffers. All of them are watched together, and one goes back to the server when its
// peer sends something.
package parking

import (
	"context"
	"errors"
	"net"
	"sync"
	"syscall"
	"time"
)

// Lot is where connections are parked. Its methods are safe for concurrent use.
type Lot struct {
	watcher watcher
	back    chan net.Conn // to be accepted again
	closing chan struct{}

	mu     sync.Mutex
	parked map[net.Conn]bool // true while it is idle: nobody waits for an answer
	empty  chan struct{}     // closed when it is closing and nothing is parked any more
	closed bool
}

// New returns an empty lot. It fails with errors.ErrUnsupported where the system
// cannot watch many connections at once.
func New() (*Lot, error) {
	w, err := newWatcher()
	if err != nil {
		return nil, err
	}
	return &Lot{watcher: w, back: make(chan net.Conn), closing: make(chan struct{}), parked: make(map[net.Conn]bool), empty: make(chan struct{})}, nil
}

// Place is where one connection is parked.
type Place struct {
	lot   *Lot
	conn  net.Conn
	watch uint64
}

// Park parks a connection whose peer waits for an answer, and calls gone, once and in a
// goroutine of its own, when the peer hangs up or sends something. Leave or Return must
// follow. It fails where the connection is none of the kernel's.
func (l *Lot) Park(conn net.Conn, gone func()) (*Place, error) {
	raw, err := rawConn(conn)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	l.parked[conn] = false
	l.mu.Unlock()
	p := &Place{lot: l, conn: conn}
	if p.watch, err = l.watcher.add(raw, gone); err != nil {
		p.Leave()
		return nil, err
	}
	return p, nil
}

// Leave takes the connection out of the lot, and leaves it to the caller.
func (p *Place) Leave() {
	p.lot.watcher.remove(p.watch)
	p.lot.leave(p.conn)
}

func (l *Lot) leave(conn net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.parked, conn)
	l.checkEmpty()
}

// Return leaves the connection to the lot, its peer having been answered: the
// listener accepts it again when the peer sends something, and it is closed if it has not
// within idle.
func (p *Place) Return(idle time.Duration) {
	l := p.lot
	l.watcher.remove(p.watch)
	if !l.idle(p.conn) {
		p.conn.Close()
		return
	}
	raw, err := rawConn(p.conn)
	var timer *time.Timer
	var once sync.Once // either comes back or is closed
	timer = time.AfterFunc(idle, func() {
		once.Do(func() {
			l.leave(p.conn)
			p.conn.Close()
		})
	})
	if err == nil {
		_, err = l.watcher.add(raw, func() {
			once.Do(func() {
				timer.Stop()
				l.giveBack(p.conn)
			})
		})
	}
	if err != nil {
		timer.Reset(0)
	}
}

// idle notes that nobody waits on a connection any more. It returns false, having
// forgotten it, where the lot is closing.
func (l *Lot) idle(conn net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		delete(l.parked, conn)
		l.checkEmpty()
		return false
	}
	l.parked[conn] = true
	return true
}

func (l *Lot) giveBack(conn net.Conn) {
	l.leave(conn)
	select {
	case l.back <- conn:
	case <-l.closing:
		conn.Close()
	}
}

// checkEmpty is called with mu held.
func (l *Lot) checkEmpty() {
	if l.closed && len(l.parked) == 0 {
		select {
		case <-l.empty:
		default:
			close(l.empty)
		}
	}
}

// Len returns how many connections are parked.
func (l *Lot) Len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.parked)
}

// Shutdown closes the connections that are idle, waits for the answers on the others,
// and closes what is left when ctx is done. Nothing may be parked afterwards.
func (l *Lot) Shutdown(ctx context.Context) {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return
	}
	l.closed = true
	close(l.closing)
	for conn, idle := range l.parked {
		if idle {
			conn.Close()
			delete(l.parked, conn)
		}
	}
	l.checkEmpty()
	l.mu.Unlock()
	select {
	case <-l.empty:
	case <-ctx.Done():
	}
	l.mu.Lock()
	for conn := range l.parked {
		conn.Close()
	}
	l.mu.Unlock()
	l.watcher.close()
}

// rawConn returns what the kernel knows a connection by, which may be one of TLS.
func rawConn(conn net.Conn) (syscall.RawConn, error) {
	for {
		switch c := conn.(type) {
		case syscall.Conn:
			return c.SyscallConn()
		case interface{ NetConn() net.Conn }:
			conn = c.NetConn()
		default:
			return nil, errors.ErrUnsupported
		}
	}
}
