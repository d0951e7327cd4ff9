package pki_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trusch/jamesd/internal/need"
	"github.com/trusch/jamesd/internal/pki"
	"github.com/trusch/jamesd/pkg/james"
)

// TestForeignAuthority signs with authorities that openssl made; fixtures keeps
// one of each form of key where openssl is not installed.
func TestForeignAuthority(t *testing.T) {
	t.Parallel()
	fixtures, err := os.ReadDir("testdata/openssl")
	if err != nil || len(fixtures) == 0 {
		t.Fatalf("no fixtures: %v", err)
	}
	for _, f := range fixtures {
		t.Run(f.Name(), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			for _, name := range []string{"ca.crt", "ca.key"} {
				replace(t, filepath.Join("testdata/openssl", f.Name(), name), filepath.Join(dir, name))
			}
			signAndConnect(t, dir)
		})
	}
}

// TestOpenssl follows the founding document's advice to keep an authority with
// the openssl program, for all certificates or for the authority only.
func TestOpenssl(t *testing.T) {
	t.Parallel()
	need.Tool(t, "openssl")
	for name, newKey := range map[string][]string{
		"RSA PKCS#8":   {"genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", "ca.key"},
		"RSA PKCS#1":   {"genrsa", "-traditional", "-out", "ca.key", "2048"},
		"ECDSA SEC 1":  {"ecparam", "-name", "secp384r1", "-genkey", "-out", "ca.key"},
		"ECDSA PKCS#8": {"genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "ca.key"},
		"Ed25519":      {"genpkey", "-algorithm", "ED25519", "-out", "ca.key"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			openssl(t, dir, newKey...)
			openssl(t, dir, "req", "-x509", "-new", "-key", "ca.key", "-subj", "/CN=Fleet CA", "-days", "3650", "-out", "ca.crt")
			signAndConnect(t, dir)
		})
	}
	t.Run("all by openssl", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		openssl(t, dir, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-subj", "/CN=Fleet CA", "-days", "30", "-out", "ca.crt")
		write(t, filepath.Join(dir, "san"), "subjectAltName=DNS:jamesd\n")
		for name, subject := range map[string]string{"jamesd": "/CN=jamesd", "device-1": "/CN=device-1", "root": "/O=jamesd:admin/CN=root"} {
			openssl(t, dir, "req", "-newkey", "rsa:2048", "-nodes", "-keyout", name+".key", "-subj", subject, "-out", name+".csr")
			openssl(t, dir, "x509", "-req", "-in", name+".csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial",
				"-days", "30", "-extfile", "san", "-out", name+".crt")
		}
		connect(t, dir)
	})
	t.Run("an encrypted key", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		openssl(t, dir, "req", "-x509", "-newkey", "rsa:2048", "-passout", "pass:secret", "-keyout", "ca.key", "-subj", "/CN=Fleet CA", "-out", "ca.crt")
		err := pki.AddClient(dir, "device-1")
		if err == nil || !strings.Contains(err.Error(), "is encrypted with a passphrase") || james.HintOf(err) == "" {
			t.Errorf("%v, hint %q", err, james.HintOf(err))
		}
	})
	t.Run("openssl accepts ours", func(t *testing.T) {
		t.Parallel()
		dir := newAuthority(t)
		openssl(t, dir, "verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", "ca.crt", "jamesd.crt")
		openssl(t, dir, "verify", "-x509_strict", "-purpose", "sslclient", "-CAfile", "ca.crt", "device-1.crt", "root.crt")
	})
}

func signAndConnect(t *testing.T, dir string) {
	t.Helper()
	err := errors.Join(pki.AddServer(dir, "jamesd", nil), pki.AddClient(dir, "device-1"), pki.AddAdmin(dir, "root"))
	if err != nil {
		t.Fatal(err)
	}
	connect(t, dir)
}

func connect(t *testing.T, dir string) {
	t.Helper()
	for _, name := range []string{"device-1", "root"} {
		seen, serverErr, clientErr := handshake(t, must(t)(serverTLS(dir, "jamesd")), must(t)(clientTLS(dir, name)), "jamesd")
		if err := errors.Join(serverErr, clientErr); err != nil {
			t.Fatal(err)
		}
		if got := seen.PeerCertificates[0].Subject.CommonName; got != name {
			t.Errorf("common name %q, want %q", got, name)
		}
	}
}

func openssl(t *testing.T, dir string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "openssl", args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("openssl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func write(t *testing.T, file, content string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
