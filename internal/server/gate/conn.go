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

	// Of the handshake; place and evicted are guarded by gate.mu.
	working bool
	begun   bool // something has arrived, and it was its turn
	place   *list.Element
	evicted bool

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

// spoken notes that the client has said something.
func (c *Conn) spoken() {
	if c.begun {
		return
	}
	c.gate.mu.Lock()
	defer c.gate.mu.Unlock()
	if c.place != nil {
		c.gate.silent.Remove(c.place)
		c.place = nil
	}
}

// finish ends the handshake's part of the connection's life.
func (c *Conn) finish() {
	c.rest()
	c.over.Store(true)
	c.gate.pending.Add(-1)
	c.gate.mu.Lock()
	defer c.gate.mu.Unlock()
	if c.place != nil {
		c.gate.silent.Remove(c.place)
		c.place = nil
	}
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
