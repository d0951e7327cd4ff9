package gate

import (
	"container/list"
	"context"
	"errors"
	"net"
	"sync/atomic"
)

// errLate ends a handshake whose work could not begin in time.
var errLate = errors.New("too many handshakes are before this one")

// Conn is the connection below TLS. In its handshake it has a place to work from when
// something arrives until more is waited for.
type Conn struct {
	net.Conn
	gate *Listener
	over atomic.Bool // the handshake is
	once atomic.Bool // it was closed

	// Of the handshake; list, place and evicted are guarded by gate.mu.
	working bool
	begun   bool       // something has arrived, and it was its turn
	list    *list.List // of gate, in which it has its place
	place   *list.Element
	evicted bool
	extra   bool // there were too many before it

	onClose func()
	client  string // whose connection it is, guarded by gate.crowd.mu; "" where that is not counted
}

// OnClose has f called when the connection is closed. It is to be called once at most,
// before anybody can close it.
func (c *Conn) OnClose(f func()) { c.onClose = f }

// NetConn returns the connection below.
func (c *Conn) NetConn() net.Conn { return c.Conn }

// Read implements net.Conn.
func (c *Conn) Read(p []byte) (int, error) {
	if c.over.Load() {
		return c.Conn.Read(p)
	}
	c.rest()
	c.owes()
	n, err := c.Conn.Read(p)
	if n == 0 {
		return n, err
	}
	c.spoken()
	if !c.enter() {
		return 0, errLate
	}
	return n, err
}

// enter waits for a place to work. It returns false where the work could not begin in time;
// what has begun has until the deadline of the connection.
func (c *Conn) enter() bool {
	ctx, cancel := context.WithTimeout(context.Background(), c.gate.o.Wait)
	defer cancel()
	c.working = c.gate.work.Enter(ctx, c.begun)
	c.begun = c.begun || c.working
	return c.working
}

// rest lets others work.
func (c *Conn) rest() {
	if c.working {
		c.working = false
		c.gate.work.Leave()
	}
}

// owes notes that the client's next part of the handshake is waited for.
func (c *Conn) owes() {
	if !c.begun {
		return // it is one of the silent
	}
	c.gate.mu.Lock()
	defer c.gate.mu.Unlock()
	c.await(&c.gate.owing)
}

// spoken notes that the client has said something.
func (c *Conn) spoken() {
	c.gate.mu.Lock()
	defer c.gate.mu.Unlock()
	c.arrived()
}

// finish ends the handshake's part of the connection's life.
func (c *Conn) finish() {
	c.rest()
	c.over.Store(true)
	c.gate.pending.Add(-1)
	c.gate.mu.Lock()
	defer c.gate.mu.Unlock()
	c.arrived()
	delete(c.gate.shakes, c)
}

// Close implements net.Conn.
func (c *Conn) Close() error {
	if c.once.CompareAndSwap(false, true) {
		c.gate.open.Add(-1)
		c.gate.crowd.remove(c)
		if c.onClose != nil {
			c.onClose()
		}
	}
	return c.Conn.Close()
}
