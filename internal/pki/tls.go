package pki

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/trusch/jamesd/pkg/james"
)

// ServerTLS returns the configuration of a server: TLS 1.3, and every client
// shows a certificate of the authority in caFile, which may hold several. The
// files are read once.
//
// It fails, naming the file, with KindNotFound for a missing file, with
// KindDenied for one that may not be read, with KindUnavailable for a
// certificate that is not valid yet, as the clock may still be set, and with
// KindInvalid for anything else that would make every handshake fail.
func ServerTLS(caFile, certFile, keyFile string) (*tls.Config, error) {
	pool, pair, err := load(caFile, certFile, keyFile, x509.ExtKeyUsageServerAuth)
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: []tls.Certificate{pair},
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ClientCAs:    pool,
	}, nil
}

// ClientTLS returns the configuration of a client, a device or an admin: TLS
// 1.3, and the server shows a certificate of the authority in caFile that is
// good for the name by which the dialer calls it. It fails as ServerTLS does.
func ClientTLS(caFile, certFile, keyFile string) (*tls.Config, error) {
	pool, pair, err := load(caFile, certFile, keyFile, x509.ExtKeyUsageClientAuth)
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: []tls.Certificate{pair},
		RootCAs:      pool,
	}, nil
}

// CacheTLS returns the configurations of a site cache: as a server of the site's
// devices, and as a client of its jamesd. It fails as ServerTLS does, and with
// KindInvalid for a certificate that is not a cache's.
func CacheTLS(caFile, certFile, keyFile string) (server, client *tls.Config, err error) {
	chain, err := loadCerts(certFile)
	if err != nil {
		return nil, nil, err
	}
	if !slices.Contains(chain[0].Subject.Organization, CacheOrganization) {
		return nil, nil, james.Errorf(james.KindInvalid, certFile, "is not the certificate of a site cache").
			WithHint("Make one with: jamesd-ctl pki add-cache NAME")
	}
	if server, err = ServerTLS(caFile, certFile, keyFile); err != nil {
		return nil, nil, err
	}
	client, err = ClientTLS(caFile, certFile, keyFile)
	return server, client, err
}

func load(caFile, certFile, keyFile string, use x509.ExtKeyUsage) (*x509.CertPool, tls.Certificate, error) {
	var pair tls.Certificate
	roots, err := loadCerts(caFile)
	if err != nil {
		return nil, pair, err
	}
	chain, err := loadCerts(certFile)
	if err != nil {
		return nil, pair, err
	}
	key, err := loadKey(keyFile)
	if err != nil {
		return nil, pair, err
	}
	if matching(chain[:1], key) == nil {
		return nil, pair, james.Errorf(james.KindInvalid, keyFile, "is not the key of the certificate %s", certFile)
	}
	pool := x509.NewCertPool()
	for _, c := range roots {
		pool.AddCert(c)
	}
	if err := checkChain(caFile, certFile, roots, chain, pool, use); err != nil {
		return nil, pair, err
	}
	pair = tls.Certificate{PrivateKey: key, Leaf: chain[0]}
	for _, c := range chain {
		pair.Certificate = append(pair.Certificate, c.Raw)
	}
	return pool, pair, nil
}

// checkChain does what the peer will do, so that the cause is told here and not
// in the peer's log.
func checkChain(caFile, certFile string, roots, chain []*x509.Certificate, pool *x509.CertPool, use x509.ExtKeyUsage) error {
	now := time.Now()
	leaf := chain[0]
	if err := checkTime(certFile, leaf, now); err != nil {
		return err
	}
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	_, err := leaf.Verify(x509.VerifyOptions{
		Roots: pool, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{use},
	})
	if err == nil {
		return nil
	}
	var invalid x509.CertificateInvalidError
	if errors.As(err, &invalid) && invalid.Reason == x509.IncompatibleUsage {
		return james.Errorf(james.KindInvalid, certFile, "is not made for a %s", side(use)).
			WithHint("Make one with: jamesd-ctl pki %s NAME", adder(use))
	}
	for _, c := range roots {
		if err := checkTime(caFile, c, now); err != nil && len(roots) == 1 {
			return err
		}
	}
	var unknown x509.UnknownAuthorityError
	if errors.As(err, &unknown) {
		return james.Errorf(james.KindInvalid, certFile, "the certificate was not issued by the authority in %s: it is by %q, that is %s",
			caFile, name(leaf.Issuer.CommonName, leaf.Issuer.String()), subjects(roots)).
			WithHint("Use the certificate and the ca.crt of the same authority.")
	}
	return james.Errorf(james.KindInvalid, certFile, "does not verify with %s: %w", caFile, err)
}

func side(use x509.ExtKeyUsage) string {
	if use == x509.ExtKeyUsageServerAuth {
		return "server"
	}
	return "client"
}

func adder(use x509.ExtKeyUsage) string {
	if use == x509.ExtKeyUsageServerAuth {
		return "add-server"
	}
	return "add-client"
}

func subjects(certs []*x509.Certificate) string {
	var out []string
	for _, c := range certs[:min(3, len(certs))] {
		out = append(out, fmt.Sprintf("%q", name(c.Subject.CommonName, c.Subject.String())))
	}
	return strings.Join(out, ", ")
}

func name(common, whole string) string {
	if common != "" {
		return common
	}
	return whole
}
