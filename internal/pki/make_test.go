package pki_test

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/trusch/jamesd/internal/pki"
	"github.com/trusch/jamesd/pkg/james"
)

func readCert(t *testing.T, file string) *x509.Certificate {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	block, rest := pem.Decode(raw)
	if block == nil || len(rest) > 0 {
		t.Fatalf("%s is not one PEM block", file)
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestFiles(t *testing.T) {
	t.Parallel()
	dir := newAuthority(t)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		if want := os.FileMode(0o600); strings.HasSuffix(e.Name(), ".key") && info.Mode() != want {
			t.Errorf("%s has mode %v, want %v", e.Name(), info.Mode(), want)
		}
	}
	const want = "ca.crt ca.key device-1.crt device-1.key jamesd.crt jamesd.key root.crt root.key"
	if got := strings.Join(names, " "); got != want {
		t.Errorf("files %q, want %q", got, want)
	}
	raw, err := os.ReadFile(filepath.Join(dir, "device-1.key"))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(raw)
	if _, err := x509.ParsePKCS8PrivateKey(block.Bytes); err != nil || block.Type != "PRIVATE KEY" {
		t.Errorf("device-1.key is %q: %v", block.Type, err)
	}
}

func TestCertificates(t *testing.T) {
	t.Parallel()
	dir := newAuthority(t)
	serials := map[string]bool{}
	for _, tc := range []struct {
		name     string
		lifetime time.Duration
		use      []x509.ExtKeyUsage
		dns, ips string
	}{
		{"ca", pki.CALifetime, nil, "", ""},
		{"jamesd", pki.ServerLifetime, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, "jamesd fleet.example.com localhost", "10.0.0.7 127.0.0.1 ::1"},
		{"device-1", pki.DeviceLifetime, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, "", ""},
		{"root", pki.AdminLifetime, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, "", ""},
	} {
		c := readCert(t, filepath.Join(dir, tc.name+".crt"))
		if d := time.Until(c.NotAfter) - tc.lifetime; d < -time.Minute || d > time.Minute {
			t.Errorf("%s is valid until %s", tc.name, c.NotAfter)
		}
		if time.Since(c.NotBefore) < day {
			t.Errorf("%s is valid from %s", tc.name, c.NotBefore)
		}
		if c.IsCA != (tc.name == "ca") || len(c.ExtKeyUsage) != len(tc.use) || (tc.use != nil && c.ExtKeyUsage[0] != tc.use[0]) {
			t.Errorf("%s: authority %v, use %v", tc.name, c.IsCA, c.ExtKeyUsage)
		}
		var ips []string
		for _, ip := range c.IPAddresses {
			ips = append(ips, ip.String())
		}
		if got := strings.Join(c.DNSNames, " "); got != tc.dns {
			t.Errorf("%s: names %q, want %q", tc.name, got, tc.dns)
		}
		if got := strings.Join(ips, " "); got != tc.ips {
			t.Errorf("%s: addresses %q, want %q", tc.name, got, tc.ips)
		}
		if bits := c.SerialNumber.BitLen(); bits < 120 || bits > 128 {
			t.Errorf("%s: a serial number of %d bits", tc.name, bits)
		}
		serials[c.SerialNumber.String()] = true
	}
	if len(serials) != 4 {
		t.Errorf("%d different serial numbers, want 4", len(serials))
	}
}

func TestNoCertificateOutlivesItsAuthority(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := pki.Init(dir, pki.WithLifetime(30*day)); err != nil {
		t.Fatal(err)
	}
	if err := pki.AddClient(dir, "device-1"); err != nil {
		t.Fatal(err)
	}
	ca, c := readCert(t, filepath.Join(dir, "ca.crt")), readCert(t, filepath.Join(dir, "device-1.crt"))
	if !c.NotAfter.Equal(ca.NotAfter) {
		t.Errorf("valid until %s, its authority until %s", c.NotAfter, ca.NotAfter)
	}
}

func TestMakeRefuses(t *testing.T) {
	t.Parallel()
	dir := newAuthority(t)
	orphan := filepath.Join(dir, "orphan.key")
	if err := os.WriteFile(orphan, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	expired := t.TempDir()
	if err := pki.Init(expired, ago(60*day), pki.WithLifetime(day)); err != nil {
		t.Fatal(err)
	}
	mixed, leaf := newAuthority(t), newAuthority(t)
	replace(t, filepath.Join(dir, "ca.key"), filepath.Join(mixed, "ca.key"))
	replace(t, filepath.Join(leaf, "root.crt"), filepath.Join(leaf, "ca.crt"))
	replace(t, filepath.Join(leaf, "root.key"), filepath.Join(leaf, "ca.key"))
	file := filepath.Join(dir, "ca.crt")
	for _, tc := range []struct {
		name string
		run  func() error
		kind james.Kind
		want string
	}{
		{"a second authority", func() error { return pki.Init(dir) }, james.KindExists, "exists and is never overwritten"},
		{"a second device", func() error { return pki.AddClient(dir, "device-1") }, james.KindExists, "device-1.crt: exists"},
		{"half a pair", func() error { return pki.AddClient(dir, "orphan") }, james.KindExists, "orphan.key: exists"},
		{"the authority's name", func() error { return pki.AddClient(dir, "ca") }, james.KindInvalid, "authority's own"},
		{"no authority", func() error { return pki.AddClient(t.TempDir(), "device-2") }, james.KindNotFound, "holds no authority"},
		{"a file for a directory", func() error { return pki.Init(file) }, james.KindInvalid, "not a directory"},
		{"an expired authority", func() error { return pki.AddClient(expired, "device-2") }, james.KindInvalid, "ca.crt: expired"},
		{"another authority's key", func() error { return pki.AddClient(mixed, "device-2") }, james.KindInvalid, "ca.key: is not the key of ca.crt"},
		{"no authority's certificate", func() error { return pki.AddClient(leaf, "device-2") }, james.KindInvalid, "is not the certificate of an authority"},
		{"an empty device id", func() error { return pki.AddClient(dir, "") }, james.KindInvalid, "device id: is empty"},
		{"a path for a device id", func() error { return pki.AddClient(dir, "../x") }, james.KindInvalid, "device id"},
		{"a path for an admin", func() error { return pki.AddAdmin(dir, "a/b") }, james.KindInvalid, "device id"},
		{"a path for a server", func() error { return pki.AddServer(dir, "../x", nil) }, james.KindInvalid, "neither a host name nor an IP address"},
		{"a wildcard for a server", func() error { return pki.AddServer(dir, "*.example.com", nil) }, james.KindInvalid, "neither a host name nor an IP address"},
		{"a port in a name", func() error { return pki.AddServer(dir, "s2", []string{"a.example.com:2761"}) }, james.KindInvalid, "neither a host name nor an IP address"},
		{"an empty name", func() error { return pki.AddServer(dir, "s2", []string{""}) }, james.KindInvalid, "neither a host name nor an IP address"},
		{"a negative lifetime", func() error { return pki.AddClient(dir, "device-2", pki.WithLifetime(-1)) }, james.KindInvalid, "is negative"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := tc.run()
			if james.KindOf(err) != tc.kind || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%s: %v; want %s: %q", james.KindOf(err), err, tc.kind, tc.want)
			}
		})
	}
	if _, err := os.Stat(filepath.Join(dir, "device-2.key")); err == nil {
		t.Error("a refused request left a key")
	}
}

func TestWildcardIsGoodForASan(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := pki.Init(dir); err != nil {
		t.Fatal(err)
	}
	if err := pki.AddServer(dir, "192.0.2.1", []string{"*.example.com", "192.0.2.1", "localhost"}); err != nil {
		t.Fatal(err)
	}
	c := readCert(t, filepath.Join(dir, "192.0.2.1.crt"))
	for _, name := range []string{"a.example.com", "192.0.2.1", "localhost", "::1"} {
		if err := c.VerifyHostname(name); err != nil {
			t.Error(err)
		}
	}
	if len(c.IPAddresses) != 3 || len(c.DNSNames) != 2 {
		t.Errorf("addresses %v and names %v are not unique", c.IPAddresses, c.DNSNames)
	}
}

func replace(t *testing.T, from, to string) {
	t.Helper()
	raw, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, raw, 0o600); err != nil {
		t.Fatal(err)
	}
}
