package api_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"testing"

	"github.com/trusch/jamesd/internal/logging"
	"github.com/trusch/jamesd/internal/pki"
	"github.com/trusch/jamesd/internal/server/api"
	"github.com/trusch/jamesd/internal/server/limit"
	"github.com/trusch/jamesd/pkg/client"
	"github.com/trusch/jamesd/pkg/james"
)

// BenchmarkIdlePoll measures idle polls on kept connections, and, in the same
// run, the same requests to an empty handler of net/http behind the same TLS. It
// reports the rate of the first as a share of the rate of the second.
func BenchmarkIdlePoll(b *testing.B) {
	w := newWorld(b, func(o *api.Options) {
		log := logging.Discard()
		o.Log = log // at level info, as a server has it
		o.Limits = limit.New(limit.Options{DeviceRequests: 1e9, Requests: 1e9, Concurrent: 20_000, DeviceTransfers: 4, Transfers: 20_000})
	})
	req := w.synced(b, "device-1")
	empty := serveEmpty(b)
	// In turns, so that what else the machine does hits both.
	for range 3 {
		var theirs, ours float64
		b.Run("empty", func(b *testing.B) { theirs = rate(b, empty, req) })
		b.Run("poll", func(b *testing.B) {
			ours = rate(b, w.addr, req)
			b.ReportMetric(100*ours/theirs, "%-of-empty")
		})
	}
}

// rate returns how many polls a second the server at addr answers.
func rate(b *testing.B, addr string, req james.PollRequest) float64 {
	b.RunParallel(func(pb *testing.PB) {
		c, err := client.New(client.Options{Addr: addr, TLS: tlsOf(b, "device-1")})
		must(b, err)
		defer c.Close()
		for pb.Next() {
			if _, err := c.Poll(context.Background(), req); err != nil {
				b.Error(err)
			}
		}
	})
	perSecond := float64(b.N) / b.Elapsed().Seconds()
	b.ReportMetric(perSecond, "polls/s")
	return perSecond
}

// serveEmpty returns the address of a server that reads a body and answers 204.
func serveEmpty(b *testing.B) string {
	b.Helper()
	file := func(name string) string { return filepath.Join(certs, name) }
	conf, err := pki.ServerTLS(file("ca.crt"), file("server.crt"), file("server.key"))
	must(b, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(b, err)
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	srv := &http.Server{TLSConfig: conf, Protocols: protocols, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusNoContent)
	})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		srv.ServeTLS(l, "", "")
	}()
	b.Cleanup(func() {
		srv.Close()
		<-done
	})
	return l.Addr().String()
}
