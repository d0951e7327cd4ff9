// Package gate lets connections in: it carries out their TLS handshakes, no more of them
// at a time than the processors can, and bounds how many connections there are.
//
// What always holds: what is let in is finished. A handshake has two parts of work with
// the client's answer between them; who has done the first goes before all who have not
// begun. Those wait in their turn, and who would wait for longer than a device does is
// turned away, so that a thousand that come at one moment do not make each other late,
// every one of them. Nobody holds others up by being slow: while a client is waited for,
// others have its place. Of clients that say nothing the oldest go where there are too many,
// and of one client's connections.
//
// The package knows nothing of HTTP, and who a client is, only from who made the listener.
package gate

import (
	"container/list"
	"crypto/tls"
	"errors"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/trusch/jamesd/internal/turnstile"
)

// Options are the bounds. Zero values have defaults.
type Options struct {
	// TLS is the configuration of the server.
	TLS *tls.Config
	// Connections is how many there may be, but for a few of those who may have any number;
	// 0 is no limit.
	Connections int
	// Each is how many a client may have, of which the oldest goes; 0 is no limit. Client
	// returns whose a connection is, "" for somebody who may have any number.
	Each   int
	Client func(tls.ConnectionState) string
	// Silent is how many may have said nothing yet; 4,096.
	Silent int
	// Workers is how many do the work of a handshake at a time; runtime.GOMAXPROCS.
	Workers int
	// Wait is how long a handshake may wait for its work to begin, 12 s, and Timeout how
	// long it may take with that, 15 s, which is when jamesc gives up.
	Wait, Timeout time.Duration
}

func (o *Options) complete() {
	if o.Silent <= 0 {
		o.Silent = 4096
	}
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	if o.Wait <= 0 {
		o.Wait = 12 * time.Second
	}
	if o.Timeout <= 0 {
		o.Timeout = 15 * time.Second
	}
}

// Stats are numbers for monitoring. Open and Pending are of this moment.
type Stats struct {
	Open, Pending         int64
	Full, Resumed, Failed uint64 // handshakes
	Late                  uint64 // turned away as their work could not begin in time
	Silent                uint64 // turned away as they said nothing, or did not go on, and there were too many
	Refused               uint64 // closed as there were too many connections
	Crowded               uint64 // closed as the client had too many
}

// Listener is a net.Listener of connections whose handshake is done.
type Listener struct {
	net.Listener
	o     Options
	work  *turnstile.Turnstile
	ready chan result
	over  chan struct{} // closed with the listener
	close func() error
	wg    sync.WaitGroup
	crowd crowd

	open, pending                              atomic.Int64
	full, resumed, failed, late, mute, refused atomic.Uint64

	mu     sync.Mutex
	silent list.List          // of *Conn that have said nothing yet, the oldest first
	owing  list.List          // of *Conn that have begun and whose client is waited for, likewise
	shakes map[*Conn]struct{} // that are in their handshake
}

type result struct {
	conn net.Conn
	err  error
}

// New returns a listener on l, which it closes with itself. Close ends what is in its
// handshake and waits for that.
func New(l net.Listener, o Options) *Listener {
	o.complete()
	g := &Listener{Listener: l, o: o, work: turnstile.New(o.Workers), ready: make(chan result),
		over: make(chan struct{}), shakes: make(map[*Conn]struct{}), crowd: crowd{of: make(map[string][]*Conn)}}
	g.close = sync.OnceValue(g.end)
	g.wg.Go(g.accept)
	return g
}

// Accept returns the next *tls.Conn whose handshake has ended. One whose handshake has
// failed is returned, too, and says why when it is used.
func (g *Listener) Accept() (net.Conn, error) {
	select {
	case r := <-g.ready:
		return r.conn, r.err
	case <-g.over:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (g *Listener) Close() error { return g.close() }

func (g *Listener) end() error {
	err := g.Listener.Close()
	close(g.over)
	g.mu.Lock()
	for c := range g.shakes {
		c.Conn.Close() // the handshake fails, and closes the rest
	}
	g.mu.Unlock()
	g.wg.Wait()
	return err
}

// Stats returns the numbers.
func (g *Listener) Stats() Stats {
	return Stats{
		Open: g.open.Load(), Pending: g.pending.Load(), Full: g.full.Load(), Resumed: g.resumed.Load(), Failed: g.failed.Load(),
		Late: g.late.Load(), Silent: g.mute.Load(), Refused: g.refused.Load(),
		Crowded: g.crowd.ended.Load(),
	}
}

// accept takes connections from the kernel as they come: a queue there would be served in
// its order, by when its first have given up.
func (g *Listener) accept() {
	for {
		raw, err := g.Listener.Accept()
		if err != nil {
			select {
			case g.ready <- result{err: err}: // who accepts knows whether to go on
			case <-g.over:
				return
			}
			if errors.Is(err, net.ErrClosed) {
				return
			}
			continue
		}
		ok, extra := g.room(g.open.Add(1))
		if !ok {
			g.open.Add(-1)
			g.refused.Add(1)
			raw.Close()
			continue
		}
		c := &Conn{Conn: raw, gate: g, extra: extra}
		g.begin(c)
		g.wg.Go(func() { g.shake(c) })
	}
}

// begin notes that c is in its handshake, and ends that of the one that has said nothing
// for longest where there are too many that have not.
func (g *Listener) begin(c *Conn) {
	g.pending.Add(1)
	g.mu.Lock()
	defer g.mu.Unlock()
	c.await(&g.silent)
	g.shakes[c] = struct{}{}
	if g.silent.Len() > g.o.Silent {
		g.evict(&g.silent)
	}
}

// shake carries out the handshake of c.
func (g *Listener) shake(c *Conn) {
	c.SetDeadline(time.Now().Add(g.o.Timeout))
	conn := tls.Server(c, g.o.TLS)
	err := conn.Handshake()
	c.finish()
	c.SetDeadline(time.Time{})
	switch {
	case errors.Is(err, errLate):
		g.late.Add(1)
		conn.Close()
		return
	case c.evicted:
		conn.Close()
		return
	case err != nil:
		g.failed.Add(1)
	case !g.keep(c, conn.ConnectionState()):
		g.refused.Add(1)
		conn.Close()
		return
	case conn.ConnectionState().DidResume:
		g.resumed.Add(1)
	default:
		g.full.Add(1)
	}
	if err == nil {
		g.join(c, conn.ConnectionState())
	}
	select {
	case g.ready <- result{conn: conn}:
	case <-g.over:
		conn.Close()
	}
}
