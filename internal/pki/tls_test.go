package pki_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/trusch/jamesd/internal/pki"
	"github.com/trusch/jamesd/pkg/james"
)

// newAuthority returns a directory with an authority, a server "jamesd", a
// device "device-1" and an admin "root"; ca is how the authority is made.
func newAuthority(t *testing.T, ca ...pki.Option) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "pki")
	for _, err := range []error{
		pki.Init(dir, ca...),
		pki.AddServer(dir, "jamesd", []string{"fleet.example.com", "10.0.0.7"}),
		pki.AddClient(dir, "device-1"),
		pki.AddAdmin(dir, "root"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// ago is a clock that is behind.
func ago(d time.Duration) pki.Option {
	return pki.WithNow(func() time.Time { return time.Now().Add(-d) })
}

const day = 24 * time.Hour

func serverTLS(dir, name string) (*tls.Config, error) {
	return pki.ServerTLS(filepath.Join(dir, "ca.crt"), filepath.Join(dir, name+".crt"), filepath.Join(dir, name+".key"))
}

func clientTLS(dir, name string) (*tls.Config, error) {
	return pki.ClientTLS(filepath.Join(dir, "ca.crt"), filepath.Join(dir, name+".crt"), filepath.Join(dir, name+".key"))
}

func must(t *testing.T) func(*tls.Config, error) *tls.Config {
	return func(c *tls.Config, err error) *tls.Config {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
}

// handshake connects a client to a server on the loopback, as addr, and
// returns the common name that the server saw and what each side says.
func handshake(t *testing.T, server, client *tls.Config, serverName string) (seen tls.ConnectionState, serverErr, clientErr error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		raw, err := l.Accept()
		if err != nil {
			serverErr = err
			return
		}
		defer raw.Close()
		conn := tls.Server(raw, server)
		if serverErr = conn.HandshakeContext(ctx); serverErr != nil {
			return
		}
		seen = conn.ConnectionState()
		_, serverErr = io.WriteString(conn, "hello")
		conn.Close()
	}()
	client = client.Clone()
	client.ServerName = serverName
	conn, clientErr := (&tls.Dialer{Config: client}).DialContext(ctx, "tcp", l.Addr().String())
	if clientErr == nil {
		// With TLS 1.3 a client learns with its first read that it was refused.
		_, clientErr = io.ReadAll(conn)
		conn.Close()
	}
	<-done
	return seen, serverErr, clientErr
}

func TestHandshake(t *testing.T) {
	t.Parallel()
	ours, other := newAuthority(t, ago(90*day)), newAuthority(t)
	if err := pki.AddClient(ours, "late", ago(60*day), pki.WithLifetime(day)); err != nil {
		t.Fatal(err)
	}
	expired := must(t)(clientTLS(ours, "device-1"))
	latePair, err := tls.LoadX509KeyPair(filepath.Join(ours, "late.crt"), filepath.Join(ours, "late.key"))
	if err != nil {
		t.Fatal(err)
	}
	// A client that does not follow the server's list of authorities.
	send := func(pair tls.Certificate, base *tls.Config) *tls.Config {
		c := base.Clone()
		c.Certificates = nil
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
		return c
	}
	device := must(t)(clientTLS(ours, "device-1"))
	stranger := must(t)(clientTLS(other, "device-1"))
	serverPair := must(t)(serverTLS(ours, "jamesd")).Certificates[0]
	old := device.Clone()
	old.MinVersion, old.MaxVersion = tls.VersionTLS12, tls.VersionTLS12

	for _, tc := range []struct {
		name       string
		client     *tls.Config
		serverName string
		serverErr  string // "" for success
		clientErr  string
	}{
		{"by name", device, "jamesd", "", ""},
		{"by another of its names", device, "fleet.example.com", "", ""},
		{"by address", device, "10.0.0.7", "", ""},
		{"localhost", device, "localhost", "", ""},
		{"127.0.0.1", device, "127.0.0.1", "", ""},
		{"::1", device, "::1", "", ""},
		{"admin", must(t)(clientTLS(ours, "root")), "jamesd", "", ""},
		{"wrong name", device, "elsewhere.example.com", "bad certificate", "not elsewhere.example.com"},
		{"client trusts another authority", send(device.Certificates[0], stranger), "jamesd", "unknown certificate authority|bad certificate", "signed by unknown authority"},
		{"certificate of another authority", send(stranger.Certificates[0], device), "jamesd", "unknown authority", "unknown certificate authority"},
		{"no certificate", send(tls.Certificate{}, device), "jamesd", "didn't provide a certificate", "certificate required"},
		{"expired", send(latePair, expired), "jamesd", "expired", "expired certificate"},
		{"a server's certificate as a client", send(serverPair, device), "jamesd", "incompatible key usage", "bad certificate"},
		{"TLS 1.2", old, "jamesd", "unsupported versions", "protocol version not supported"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			_, serverErr, clientErr := handshake(t, must(t)(serverTLS(ours, "jamesd")), tc.client, tc.serverName)
			check := func(side, want string, err error) {
				if want == "" {
					if err != nil {
						t.Errorf("%s: %v", side, err)
					}
					return
				}
				if err == nil {
					t.Fatalf("%s accepted it", side)
				}
				for alternative := range strings.SplitSeq(want, "|") {
					if strings.Contains(err.Error(), alternative) {
						return
					}
				}
				t.Errorf("%s: %q, want %q", side, err, want)
			}
			check("server", tc.serverErr, serverErr)
			check("client", tc.clientErr, clientErr)
		})
	}
}

func TestRoleIsInTheCertificate(t *testing.T) {
	t.Parallel()
	dir := newAuthority(t)
	if err := pki.AddCache(dir, "cache", []string{"192.0.2.1"}); err != nil {
		t.Fatal(err)
	}
	for name, organisation := range map[string]string{"device-1": "", "root": pki.AdminOrganization, "cache": pki.CacheOrganization} {
		seen, serverErr, clientErr := handshake(t, must(t)(serverTLS(dir, "jamesd")), must(t)(clientTLS(dir, name)), "jamesd")
		if err := errors.Join(serverErr, clientErr); err != nil {
			t.Fatal(err)
		}
		subject := seen.PeerCertificates[0].Subject
		if subject.CommonName != name {
			t.Errorf("common name %q, want %q", subject.CommonName, name)
		}
		if got := strings.Join(subject.Organization, ","); got != organisation {
			t.Errorf("%s: organisation %q", name, got)
		}
	}
	for _, name := range []string{"cache", "192.0.2.1"} {
		_, serverErr, clientErr := handshake(t, must(t)(serverTLS(dir, "cache")), must(t)(clientTLS(dir, "device-1")), name)
		if err := errors.Join(serverErr, clientErr); err != nil {
			t.Errorf("the cache as server %s: %v", name, err)
		}
	}
	if _, _, err := handshake(t, must(t)(serverTLS(dir, "cache")), must(t)(clientTLS(dir, "device-1")), "jamesd"); err == nil {
		t.Error("a cache passes for the server")
	}
}

func TestLoadRefuses(t *testing.T) {
	t.Parallel()
	dir, other := newAuthority(t, ago(90*day)), newAuthority(t)
	write := func(name, content string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	for name, behind := range map[string]time.Duration{"late": 60 * day, "early": -60 * day} {
		if err := pki.AddClient(dir, name, ago(behind), pki.WithLifetime(day)); err != nil {
			t.Fatal(err)
		}
	}
	in := func(name string) string { return filepath.Join(dir, name) }
	ca, cert, key := in("ca.crt"), in("device-1.crt"), in("device-1.key")
	for _, tc := range []struct {
		name          string
		ca, cert, key string
		kind          james.Kind
		want          string // after the directory's name
	}{
		{"no authority", in("none.crt"), cert, key, james.KindNotFound, "none.crt: there is no such file"},
		{"no certificate", ca, in("none.crt"), key, james.KindNotFound, "none.crt: there is no such file"},
		{"no key", ca, cert, in("none.key"), james.KindNotFound, "none.key: there is no such file"},
		{"a directory", ca, dir, key, james.KindInvalid, "is a directory"},
		{"empty", ca, write("empty", ""), key, james.KindInvalid, "empty: holds no certificate in PEM form; it is empty"},
		{"not PEM", ca, write("text", "hello"), key, james.KindInvalid, "text: holds no certificate in PEM form"},
		{"DER", ca, write("der", "\x30\x82\x01"), key, james.KindInvalid, "looks like DER"},
		{"files swapped", ca, key, cert, james.KindInvalid, "device-1.key: holds no certificate in PEM form, but PRIVATE KEY"},
		{"certificate for a key", ca, cert, cert, james.KindInvalid, "device-1.crt: holds no private key in PEM form, but CERTIFICATE"},
		{"malformed certificate", ca, write("bad.crt", "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n"), key, james.KindInvalid, "bad.crt: holds a malformed certificate"},
		{"malformed key", ca, cert, write("bad.key", "-----BEGIN PRIVATE KEY-----\naGVsbG8=\n-----END PRIVATE KEY-----\n"), james.KindInvalid, "bad.key: holds a malformed private key"},
		{"encrypted key", ca, cert, write("enc.key", "-----BEGIN ENCRYPTED PRIVATE KEY-----\naGVsbG8=\n-----END ENCRYPTED PRIVATE KEY-----\n"), james.KindInvalid, "enc.key: is encrypted with a passphrase"},
		{"encrypted old key", ca, cert, write("enc1.key", "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\naGVsbG8=\n-----END RSA PRIVATE KEY-----\n"), james.KindInvalid, "enc1.key: is encrypted with a passphrase"},
		{"another's key", ca, cert, in("root.key"), james.KindInvalid, "root.key: is not the key of the certificate"},
		{"too large", ca, write("large", strings.Repeat("x", 1<<20+1)), key, james.KindInvalid, "large: is too large"},
		{"expired", ca, in("late.crt"), in("late.key"), james.KindInvalid, "late.crt: expired on "},
		{"not valid yet", ca, in("early.crt"), in("early.key"), james.KindUnavailable, "early.crt: is not valid before "},
		{"another authority", filepath.Join(other, "ca.crt"), cert, key, james.KindInvalid, "device-1.crt: the certificate was not issued by the authority in "},
		{"a server's", ca, in("jamesd.crt"), in("jamesd.key"), james.KindInvalid, "jamesd.crt: is not made for a client"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			_, err := pki.ClientTLS(tc.ca, tc.cert, tc.key)
			if james.KindOf(err) != tc.kind || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%s: %v; want %s: %q", james.KindOf(err), err, tc.kind, tc.want)
			}
		})
	}
	if _, err := serverTLS(dir, "device-1"); err == nil || !strings.Contains(err.Error(), "is not made for a server") {
		t.Errorf("a device's certificate for a server: %v", err)
	}
}
