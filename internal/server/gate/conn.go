package gate

import (
	"container/list"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"
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
	begun   bool        // something has arrived, and it was its turn
	settle  func()      // has it not count as begun any more
	slow    *time.Timer // calls settle
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
	patience := c.gate.o.Timeout
	if !c.begun {
		patience = c.gate.o.Wait
	}
	if !c.gate.work.enter(c.begun, patience) {
		return 0, errLate
	}
	c.working = true
	if !c.begun {
		c.begun = true
		c.settle = sync.OnceFunc(c.gate.work.done)
		c.slow = time.AfterFunc(grace, c.settle)
	}
	return n, err
}

// rest lets others work.
func (c *Conn) rest() {
	if c.working {
		c.working = false
		c.gate.work.leave()
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
	if c.begun {
		c.slow.Stop()
		c.settle()
		c.slow, c.settle = nil, nil
	}
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
