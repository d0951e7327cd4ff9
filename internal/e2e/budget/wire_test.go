package budget_test

import (
	"crypto/tls"
	"io"
	"net"
	"sync/atomic"
	"testing"

	"github.com/trusch/jamesd/internal/pki"
	"github.com/trusch/jamesd/pkg/client"
	"github.com/trusch/jamesd/pkg/james"
)

// wireBytes returns the size of an idle poll, request and answer, as the agent's
// client and the server send them, counted between the two inside of TLS.
func wireBytes(b *testing.B, m *machine, addr string) (request, answer int64) {
	b.Helper()
	must(b, pki.AddClient(m.pki, deviceID(0)))
	device, err := pki.ClientTLS(m.pki+"/ca.crt", m.pki+"/device-0.crt", m.pki+"/device-0.key")
	must(b, err)
	device.ServerName = "localhost"
	conf, err := pki.ServerTLS(m.pki+"/ca.crt", m.pki+"/server.crt", m.pki+"/server.key")
	must(b, err)
	l, err := tls.Listen("tcp", "127.0.0.1:0", conf)
	must(b, err)
	b.Cleanup(func() { l.Close() })
	var in, out atomic.Int64
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go relay(conn, addr, device, &in, &out)
		}
	}()
	c, err := client.New(client.Options{Addr: l.Addr().String(), TLS: device, UserAgent: "jamesc/0123456789ab"})
	must(b, err)
	defer c.Close()
	_, err = c.Poll(b.Context(), james.PollRequest{Report: reportOf(0)})
	must(b, err)
	in.Store(0)
	out.Store(0)
	_, err = c.Poll(b.Context(), james.PollRequest{Same: reportOf(0).Digest(), Wait: 1})
	must(b, err)
	return in.Load(), out.Load()
}

func relay(conn net.Conn, addr string, conf *tls.Config, in, out *atomic.Int64) {
	defer conn.Close()
	to, err := tls.Dial("tcp", addr, conf)
	if err != nil {
		return
	}
	defer to.Close()
	go func() {
		io.Copy(&counting{to, in}, conn)
		to.Close()
	}()
	io.Copy(&counting{conn, out}, to)
}

// counting counts before it passes on, so that who has an answer sees its count.
type counting struct {
	io.Writer
	n *atomic.Int64
}

func (c *counting) Write(p []byte) (int, error) {
	c.n.Add(int64(len(p)))
	return c.Writer.Write(p)
}
