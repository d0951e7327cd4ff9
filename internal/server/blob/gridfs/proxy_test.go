package gridfs_test

import (
	"bytes"
	"encoding/binary"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
)

// proxy stands between a store and its server, and can cut them off.
type proxy struct {
	t      *testing.T
	server string // host:port
	addr   string // host:port
	done   sync.WaitGroup
	asked  atomic.Int64 // requests about blobs

	mu       sync.Mutex
	listener net.Listener
	conns    map[net.Conn]bool
	open     bool
	request  []byte // see onAnswer
	then     func() bool
}

// newProxy returns a proxy for the server of uri and the uri that leads through
// it, with a short server selection.
func newProxy(t *testing.T, uri string) (*proxy, string) {
	t.Helper()
	u, err := url.Parse(uri)
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{t: t, server: u.Host, addr: "127.0.0.1:0", conns: make(map[net.Conn]bool)}
	p.connect()
	t.Cleanup(p.cut)
	u.Host = p.addr
	q := u.Query()
	q.Set("directConnection", "true") // not past the proxy to the members of a replica set
	q.Set("serverSelectionTimeoutMS", "1500")
	u.RawQuery = q.Encode()
	return p, u.String()
}

// connect lets connections through, at the same address each time.
func (p *proxy) connect() {
	p.t.Helper()
	l, err := net.Listen("tcp", p.addr)
	if err != nil {
		p.t.Fatal(err)
	}
	p.addr = l.Addr().String()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.listener, p.open, p.then = l, true, nil
	p.done.Go(func() { p.accept(l) })
}

// cut ends all connections and lets no new ones in.
func (p *proxy) cut() {
	p.shut()
	p.done.Wait()
}

func (p *proxy) shut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open = false
	p.listener.Close()
	for c := range p.conns {
		c.Close()
	}
}

// onAnswer calls then when the answer comes to the next request that has these
// bytes. The answer is passed on if then returns true; otherwise it is lost, and
// the connection with it.
func (p *proxy) onAnswer(request []byte, then func() bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.request, p.then = request, then
}

// take returns what to call when the answer to request comes, or nil.
func (p *proxy) take(request []byte) (then func() bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.then != nil && bytes.Contains(request, p.request) {
		then, p.then = p.then, nil
	}
	return then
}

func (p *proxy) accept(l net.Listener) {
	for {
		client, err := l.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.server)
		if err != nil {
			client.Close()
			continue
		}
		if !p.keep(client, server) {
			return
		}
		p.relay(client, server)
	}
}

// relay passes requests and answers on.
func (p *proxy) relay(client, server net.Conn) {
	awaited := make(chan func() bool, 1)
	var asked messages
	p.done.Go(func() {
		pass(server, client, func(request []byte) bool {
			p.asked.Add(asked.about(request, []byte("blobs.")))
			if then := p.take(request); then != nil {
				awaited <- then
			}
			return true
		})
	})
	p.done.Go(func() {
		pass(client, server, func([]byte) bool {
			select {
			case then := <-awaited:
				return then()
			default:
				return true
			}
		})
	})
}

// messages tells the messages of a connection apart, each of which begins with its
// size.
type messages struct{ rest []byte }

// about takes the next bytes, and returns how many messages end in them that begin
// with a mention of what.
func (m *messages) about(next, what []byte) (n int64) {
	m.rest = append(m.rest, next...)
	for len(m.rest) >= 4 {
		size := int(binary.LittleEndian.Uint32(m.rest))
		if len(m.rest) < size {
			break
		}
		if bytes.Contains(m.rest[:min(100, size)], what) {
			n++
		}
		m.rest = m.rest[size:]
	}
	return n
}

// keep notes both ends for cut, or ends them if it came already.
func (p *proxy) keep(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		if p.conns[c] = true; !p.open {
			c.Close()
		}
	}
	return p.open
}

// pass copies until an end is closed or see returns false, and closes both.
func pass(to, from net.Conn, see func([]byte) bool) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if err != nil || !see(buf[:n]) {
			return
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}
