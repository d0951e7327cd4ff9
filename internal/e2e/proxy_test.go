package e2e_test

import (
	"fmt"
	"io"
	"net"
	"sync"

	"github.com/rogpeppe/go-internal/testscript"
)

// cmdProxy listens in front of $JAMESD_ADDR and puts its address into $PROXY:
// `proxy cut BYTES` closes the first connection that has carried that many bytes
// towards the device, `proxy hang BYTES` lets it stall; later ones pass.
func cmdProxy(ts *testscript.TestScript, neg bool, args []string) {
	var limit int64
	if len(args) != 2 || (args[0] != "cut" && args[0] != "hang") {
		ts.Fatalf("usage: proxy cut|hang BYTES")
	}
	if _, err := fmt.Sscan(args[1], &limit); err != nil {
		ts.Fatalf("bytes: %v", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Setenv("PROXY", l.Addr().String())
	p := &proxy{target: ts.Getenv("JAMESD_ADDR"), limit: limit, hang: args[0] == "hang", closed: make(chan struct{})}
	ts.Defer(func() { l.Close(); close(p.closed) })
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			go p.pass(in)
		}
	}()
}

type proxy struct {
	target string
	limit  int64
	hang   bool
	once   sync.Once
	closed chan struct{}
}

func (p *proxy) pass(in net.Conn) {
	defer in.Close()
	out, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	defer out.Close()
	go func() { io.Copy(out, in); out.Close() }()
	if n, _ := io.CopyN(in, out, p.limit); n < p.limit {
		return
	}
	first := false
	p.once.Do(func() { first = true })
	switch {
	case !first:
		io.Copy(in, out)
	case p.hang:
		<-p.closed
	}
}
