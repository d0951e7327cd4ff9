package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"path/filepath"
	"time"

	"github.com/trusch/jamesd/pkg/james"
)

// Init makes an authority in dir, which is created where it is missing:
// dir/ca.crt and dir/ca.key. It fails with KindExists when there is one.
func Init(dir string, opts ...Option) error {
	o := makeOptions(opts)
	if err := checkFree(dir, "ca"); err != nil {
		return err
	}
	key, err := newKey()
	if err != nil {
		return err
	}
	template, err := newTemplate(o, CALifetime)
	if err != nil {
		return err
	}
	// A name of its own tells authorities apart, for people and for TLS clients.
	template.Subject.CommonName = fmt.Sprintf("jamesd CA %08x", template.SerialNumber.Bytes()[:4])
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	raw, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return james.Errorf(james.KindInternal, "certificate ca", "%w", err)
	}
	return writePair(dir, "ca", raw, key)
}

// AddServer makes the certificate of a server: good for its name, which is a
// host name or an IP address, for every one of sans, likewise, and for
// localhost, 127.0.0.1 and ::1. It fails as AddClient does.
func AddServer(dir, name string, sans []string, opts ...Option) error {
	hosts := append([]string{name}, sans...)
	hosts = append(hosts, "localhost", "127.0.0.1", "::1")
	return add(dir, name, ServerLifetime, opts, func(c *x509.Certificate) error {
		c.Subject.CommonName = name
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		return addHosts(c, hosts)
	})
}

// AddCache makes the certificate of a site cache, which is a server to the devices
// of its site and a client of its jamesd: one of CacheOrganization, good for its
// name, which is a host name or an IP address, and for every one of sans, likewise.
// It fails as AddClient does.
func AddCache(dir, name string, sans []string, opts ...Option) error {
	return add(dir, name, ServerLifetime, opts, func(c *x509.Certificate) error {
		if err := client(c, pkix.Name{CommonName: name, Organization: []string{CacheOrganization}}); err != nil {
			return err
		}
		c.ExtKeyUsage = append(c.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
		return addHosts(c, append([]string{name}, sans...))
	})
}

// AddClient makes the certificate of the device whose id is name. It fails with
// KindInvalid for a malformed name or an authority that cannot be used, with
// KindNotFound where dir holds none, and with KindExists when there is a file
// of that name.
func AddClient(dir, name string, opts ...Option) error {
	return add(dir, name, DeviceLifetime, opts, func(c *x509.Certificate) error {
		return client(c, pkix.Name{CommonName: name})
	})
}

// AddAdmin makes the certificate of an admin: one of AdminOrganization. It fails
// as AddClient does.
func AddAdmin(dir, name string, opts ...Option) error {
	return add(dir, name, AdminLifetime, opts, func(c *x509.Certificate) error {
		return client(c, pkix.Name{CommonName: name, Organization: []string{AdminOrganization}})
	})
}

func client(c *x509.Certificate, subject pkix.Name) error {
	c.Subject = subject
	c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	return james.CheckDeviceID(subject.CommonName)
}

// add makes a certificate that the authority in dir signs; fill completes it and
// says what is wrong with the request.
func add(dir, name string, lifetime time.Duration, opts []Option, fill func(*x509.Certificate) error) error {
	o := makeOptions(opts)
	template, err := newLeaf(o, lifetime, fill)
	if err != nil {
		return err
	}
	if name == "ca" {
		return james.Errorf(james.KindInvalid, "name ca", "is the authority's own; choose another")
	}
	if err := checkFree(dir, name); err != nil {
		return err
	}
	ca, err := loadAuthority(dir, o.now())
	if err != nil {
		return err
	}
	raw, key, err := ca.sign(template)
	if err != nil {
		return james.Errorf(james.KindInvalid, filepath.Join(dir, "ca.key"), "cannot sign: %w", err)
	}
	return writePair(dir, name, raw, key)
}

// newLeaf returns the template of a certificate that is not an authority's.
func newLeaf(o options, lifetime time.Duration, fill func(*x509.Certificate) error) (*x509.Certificate, error) {
	template, err := newTemplate(o, lifetime)
	if err != nil {
		return nil, err
	}
	template.KeyUsage, template.BasicConstraintsValid = x509.KeyUsageDigitalSignature, true
	return template, fill(template)
}

// sign makes a certificate of the template, with a key of its own. It ends with the
// authority's at the latest.
func (a *authority) sign(template *x509.Certificate) ([]byte, crypto.Signer, error) {
	if template.NotAfter.After(a.cert.NotAfter) {
		template.NotAfter = a.cert.NotAfter
	}
	key, err := newKey()
	if err != nil {
		return nil, nil, err
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	return raw, key, err
}

func newKey() (crypto.Signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, james.Errorf(james.KindInternal, "key", "%w", err)
	}
	return key, nil
}

func newTemplate(o options, lifetime time.Duration) (*x509.Certificate, error) {
	if o.lifetime < 0 {
		return nil, james.Errorf(james.KindInvalid, "lifetime", "%s is negative", o.lifetime)
	}
	if o.lifetime > 0 {
		lifetime = o.lifetime
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	now := o.now()
	return &x509.Certificate{
		SerialNumber: serial,
		NotBefore:    now.Add(-Backdate),
		NotAfter:     now.Add(lifetime),
	}, nil
}

// newSerial returns 126 random bits in 16 bytes: nobody keeps a list of numbers, and none is
// given twice.
func newSerial() (*big.Int, error) {
	var raw [16]byte
	if _, err := rand.Read(raw[:]); err != nil {
		return nil, james.Errorf(james.KindInternal, "serial number", "%w", err)
	}
	raw[0] |= 0x40 // never zero, which is not valid, and always 16 bytes
	raw[0] &= 0x7f
	return new(big.Int).SetBytes(raw[:]), nil
}
