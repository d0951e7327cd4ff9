package api_test

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	logtest "github.com/sirupsen/logrus/hooks/test"

	"github.com/trusch/jamesd/internal/pki"
	"github.com/trusch/jamesd/internal/server/api"
	"github.com/trusch/jamesd/internal/server/blob"
	"github.com/trusch/jamesd/internal/server/blob/memblob"
	"github.com/trusch/jamesd/internal/server/cache"
	"github.com/trusch/jamesd/internal/server/fleet"
	"github.com/trusch/jamesd/internal/server/parking"
	"github.com/trusch/jamesd/internal/server/store/memstore"
	"github.com/trusch/jamesd/internal/server/supply"
	"github.com/trusch/jamesd/pkg/client"
	"github.com/trusch/jamesd/pkg/james"
)

// certs is a directory with two authorities, ca and other/ca, and what they issued.
var certs string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "api-test-")
		check(err)
		defer os.RemoveAll(dir)
		certs = dir
		other := filepath.Join(dir, "other")
		check(pki.Init(dir))
		check(pki.Init(other))
		check(pki.AddServer(dir, "server", nil))
		check(pki.AddAdmin(dir, "root"))
		for _, name := range []string{"device-1", "device-2", "boss"} {
			check(pki.AddClient(dir, name))
		}
		check(pki.AddCache(dir, "cache", []string{"localhost"}))
		check(pki.AddCache(dir, "other-cache", nil))
		check(pki.AddAdmin(other, "root"))
		check(pki.AddClient(other, "device-1"))
		past := func() time.Time { return time.Now().Add(-time.Hour) }
		check(pki.AddClient(dir, "late", pki.WithNow(past), pki.WithLifetime(time.Minute)))
		return m.Run()
	}())
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// tlsOf returns the configuration of the caller of that name; "" shows no certificate.
func tlsOf(t testing.TB, name string) *tls.Config {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(certs, "ca.crt"))
	must(t, err)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(raw)
	conf := &tls.Config{RootCAs: pool, ServerName: "localhost", MinVersion: tls.VersionTLS13}
	if name == "" {
		return conf
	}
	pair, err := tls.LoadX509KeyPair(filepath.Join(certs, name+".crt"), filepath.Join(certs, name+".key"))
	must(t, err)
	// Not conf.Certificates: those are not sent where they do not suit the server.
	conf.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	return conf
}

// world is a server with a fleet in memory.
type world struct {
	addr  string
	fleet *fleet.Fleet
	blobs blob.Store
	cache *cache.Cache
	log   *logtest.Hook
	srv   *http.Server
	lot   *parking.Lot // nil where polls are held by goroutines
}

func newWorld(t testing.TB, change ...func(*api.Options)) *world {
	t.Helper()
	return newWorldOn(t, memblob.New(), change...)
}

func newWorldOn(t testing.TB, blobs blob.Store, change ...func(*api.Options)) *world {
	t.Helper()
	log, hook := logtest.NewNullLogger()
	log.SetLevel(logrus.DebugLevel)
	f, err := fleet.New(t.Context(), fleet.Options{Store: memstore.New(), Blobs: blobs, Log: log})
	must(t, err)
	kept, err := cache.Open(t.TempDir(), 64<<20)
	must(t, err)
	t.Cleanup(func() { must(t, kept.Close()) })
	w := &world{fleet: f, blobs: blobs, cache: kept, log: hook}
	streams := supply.New(supply.Options{Fleet: f, Cache: kept, Log: log})
	o := api.Options{
		Fleet: func() *fleet.Fleet { return f }, Supply: func() *supply.Supply { return streams },
		Log: log, Admins: []string{"boss"},
	}
	if lot, err := parking.New(); err == nil { // nearly all that is tested, is tested with it
		t.Cleanup(func() { lot.Shutdown(context.Background()) })
		o.Lot = lot
	}
	for _, c := range change {
		c(&o)
	}
	w.lot = o.Lot
	w.serve(t, api.Handler(o), log)
	return w
}

// serve runs the handler as jamesd does, until the test ends.
func (w *world) serve(t testing.TB, h http.Handler, log logrus.FieldLogger) {
	t.Helper()
	w.serveAs(t, "server", h, log)
}

// serveAs does so with another certificate than a jamesd's.
func (w *world) serveAs(t testing.TB, cert string, h http.Handler, log logrus.FieldLogger) {
	t.Helper()
	file := func(name string) string { return filepath.Join(certs, name) }
	conf, err := pki.ServerTLS(file("ca.crt"), file(cert+".crt"), file(cert+".key"))
	must(t, err)
	conf.NextProtos = []string{"http/1.1"}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	w.addr, w.srv = l.Addr().String(), api.NewServer(h, conf, log)
	done := make(chan struct{})
	go func() {
		defer close(done)
		api.Serve(w.srv, tls.NewListener(l, conf), w.lot)
	}()
	t.Cleanup(func() {
		w.srv.Close()
		<-done
	})
}

// client returns a client of the caller of that name that does not retry.
func (w *world) client(t testing.TB, name string) *client.Client {
	t.Helper()
	c, err := client.New(client.Options{Addr: w.addr, TLS: tlsOf(t, name), Retries: -1})
	must(t, err)
	t.Cleanup(c.Close)
	return c
}

// transport returns plain net/http for the caller of that name.
func transport(t testing.TB, name string) *http.Transport {
	t.Helper()
	tr := &http.Transport{TLSClientConfig: tlsOf(t, name)}
	t.Cleanup(tr.CloseIdleConnections)
	return tr
}

// reply is an answer that was read.
type reply struct {
	*http.Response
	body    []byte
	problem james.ProblemDetails
}

// ask sends a request and reads the answer; where it is an error, it must be a problem.
func (w *world) ask(t testing.TB, rt http.RoundTripper, method, path string, header http.Header, body io.Reader) reply {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "https://"+w.addr+path, body)
	must(t, err)
	for k, v := range header {
		req.Header[k] = v
	}
	resp, err := rt.RoundTrip(req)
	must(t, err)
	return read(t, resp)
}

func read(t testing.TB, resp *http.Response) reply {
	t.Helper()
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	must(t, err)
	r := reply{Response: resp, body: raw}
	if resp.StatusCode < 400 {
		return r
	}
	if got := resp.Header.Get("Content-Type"); got != "application/problem+json" {
		t.Fatalf("%d with Content-Type %q: %s", resp.StatusCode, got, raw)
	}
	if resp.Request.Method == http.MethodHead {
		return r
	}
	must(t, json.Unmarshal(raw, &r.problem))
	switch p := r.problem; {
	case p.Status != resp.StatusCode || p.Title != http.StatusText(p.Status) || p.Type != "about:blank":
		t.Errorf("the problem is not about the status %d: %s", resp.StatusCode, raw)
	case p.Detail == "" || p.Kind == "":
		t.Errorf("the problem lacks a detail or a kind: %s", raw)
	case p.Request == "" || p.Request != resp.Header.Get("X-Request-Id"):
		t.Errorf("the problem does not name the request %q: %s", resp.Header.Get("X-Request-Id"), raw)
	}
	return r
}

var jsonBody = http.Header{"Content-Type": {"application/json"}}

// tarOf returns an archive with one file of that content.
func tarOf(t testing.TB, name string, content []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	must(t, w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(content)), ModTime: time.Unix(1, 0)}))
	_, err := w.Write(content)
	must(t, err)
	must(t, w.Close())
	return buf.Bytes()
}

// add uploads a packet that has one file.
func (w *world) add(t testing.TB, name, tags, content string) james.Packet {
	t.Helper()
	req := james.AddPacketRequest{Name: name, Tags: james.MustTags(tags)}
	resp, err := w.client(t, "root").AddPacket(t.Context(), req, bytes.NewReader(tarOf(t, name, []byte(content))))
	must(t, err)
	return resp.Packet
}

// want sets what a device is to have.
func (w *world) want(t testing.TB, device string, apps ...james.App) {
	t.Helper()
	req := james.SetDesiredRequest{State: james.State{ID: device, Apps: apps}, Force: true}
	_, err := w.client(t, "root").SetDesired(t.Context(), req)
	must(t, err)
}

// logged waits for the line about the request that has that field.
func (w *world) logged(t testing.TB, field, value string) *logrus.Entry {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for ctx.Err() == nil {
		for _, e := range w.log.AllEntries() {
			if e.Message == "request" && e.Data[field] == value {
				return e
			}
		}
		time.Sleep(time.Millisecond) // the line is written after the answer
	}
	t.Fatalf("no line about the request with %s=%s", field, value)
	return nil
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
