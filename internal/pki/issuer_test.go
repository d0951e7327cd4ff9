package pki_test

import (
	"crypto/x509"
	"path/filepath"
	"testing"
	"time"

	"github.com/trusch/jamesd/internal/pki"
	"github.com/trusch/jamesd/pkg/james"
)

// TestIssuer: what is made in memory is good for what it says, for no longer than the
// authority, and each has a key of its own.
func TestIssuer(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := pki.Init(dir, pki.WithLifetime(24*time.Hour)); err != nil {
		t.Fatal(err)
	}
	i, err := pki.NewIssuer(filepath.Join(dir, "ca.crt"), filepath.Join(dir, "ca.key"))
	if err != nil {
		t.Fatal(err)
	}
	device, err := i.Client("device-1")
	if err != nil {
		t.Fatal(err)
	}
	admin, err := i.Admin("boss")
	if err != nil {
		t.Fatal(err)
	}
	for name, raw := range map[string][]byte{"device-1": device.Certificate[0], "boss": admin.Certificate[0]} {
		c, err := x509.ParseCertificate(raw)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Verify(x509.VerifyOptions{Roots: i.Roots(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
			t.Error(err)
		}
		isAdmin := len(c.Subject.Organization) == 1 && c.Subject.Organization[0] == pki.AdminOrganization
		if c.Subject.CommonName != name || isAdmin != (name == "boss") || time.Until(c.NotAfter) > 24*time.Hour {
			t.Errorf("%s: %v until %v", name, c.Subject, c.NotAfter)
		}
	}
	if device.PrivateKey == admin.PrivateKey {
		t.Error("one key for two")
	}
	if _, err := i.Client("../x"); james.KindOf(err) != james.KindInvalid {
		t.Errorf("a malformed name: %v", err)
	}
}

// TestIssuerRefused: what is no authority is told by its file.
func TestIssuerRefused(t *testing.T) {
	t.Parallel()
	dir, other := newAuthority(t), newAuthority(t)
	for _, row := range []struct {
		name, cert, key string
		kind            james.Kind
	}{
		{"no certificate", filepath.Join(dir, "none.crt"), filepath.Join(dir, "ca.key"), james.KindNotFound},
		{"no key", filepath.Join(dir, "ca.crt"), filepath.Join(dir, "none.key"), james.KindNotFound},
		{"key of another", filepath.Join(dir, "ca.crt"), filepath.Join(other, "ca.key"), james.KindInvalid},
		{"a device", filepath.Join(dir, "device-1.crt"), filepath.Join(dir, "device-1.key"), james.KindInvalid},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			if _, err := pki.NewIssuer(row.cert, row.key); james.KindOf(err) != row.kind {
				t.Errorf("got %s: %v", james.KindOf(err), err)
			}
		})
	}
}
