package server_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/trusch/jamesd/internal/pki"
	"github.com/trusch/jamesd/pkg/client"
	"github.com/trusch/jamesd/pkg/james"
)

// TestMisbehaviour: while some say nothing, send garbage before and after the handshake, stall
// in the middle of a body, hoard connections and flood, the polls of a device are answered,
// and the flood is told what it has met.
func TestMisbehaviour(t *testing.T) {
	t.Parallel()
	p := run(t, nil, append(standard(t.TempDir()), "--device-requests", "1", "--device-connections", "16")...)
	p.logged(t, "ready")
	addr := p.addr(t, "listening")
	conf, hoarder, flooder := certificateOf(t, "staller"), certificateOf(t, "hoarder"), certificateOf(t, "flooder")
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	again := func(n int, do func(raw net.Conn)) {
		for range n {
			wg.Go(func() {
				for ctx.Err() == nil {
					raw, err := net.Dial("tcp", addr)
					if err != nil {
						continue
					}
					stop := context.AfterFunc(ctx, func() { raw.Close() })
					do(raw)
					stop()
					raw.Close()
				}
			})
		}
	}
	again(10, func(raw net.Conn) { io.Copy(io.Discard, raw) })
	again(2, func(raw net.Conn) {
		io.WriteString(raw, strings.Repeat("garbage", 1000))
		io.Copy(io.Discard, raw)
	})
	again(2, func(raw net.Conn) {
		c := tls.Client(raw, conf)
		io.WriteString(c, strings.Repeat("garbage", 1000))
		io.Copy(io.Discard, c)
	})
	again(10, func(raw net.Conn) {
		c := tls.Client(raw, conf)
		io.WriteString(c, "POST /v1/poll HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n{")
		io.Copy(io.Discard, c)
	})
	for range 20 { // and says nothing on any of them
		c, err := tls.Dial("tcp", addr, hoarder)
		must(t, err)
		defer c.Close()
	}
	var told sync.Once
	met := make(chan error, 1)
	for range 4 {
		wg.Go(func() {
			c, err := client.New(client.Options{Addr: addr, TLS: flooder, Retries: -1})
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			for ctx.Err() == nil {
				if _, err := c.Poll(ctx, james.PollRequest{Report: &james.DeviceReport{}}); james.AfterOf(err) > 0 {
					told.Do(func() { met <- err })
				}
			}
		})
	}
	err := <-met
	if !strings.Contains(err.Error(), "flooder sends too many requests") || !strings.Contains(james.HintOf(err), "--device-requests") {
		t.Errorf("the flood is told %v, %s", err, james.HintOf(err))
	}
	for i := range 20 {
		limited, end := context.WithTimeout(t.Context(), patience)
		device := p.client(t, "device-1")
		if _, err := device.Poll(limited, james.PollRequest{Report: &james.DeviceReport{}}); err != nil {
			t.Errorf("poll %d: %v", i, err)
		}
		device.Close()
		end()
	}
	_, body := p.get(t, "/metrics")
	for _, setting := range []string{"device-requests", "device-connections"} {
		if strings.Contains(body, `jamesd_limited_total{limit="`+setting+`"} 0`) {
			t.Errorf("nobody has met --%s", setting)
		}
	}
	cancel()
	wg.Wait()
	p.stop(t)
}

// certificateOf returns what a new device of that name connects with.
func certificateOf(t *testing.T, name string) *tls.Config {
	t.Helper()
	must(t, pki.AddClient(certs, name))
	conf, err := pki.ClientTLS(filepath.Join(certs, "ca.crt"), filepath.Join(certs, name+".crt"), filepath.Join(certs, name+".key"))
	must(t, err)
	conf.ServerName = "localhost"
	return conf
}
