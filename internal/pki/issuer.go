package pki

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"time"

	"github.com/trusch/jamesd/pkg/james"
)

// Issuer makes certificates of clients in memory, for programs that are many
// clients; nothing of it is written to a file. It is safe for concurrent use.
type Issuer struct {
	ca      *authority
	roots   *x509.CertPool
	options options
	keyFile string
}

// NewIssuer returns one that signs as the authority whose certificate and key are in
// these files. It fails, naming the file, with KindNotFound for a missing one, with
// KindDenied for one that may not be read, and with KindInvalid for any that is not
// an authority's.
func NewIssuer(certFile, keyFile string, opts ...Option) (*Issuer, error) {
	o := makeOptions(opts)
	certs, err := loadCerts(certFile)
	if err != nil {
		return nil, err
	}
	ca, err := newAuthority(certFile, certs, keyFile, o.now())
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	for _, c := range certs {
		roots.AddCert(c)
	}
	return &Issuer{ca: ca, roots: roots, options: o, keyFile: keyFile}, nil
}

// Roots returns the authorities that a client of Issuer trusts.
func (i *Issuer) Roots() *x509.CertPool { return i.roots }

// Client returns a certificate, with a key of its own, of the device whose id is
// name. It fails with KindInvalid for a malformed name.
func (i *Issuer) Client(name string) (tls.Certificate, error) {
	return i.issue(DeviceLifetime, pkix.Name{CommonName: name})
}

// Admin returns that of an admin, as Client does.
func (i *Issuer) Admin(name string) (tls.Certificate, error) {
	return i.issue(AdminLifetime, pkix.Name{CommonName: name, Organization: []string{AdminOrganization}})
}

func (i *Issuer) issue(lifetime time.Duration, subject pkix.Name) (tls.Certificate, error) {
	template, err := newLeaf(i.options, lifetime, func(c *x509.Certificate) error { return client(c, subject) })
	if err != nil {
		return tls.Certificate{}, err
	}
	raw, key, err := i.ca.sign(template)
	if err != nil {
		return tls.Certificate{}, james.Errorf(james.KindInvalid, i.keyFile, "cannot sign: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: key}, nil
}
