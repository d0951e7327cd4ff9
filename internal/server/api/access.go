package api

import (
	"crypto/tls"
	"crypto/x509"
	"slices"
	"strings"
	"time"

	"github.com/trusch/jamesd/internal/pki"
	"github.com/trusch/jamesd/pkg/james"
)

// Role is a set of kinds of caller: the one that a caller has, or those that a
// route is open to.
type Role uint8

// The roles.
const (
	Device Role = 1 << iota
	Admin
	// Cache is a site's: it asks for what its devices may get, for one at a time.
	Cache
)

// String returns the role, or the roles separated by commas.
func (r Role) String() string {
	var names []string
	if r&Admin != 0 {
		names = append(names, "admin")
	}
	if r&Cache != 0 {
		names = append(names, "cache")
	}
	if r&Device != 0 {
		names = append(names, "device")
	}
	return strings.Join(names, ",")
}

// caller is who sent a request.
type caller struct {
	name string // common name; a device's id
	role Role
	via  string // the cache that asks for the device, if one does
}

// identify returns who is at the other end of a connection. It fails with
// KindUnauthenticated where the certificate cannot be anybody's here. The
// handshake has verified the certificate, but a connection can outlive it.
func identify(conn *tls.ConnectionState, admins []string, now time.Time) (caller, error) {
	if conn == nil || len(conn.VerifiedChains) == 0 || len(conn.PeerCertificates) == 0 {
		return caller{}, james.Errorf(james.KindUnauthenticated, "", "no certificate was shown")
	}
	cert := conn.PeerCertificates[0]
	if now.After(cert.NotAfter) {
		return caller{}, james.Errorf(james.KindUnauthenticated, "", "the certificate of %s expired on %s",
			cert.Subject.CommonName, cert.NotAfter.UTC().Format(time.RFC3339)).
			WithHint("Issue a new certificate.")
	}
	return callerOf(cert, admins)
}

func callerOf(cert *x509.Certificate, admins []string) (caller, error) {
	name := cert.Subject.CommonName
	if name == "" {
		return caller{}, james.Errorf(james.KindUnauthenticated, "", "the certificate has no common name").
			WithHint("Issue a certificate whose common name is the device's id or the admin's name.")
	}
	if slices.Contains(cert.Subject.Organization, pki.CacheOrganization) {
		return caller{name: name, role: Cache}, nil
	}
	if slices.Contains(cert.Subject.Organization, pki.AdminOrganization) || slices.Contains(admins, name) {
		return caller{name: name, role: Admin}, nil
	}
	if err := james.CheckDeviceID(name); err != nil {
		return caller{}, james.Errorf(james.KindUnauthenticated, "", "the certificate's common name is not a device's id: %w", err)
	}
	return caller{name: name, role: Device}, nil
}

// DeviceOf returns the device that is the peer of a connection, "" for an admin, a cache, and
// nobody.
func DeviceOf(cs tls.ConnectionState, admins []string) string {
	if len(cs.PeerCertificates) == 0 {
		return ""
	}
	if c, err := callerOf(cs.PeerCertificates[0], admins); err == nil && c.role == Device {
		return c.name
	}
	return ""
}

// standIn makes the caller of a cache the device that it asks for. What the device
// may not get, the cache may not get either.
func (c *call) standIn() error {
	if c.caller.role != Cache {
		return nil
	}
	device := c.r.Header.Get(james.HeaderDevice)
	if err := james.CheckDeviceID(device); err != nil {
		return james.Errorf(james.KindInvalid, "", "the cache %s does not say for which device it asks: %w", c.caller.name, err)
	}
	c.caller = caller{name: device, role: Device, via: c.caller.name}
	return nil
}

// admit fails with KindDenied unless the route is open to the caller's role.
func (r *Route) admit(c caller) error {
	switch {
	case r.Access&c.role != 0:
		return nil
	case c.role == Cache:
		return james.Errorf(james.KindDenied, "", "%s is a site cache, which may only ask for manifests, archives and contents", c.name).
			WithHint("Devices poll and report to their jamesd themselves; --cache names the cache, --addr the jamesd.")
	case c.role == Device:
		return james.Errorf(james.KindDenied, "", "%s is a device, and this is for admins", c.name).
			WithHint("Use an admin's certificate: one of the organisation %s, or one whose common name jamesd was given with --admins.",
				pki.AdminOrganization)
	}
	return james.Errorf(james.KindDenied, "", "%s is an admin, and this is for devices", c.name).
		WithHint("Use the certificate of a device.")
}
