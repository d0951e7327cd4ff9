// Package pki makes and loads the certificates that jamesd, jamesc and
// jamesd-ctl know each other by.
//
// An authority is a directory with ca.crt and ca.key, made here or with any
// other tool. A certificate NAME is the pair of files NAME.crt and NAME.key
// beside them. Files are never overwritten, keys are readable by their owner
// only, and a pair appears key first, so that a certificate never lacks its
// key. What ServerTLS and ClientTLS return speaks TLS 1.3 only and trusts the
// one authority they were given.
//
// The package does not decide what a certificate's holder may do; it only
// writes the organisation that marks an admin, or a site cache.
package pki

import "time"

// AdminOrganization is the organisation in the subject of an admin's
// certificate, CacheOrganization that in a site cache's. A certificate with neither
// is a device's.
const (
	AdminOrganization = "jamesd:admin"
	CacheOrganization = "jamesd:cache"
)

// How long what is made here is valid.
const (
	// CALifetime: replacing an authority means visiting every device.
	CALifetime = 20 * 365 * day
	// ServerLifetime, of site caches too, and AdminLifetime: these are renewed in the room where the
	// authority's key is; long enough not to be a chore, short enough that
	// somebody still knows how. 825 days is also the most that common TLS
	// libraries accept of a server.
	ServerLifetime = 825 * day
	AdminLifetime  = 825 * day
	// DeviceLifetime: nobody can reach a device to renew it, and one whose
	// certificate ran out cannot be told so. It is longer than the device is
	// expected to serve; no certificate outlives its authority all the same.
	DeviceLifetime = 10 * 365 * day
	// Backdate is how long before its making a certificate becomes valid: clocks
	// without a battery, and clocks that hold local time for UTC, are behind.
	Backdate = 48 * time.Hour

	day = 24 * time.Hour
)

// Option changes how a certificate is made.
type Option func(*options)

type options struct {
	now      func() time.Time
	lifetime time.Duration // 0 for the default of what is made
}

// WithNow makes certificates as if the time were what now returns.
func WithNow(now func() time.Time) Option { return func(o *options) { o.now = now } }

// WithLifetime makes a certificate that is valid for d from now on instead of
// for the default time.
func WithLifetime(d time.Duration) Option { return func(o *options) { o.lifetime = d } }

func makeOptions(opts []Option) options {
	o := options{now: time.Now}
	for _, opt := range opts {
		opt(&o)
	}
	return o
}
