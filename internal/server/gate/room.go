package gate

import (
	"container/list"
	"crypto/tls"
)

// spare is how many connections there may be beyond the limit for those that are nobody's of
// Options.Client, who is known after the handshake only: admins get in when devices have all
// connections.
const spare = 8

// room reports whether there may be n connections, as an extra one or not. Where there are
// too many, one goes whose client we wait for: without a certificate, or with one that it has
// not shown yet, nobody keeps out those who have one and show it.
func (g *Listener) room(n int64) (ok, extra bool) {
	most := int64(g.o.Connections)
	if most <= 0 || n <= most {
		return true, false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.evict(&g.silent) || g.evict(&g.owing) {
		return true, false
	}
	return g.o.Client != nil && n <= most+spare, true
}

// keep reports whether a connection may stay whose handshake has ended.
func (g *Listener) keep(c *Conn, state tls.ConnectionState) bool {
	return !c.extra || g.open.Load() <= int64(g.o.Connections) || g.o.Client(state) == ""
}

// evict ends the handshake of the first in a list, if there is one; g.mu is held.
func (g *Listener) evict(l *list.List) bool {
	first := l.Front()
	if first == nil {
		return false
	}
	l.Remove(first)
	c := first.Value.(*Conn)
	c.place, c.evicted = nil, true
	c.Conn.Close()
	g.mute.Add(1)
	return true
}

// await puts a connection into a list of those whose client we wait for; g.mu is held.
func (c *Conn) await(l *list.List) {
	if c.evicted {
		return
	}
	c.list, c.place = l, l.PushBack(c)
}

// arrived takes a connection out of its list; g.mu is held.
func (c *Conn) arrived() {
	if c.place != nil {
		c.list.Remove(c.place)
		c.place = nil
	}
}
