package gate

import (
	"crypto/tls"
	"slices"
	"sync"
	"sync/atomic"
)

// crowd holds the connections of each client, the oldest first.
type crowd struct {
	ended atomic.Uint64

	mu sync.Mutex
	of map[string][]*Conn
}

// join notes a connection that was let in. Of a client that has too many now the oldest
// goes: it is the one that he has forgotten, if any, and the newest is the one that he uses.
func (g *Listener) join(c *Conn, state tls.ConnectionState) {
	if g.o.Each <= 0 || g.o.Client == nil {
		return
	}
	client := g.o.Client(state)
	if client == "" {
		return
	}
	if oldest := g.crowd.add(client, c, g.o.Each); oldest != nil {
		g.crowd.ended.Add(1)
		oldest.hangUp()
	}
	if c.once.Load() { // it was closed before it was added
		g.crowd.remove(c)
	}
}

// add adds a connection, and returns the one that goes for it.
func (w *crowd) add(client string, c *Conn, most int) (oldest *Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := append(w.of[client], c)
	if len(all) > most {
		oldest = all[0]
		oldest.client = ""
		all = slices.Delete(all, 0, 1)
	}
	c.client, w.of[client] = client, all
	return oldest
}

// remove forgets a connection.
func (w *crowd) remove(c *Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if c.client == "" {
		return
	}
	rest := slices.DeleteFunc(w.of[c.client], func(other *Conn) bool { return other == c })
	if w.of[c.client] = rest; len(rest) == 0 {
		delete(w.of, c.client)
	}
	c.client = ""
}

// hangUp has who uses the connection see that the client has gone, and close it. Closing it
// here would have those wait on who watch it.
func (c *Conn) hangUp() {
	half, ok := c.Conn.(interface {
		CloseRead() error
		CloseWrite() error
	})
	if !ok {
		c.Conn.Close()
		return
	}
	_ = half.CloseRead() // that it is closed already is as well
	_ = half.CloseWrite()
}
