package budget_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/trusch/jamesd/internal/pki"
	"github.com/trusch/jamesd/internal/server/gate"
)

// The ways in which the empty server does its handshakes: as net/http does them with no
// limit, with the limit of jamesd, and behind jamesd's gate.
const (
	emptyPlain   = "plain"
	emptyBounded = "bounded"
	emptyGated   = "gated"
)

// serveEmpty is the server that a poll is compared with: net/http behind the
// same TLS, with a handler that reads the body and answers 204.
func serveEmpty(dir, way string) {
	conf, err := pki.ServerTLS(dir+"/ca.crt", dir+"/server.crt", dir+"/server.key")
	if err != nil {
		panic(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println("empty", l.Addr())
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	srv := &http.Server{TLSConfig: conf, Protocols: protocols, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusNoContent)
	})}
	if way != emptyPlain {
		srv.ReadHeaderTimeout = 15 * time.Second // for the handshake, too
	}
	if way == emptyGated {
		conf.NextProtos = []string{"http/1.1"}
		panic(srv.Serve(gate.New(l, gate.Options{TLS: conf})))
	}
	panic(srv.ServeTLS(l, "", ""))
}

// empty starts it in a process of its own and returns its address.
func (m *machine) empty(b *testing.B) string { return m.emptyAs(b, emptyPlain) }

// emptyAs is empty with one of the ways.
func (m *machine) emptyAs(b *testing.B, way string) string {
	b.Helper()
	self, err := os.Executable()
	must(b, err)
	cmd := m.server(self)
	cmd.Env = append(os.Environ(), emptyServer+"="+m.pki, emptyWay+"="+way)
	return start(b, cmd).line(b, `empty (\S+)`)
}
