// Package linktest is a bad link for tests: a proxy that carries a server's
// connections slowly, or loses them, and counts what it carries.
package linktest

import (
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Link says what is bad about a link. The zero value carries everything.
type Link struct {
	// Target is the server, HOST:PORT.
	Target string
	// Rate is the bytes in a second that all connections together carry to the client;
	// 0 is without a limit.
	Rate int
	// First closes the connection that has carried so many bytes to the client first;
	// with Hang it carries nothing more instead.
	First int64
	Hang  bool
	// Each closes every connection that has carried so many bytes to the client.
	Each int64
	// Reset is the share of connections, in percent, that are reset after at most
	// ResetWithin bytes, Each or not. Which of them is the same in every run.
	Reset       int
	ResetWithin int64
}

// Proxy carries connections over a link.
type Proxy struct {
	link   Link
	l      net.Listener
	bucket *bucket

	carried, connections atomic.Int64
	resets               atomic.Int64
	first                sync.Once
	mu                   sync.Mutex
	chance               *rand.Rand
	open                 map[net.Conn]bool // nil when the proxy is closed
	closed               chan struct{}
	done                 sync.WaitGroup
}

// Listen returns a proxy that listens on a loopback port.
func Listen(link Link) (*Proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{link: link, l: l, chance: rand.New(rand.NewPCG(1, 2)), open: make(map[net.Conn]bool), closed: make(chan struct{})}
	if link.Rate > 0 {
		p.bucket = &bucket{rate: link.Rate}
	}
	p.done.Go(p.accept)
	return p, nil
}

// Addr is where the proxy listens.
func (p *Proxy) Addr() string { return p.l.Addr().String() }

// Carried returns the bytes that went to the client, handshakes among them, and the
// connections over which they went.
func (p *Proxy) Carried() (bytes, connections int64) { return p.carried.Load(), p.connections.Load() }

// Resets returns how many connections were reset.
func (p *Proxy) Resets() int64 { return p.resets.Load() }

// Close ends the proxy and its connections.
func (p *Proxy) Close() {
	p.mu.Lock()
	_ = p.l.Close()
	close(p.closed)
	for c := range p.open {
		_ = c.Close()
	}
	p.open = nil
	p.mu.Unlock()
	p.done.Wait()
}

func (p *Proxy) accept() {
	for {
		in, err := p.l.Accept()
		if err != nil {
			return
		}
		_ = in.(*net.TCPConn).SetWriteBuffer(inFlight)
		if p.keep(in) {
			p.connections.Add(1)
			p.done.Go(func() { p.carry(in) })
		}
	}
}

// How much of a connection the link holds, in bytes: what is on its way to the client,
// and is lost when the connection is reset, and what the server has sent and was not
// carried yet.
const (
	inFlight = 16 << 10
	held     = 256 << 10
)

// keep notes a connection, so that Close ends it.
func (p *Proxy) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open == nil {
		_ = c.Close()
		return false
	}
	p.open[c] = true
	return true
}

func (p *Proxy) end(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.open, c)
	_ = c.Close()
}

func (p *Proxy) carry(in net.Conn) {
	defer p.end(in)
	out, err := net.Dial("tcp", p.link.Target)
	if err != nil || !p.keep(out) {
		return
	}
	defer p.end(out)
	_ = out.(*net.TCPConn).SetReadBuffer(held)
	p.done.Go(func() {
		_, _ = io.Copy(out, in)
		p.end(out)
	})
	switch err := p.down(in, out, p.fate()); {
	case errors.Is(err, errReset):
		_ = in.(*net.TCPConn).SetLinger(0)
		p.resets.Add(1)
	case errors.Is(err, errFirst):
		p.firstFate(in, out)
	}
}

// firstFate is what happens to a connection that has carried First bytes.
func (p *Proxy) firstFate(in, out net.Conn) {
	first := false
	p.first.Do(func() { first = true })
	switch {
	case !first:
		_ = p.down(in, out, nil)
	case p.link.Hang:
		<-p.closed
	}
}

var errReset, errEach, errFirst = errors.New("reset"), errors.New("each is cut"), errors.New("the first is cut")

// fate is after how many bytes a connection ends, and how; nil where it does not.
type fate struct {
	after int64
	how   error
}

func (p *Proxy) fate() *fate {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.link.Reset > 0 && p.chance.IntN(100) < p.link.Reset:
		return &fate{p.chance.Int64N(p.link.ResetWithin), errReset}
	case p.link.Each > 0:
		return &fate{p.link.Each, errEach}
	case p.link.First > 0:
		return &fate{p.link.First, errFirst}
	}
	return nil
}

// down carries what the server sends.
func (p *Proxy) down(in, out net.Conn, f *fate) error {
	buf := make([]byte, 64<<10)
	for sum := int64(0); ; {
		b := buf
		if p.bucket != nil {
			b = b[:min(len(b), max(512, p.link.Rate/50))]
		}
		if f != nil {
			if sum == f.after {
				return f.how
			}
			b = b[:min(int64(len(b)), f.after-sum)]
		}
		n, err := out.Read(b)
		p.bucket.take(n, p.closed)
		if _, werr := in.Write(b[:n]); werr != nil {
			return werr
		}
		sum += int64(n)
		p.carried.Add(int64(n))
		if err != nil {
			return err
		}
	}
}

// bucket lets so many bytes through in a second.
type bucket struct {
	rate int
	mu   sync.Mutex
	next time.Time
}

func (b *bucket) take(n int, closed <-chan struct{}) {
	if b == nil || n == 0 {
		return
	}
	b.mu.Lock()
	now := time.Now()
	if b.next.Before(now.Add(-burst)) {
		b.next = now.Add(-burst)
	}
	b.next = b.next.Add(time.Duration(n) * time.Second / time.Duration(b.rate))
	wait := b.next.Sub(now)
	b.mu.Unlock()
	if wait <= 0 {
		return
	}
	select {
	case <-closed:
	case <-time.After(wait):
	}
}

// burst is how long a link may catch up with what it has not used.
const burst = 20 * time.Millisecond
