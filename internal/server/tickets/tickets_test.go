package tickets_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	logtest "github.com/sirupsen/logrus/hooks/test"

	"github.com/trusch/jamesd/internal/logging"
	"github.com/trusch/jamesd/internal/pki"
	"github.com/trusch/jamesd/internal/server/store"
	"github.com/trusch/jamesd/internal/server/store/memstore"
	"github.com/trusch/jamesd/internal/server/tickets"
	"github.com/trusch/jamesd/pkg/james"
)

// certs is a directory with two authorities, ca and other/ca, and what they issued.
var certs string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "tickets-test-")
		check(err)
		defer os.RemoveAll(dir)
		certs = dir
		check(pki.Init(dir))
		check(pki.Init(filepath.Join(dir, "other")))
		check(pki.AddServer(dir, "server", nil))
		check(pki.AddServer(filepath.Join(dir, "other"), "server", nil))
		check(pki.AddAdmin(dir, "root"))
		check(pki.AddClient(dir, "device-1"))
		check(pki.AddClient(dir, "brief", pki.WithLifetime(48*time.Hour)))
		return m.Run()
	}())
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func file(name string) string { return filepath.Join(certs, name) }

// server is a server's TLS, with the keys of a store.
type server struct {
	conf *tls.Config
	keep *tickets.Keeper
	now  time.Time
}

// newServer returns a server that trusts the authority in a directory.
func newServer(t *testing.T, s store.Store, ca string) *server {
	t.Helper()
	conf, err := pki.ServerTLS(file("ca.crt"), file("server.crt"), file("server.key"))
	must(t, err)
	if ca != "" {
		other, err := pki.ServerTLS(file(ca+"/ca.crt"), file(ca+"/server.crt"), file(ca+"/server.key"))
		must(t, err)
		conf.ClientCAs = other.ClientCAs
	}
	w := &server{conf: conf, now: time.Now()}
	now := func() time.Time { return w.now }
	conf.Time = now
	tickets.Guard(conf, device)
	w.keep = &tickets.Keeper{Config: conf, Secrets: s.Secrets(), Log: logging.Discard(), Now: now}
	must(t, w.keep.Refresh(t.Context()))
	return w
}

// device reports whether the peer is neither an admin nor a cache.
func device(cs tls.ConnectionState) bool {
	return len(cs.PeerCertificates[0].Subject.Organization) == 0
}

// newClient returns the TLS of somebody with a session cache of his own.
func newClient(t *testing.T, name string) *tls.Config {
	t.Helper()
	conf, err := pki.ClientTLS(file("ca.crt"), file(name+".crt"), file(name+".key"))
	must(t, err)
	conf.ServerName, conf.ClientSessionCache = "localhost", tls.NewLRUClientSessionCache(1)
	return conf
}

// connect returns how the server sees a connection of the client, on which a byte goes to and fro.
func connect(t *testing.T, server, client *tls.Config) (tls.ConnectionState, error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	done := make(chan error, 1)
	go func() {
		done <- func() error {
			c, err := tls.Dial("tcp", l.Addr().String(), client)
			if err != nil {
				return err
			}
			defer c.Close()
			if _, err := c.Write([]byte("x")); err != nil {
				return err
			}
			_, err = c.Read(make([]byte, 1)) // and the ticket before it
			return err
		}()
	}()
	raw, err := l.Accept()
	must(t, err)
	s := tls.Server(raw, server)
	if _, err = s.Read(make([]byte, 1)); err == nil {
		_, err = s.Write([]byte("y"))
	}
	if err != nil {
		raw.Close()
	}
	if late := <-done; err == nil {
		err = late
	}
	raw.Close()
	return s.ConnectionState(), err
}

// wantResumed checks whether a connection was resumed, as the right one.
func wantResumed(t *testing.T, what string, s *server, client *tls.Config, want bool) {
	t.Helper()
	state, err := connect(t, s.conf, client)
	if err != nil || state.DidResume != want {
		t.Errorf("%s: resumed %v, want %v: %v", what, state.DidResume, want, err)
		return
	}
	if got, own := state.PeerCertificates[0].Subject.CommonName, client.Certificates[0].Leaf.Subject.CommonName; got != own || len(state.VerifiedChains) == 0 {
		t.Errorf("%s: the server takes %s for %s", what, own, got)
	}
}

// TestServersOfAStore take each other's tickets, also after a restart of all of them.
func TestServersOfAStore(t *testing.T) {
	t.Parallel()
	s := memstore.New()
	a, b := newServer(t, s, ""), newServer(t, s, "")
	client := newClient(t, "device-1")
	wantResumed(t, "the first connection", a, client, false)
	wantResumed(t, "the same server", a, client, true)
	wantResumed(t, "the other server", b, client, true)
	wantResumed(t, "a server that was started later", newServer(t, s, ""), client, true)
	wantResumed(t, "a server of another store", newServer(t, memstore.New(), ""), client, false)
	wantResumed(t, "a server without a store", &server{conf: unguarded(t)}, client, false)
}

// unguarded returns a configuration without a store and a guard.
func unguarded(t *testing.T) *tls.Config {
	t.Helper()
	conf, err := pki.ServerTLS(file("ca.crt"), file("server.crt"), file("server.key"))
	must(t, err)
	return conf
}

// TestAdminsDoNotResume: who reads the store must not become an admin by it.
func TestAdminsDoNotResume(t *testing.T) {
	t.Parallel()
	s := memstore.New()
	w := newServer(t, s, "")
	admin := newClient(t, "root")
	for range 3 {
		wantResumed(t, "an admin", w, admin, false)
	}
	thief := unguarded(t)
	secret, err := s.Secrets().Get(t.Context(), "tls-session-tickets")
	must(t, err)
	thief.SetSessionTicketKeys([][32]byte{[32]byte(secret.Keys[0].Bytes)})
	for _, want := range []bool{false, true} { // the ticket is good where nobody looks
		wantResumed(t, "a server that has the keys only", &server{conf: thief}, admin, want)
	}
	if state, err := connect(t, w.conf, admin); err == nil {
		t.Errorf("an admin has come in by a ticket: %v", state.DidResume)
	}
}

// TestTrustEnds: a ticket is no way round what has become of a certificate since.
func TestTrustEnds(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name, client string
		server       func(t *testing.T, s store.Store) *server
	}{
		{"the authority is not trusted any more", "device-1", func(t *testing.T, s store.Store) *server { return newServer(t, s, "other") }},
		{"the certificate has expired", "brief", func(t *testing.T, s store.Store) *server {
			w := newServer(t, s, "")
			w.now = w.now.Add(49 * time.Hour)
			return w
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			s := memstore.New()
			client := newClient(t, row.client)
			wantResumed(t, "the first connection", newServer(t, s, ""), client, false)
			wantResumed(t, "while it is trusted", newServer(t, s, ""), client, true)
			if state, err := connect(t, row.server(t, s).conf, client); err == nil {
				t.Errorf("it is let in, resumed %v", state.DidResume)
			}
		})
	}
}

// TestRotation follows the keys over weeks: a ticket is good for a week, a key is known to
// every server before it is used, and what is not needed any more is gone.
func TestRotation(t *testing.T) {
	t.Parallel()
	s := memstore.New()
	a, b := newServer(t, s, ""), newServer(t, s, "")
	start := a.now
	at := func(d time.Duration, servers ...*server) {
		for _, w := range servers {
			w.now = start.Add(d)
			must(t, w.keep.Refresh(t.Context()))
		}
	}
	old := newClient(t, "device-1")
	wantResumed(t, "the first connection", a, old, false)
	for hours := time.Duration(0); hours <= 30*24; hours += 6 {
		at(hours*time.Hour, a)
		at(hours*time.Hour+2*time.Minute, b)
		a.now, b.now = start.Add(hours*time.Hour+6*time.Minute), start.Add(hours*time.Hour+6*time.Minute)
		at(hours*time.Hour+6*time.Minute, a) // only this one begins with the new key
		client := newClient(t, "device-1")
		wantResumed(t, fmt.Sprint("hour ", hours), a, client, false)
		wantResumed(t, fmt.Sprint("hour ", hours, " at the other server"), b, client, true)
		if secret, err := s.Secrets().Get(t.Context(), "tls-session-tickets"); err != nil || len(secret.Keys) > 17 {
			t.Fatalf("there are %d keys: %v", len(secret.Keys), err)
		}
		if t.Failed() {
			t.FailNow()
		}
	}
	wantResumed(t, "a ticket of a month ago", a, old, false)
	now := a.now
	fresh := newClient(t, "device-1")
	wantResumed(t, "a new one", a, fresh, false)
	at(now.Sub(start)+7*24*time.Hour-time.Hour, a)
	wantResumed(t, "a ticket of a week ago", a, fresh, true)
}

// TestStoreAway: without its store a server goes on with what it has, and says so once.
func TestStoreAway(t *testing.T) {
	t.Parallel()
	s := memstore.New()
	w := newServer(t, s, "")
	client := newClient(t, "device-1")
	wantResumed(t, "the first connection", w, client, false)
	must(t, s.Close())
	if err := w.keep.Refresh(t.Context()); james.KindOf(err) != james.KindUnavailable {
		t.Errorf("got %v", err)
	}
	wantResumed(t, "without a store", w, client, true)
	synctest.Test(t, func(t *testing.T) {
		log, logged := logtest.NewNullLogger()
		k := &tickets.Keeper{Config: &tls.Config{}, Secrets: s.Secrets(), Log: log, Now: time.Now}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); k.Run(ctx) }()
		time.Sleep(time.Hour)
		cancel()
		<-done
		if n := len(logged.AllEntries()); n != 1 {
			t.Errorf("it logs %d lines in an hour", n)
		}
	})
}
