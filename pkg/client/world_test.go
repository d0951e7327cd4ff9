package client_test

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/trusch/jamesd/internal/pki"
	"github.com/trusch/jamesd/pkg/client"
)

// certs is a directory with two authorities, ca and other/ca, and what they issued.
var certs string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "client-test-")
		check(err)
		defer os.RemoveAll(dir)
		certs = dir
		other := filepath.Join(dir, "other")
		past := pki.WithNow(func() time.Time { return time.Now().Add(-time.Hour) })
		future := pki.WithNow(func() time.Time { return time.Now().Add(100 * time.Hour) })
		check(pki.Init(dir))
		check(pki.Init(other))
		check(pki.AddServer(dir, "server", nil))
		check(pki.AddServer(dir, "server-late", nil, past, pki.WithLifetime(time.Minute)))
		check(pki.AddServer(dir, "server-early", nil, future))
		check(pki.AddServer(other, "server", nil))
		check(pki.AddClient(dir, "device-1"))
		check(pki.AddClient(dir, "late", past, pki.WithLifetime(time.Minute)))
		check(pki.AddClient(other, "device-1"))
		return m.Run()
	}())
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func pair(t testing.TB, name string) tls.Certificate {
	t.Helper()
	c, err := tls.LoadX509KeyPair(filepath.Join(certs, name+".crt"), filepath.Join(certs, name+".key"))
	must(t, err)
	return c
}

func pool(t testing.TB, name string) *x509.CertPool {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(certs, name))
	must(t, err)
	p := x509.NewCertPool()
	p.AppendCertsFromPEM(raw)
	return p
}

// serverTLS is a server with that certificate that lets in who has one of ca.
func serverTLS(t testing.TB, name string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{pair(t, name)},
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool(t, "ca.crt"),
	}
}

// clientTLS is a client that trusts ca and shows that certificate, whatever the
// server asks for; "" shows none.
func clientTLS(t testing.TB, name string) *tls.Config {
	conf := &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: pool(t, "ca.crt")}
	if name != "" {
		shown := pair(t, name)
		conf.Certificates = []tls.Certificate{shown}
		conf.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &shown, nil }
	}
	return conf
}

// newClient returns a client of addr that does not retry unless it is told to.
func newClient(t testing.TB, addr, name string, change ...func(*client.Options)) *client.Client {
	t.Helper()
	o := client.Options{Addr: addr, TLS: clientTLS(t, name), Retries: -1}
	for _, c := range change {
		c(&o)
	}
	c, err := client.New(o)
	must(t, err)
	t.Cleanup(c.Close)
	return c
}

// serve runs the handler behind TLS with the certificate of that name.
func serve(t testing.TB, name string, h http.HandlerFunc) (addr string) {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", serverTLS(t, name))
	must(t, err)
	srv := &http.Server{Handler: h, ErrorLog: log.New(io.Discard, "", 0)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		srv.Serve(l)
	}()
	t.Cleanup(func() {
		srv.Close()
		<-done
	})
	return l.Addr().String()
}

// accept runs f on every connection to a listener, one after the other.
func accept(t testing.TB, f func(net.Conn)) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			f(conn)
			conn.Close()
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
	})
	return l.Addr().String()
}

func problem(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	io.WriteString(w, body)
}
