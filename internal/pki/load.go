package pki

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/trusch/jamesd/pkg/james"
)

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// loadAuthority reads ca.crt and ca.key of dir, by whatever tool they were made.
func loadAuthority(dir string, now time.Time) (*authority, error) {
	certFile, keyFile := pairFiles(dir, "ca")
	certs, err := loadCerts(certFile)
	if james.KindOf(err) == james.KindNotFound {
		return nil, james.Errorf(james.KindNotFound, dir, "holds no authority (ca.crt)").
			WithHint("Make one with: jamesd-ctl pki init --dir %s", dir)
	}
	if err != nil {
		return nil, err
	}
	return newAuthority(certFile, certs, keyFile, now)
}

// newAuthority returns the one of certs, which are those of certFile, whose key is in
// keyFile.
func newAuthority(certFile string, certs []*x509.Certificate, keyFile string, now time.Time) (*authority, error) {
	key, err := loadKey(keyFile)
	if err != nil {
		return nil, err
	}
	cert := matching(certs, key)
	switch {
	case cert == nil:
		return nil, james.Errorf(james.KindInvalid, keyFile, "is not the key of %s", filepath.Base(certFile))
	case !mayIssue(cert):
		return nil, james.Errorf(james.KindInvalid, certFile, "is not the certificate of an authority").
			WithHint("With openssl, make one with the extension basicConstraints=CA:TRUE.")
	}
	if err := checkTime(certFile, cert, now); err != nil {
		return nil, err
	}
	return &authority{cert, key}, nil
}

func mayIssue(c *x509.Certificate) bool {
	return c.BasicConstraintsValid && c.IsCA && (c.KeyUsage == 0 || c.KeyUsage&x509.KeyUsageCertSign != 0)
}

// matching returns the certificate of the key, or nil.
func matching(certs []*x509.Certificate, key crypto.Signer) *x509.Certificate {
	want, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil
	}
	for _, c := range certs {
		if bytes.Equal(c.RawSubjectPublicKeyInfo, want) || samePublic(c.PublicKey, key.Public()) {
			return c
		}
	}
	return nil
}

// samePublic compares keys whose encodings may differ, such as those of RSA with
// and without parameters.
func samePublic(a, b crypto.PublicKey) bool {
	k, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.Equal(b)
}

// loadCerts returns the certificates of a PEM file, of which there is at least
// one. Other blocks and text around them are skipped.
func loadCerts(file string) ([]*x509.Certificate, error) {
	raw, err := readFile(file)
	if err != nil {
		return nil, err
	}
	var certs []*x509.Certificate
	var other []string
	for block, rest := pem.Decode(raw); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			other = append(other, block.Type)
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, james.Errorf(james.KindInvalid, file, "holds a malformed certificate: %w", err)
		}
		certs = append(certs, c)
	}
	if len(certs) == 0 {
		return nil, james.Errorf(james.KindInvalid, file, "holds no certificate in PEM form%s", instead(raw, other))
	}
	return certs, nil
}

// instead says what a file holds that is not what it should be.
func instead(raw []byte, blocks []string) string {
	switch {
	case len(raw) == 0:
		return "; it is empty"
	case len(blocks) > 0:
		return fmt.Sprintf(", but %s", strings.Join(blocks, ", "))
	case raw[0] == 0x30:
		return "; it looks like DER, convert it with: openssl x509 -inform der"
	}
	return ""
}

// loadKey returns the private key of a PEM file: PKCS#8, PKCS#1 or SEC 1.
func loadKey(file string) (crypto.Signer, error) {
	raw, err := readFile(file)
	if err != nil {
		return nil, err
	}
	var other []string
	for block, rest := pem.Decode(raw); block != nil; block, rest = pem.Decode(rest) {
		if !strings.HasSuffix(block.Type, "PRIVATE KEY") {
			other = append(other, block.Type) // such as EC PARAMETERS
			continue
		}
		if block.Type == "ENCRYPTED PRIVATE KEY" || strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED") {
			return nil, james.Errorf(james.KindInvalid, file, "is encrypted with a passphrase, which nobody can be asked for").
				WithHint("Decrypt it with: openssl pkey -in %s -out plain.key", file)
		}
		key, err := parseKey(block)
		if err != nil {
			return nil, james.Errorf(james.KindInvalid, file, "holds a malformed private key: %w", err)
		}
		return key, nil
	}
	return nil, james.Errorf(james.KindInvalid, file, "holds no private key in PEM form%s", instead(raw, other))
}

func parseKey(block *pem.Block) (crypto.Signer, error) {
	var key any
	var err error
	switch block.Type {
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	default:
		return nil, fmt.Errorf("unknown form %q", block.Type)
	}
	if err != nil {
		return nil, err
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, errors.New("it cannot sign")
	}
	return signer, nil
}

// checkTime fails for a certificate that is not valid at now. One that is not
// valid yet is KindUnavailable: the clock may still be set.
func checkTime(file string, c *x509.Certificate, now time.Time) error {
	const form = "2006-01-02 15:04 MST"
	if now.After(c.NotAfter) {
		return james.Errorf(james.KindInvalid, file, "expired on %s", c.NotAfter.UTC().Format(form)).
			WithHint("Make a new certificate, or check this machine's clock: it says %s.", now.UTC().Format(form))
	}
	if now.Before(c.NotBefore) {
		return james.Errorf(james.KindUnavailable, file, "is not valid before %s", c.NotBefore.UTC().Format(form)).
			WithHint("Check this machine's clock: it says %s.", now.UTC().Format(form))
	}
	return nil
}
