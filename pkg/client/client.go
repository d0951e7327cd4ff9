// Package client calls the HTTPS API of a jamesd.
//
// What always holds: the connection is TLS with certificates on both sides;
// every error is a *james.Error, the one that the server raised, in its words,
// or one that names the server's address and says what is wrong with the
// connection; what the server sends is bounded in size, and nothing waits
// longer than the limits in Options for the next sign of it.
//
// The package keeps nothing and decides nothing: it does not know what a device
// does with a plan, nor where a download is stored.
package client

import (
	"context"
	"crypto/tls"
	"math/rand/v2"
	"net"
	"net/http"
	"time"

	"github.com/trusch/jamesd/internal/session"
	"github.com/trusch/jamesd/pkg/james"
)

// Options say which server a Client calls and how patient it is. Zero values of
// the last group have defaults.
type Options struct {
	Addr string // host:port
	// TLS holds the authority and the own certificate. The name that the server's
	// certificate must be good for is the host of Addr, unless TLS has one.
	TLS       *tls.Config
	UserAgent string

	// Observe, where set, is told of every request, when its answer begins or it has failed.
	Observe func(Exchange)

	Retries     int           // 3; how often an idempotent call is tried again, negative for never
	DialTimeout time.Duration // 15 s, with the handshake
	Timeout     time.Duration // 30 s from the end of a request to its answer, beyond what was asked for
	Stall       time.Duration // 1 min; the longest time without progress of a body, either way

	// Sleep waits for a while before a retry, or until the context ends.
	Sleep func(ctx context.Context, d time.Duration) error
	// Rand returns a number in [0,1); retries are spread by it.
	Rand func() float64
}

func (o *Options) complete() {
	if o.Retries == 0 {
		o.Retries = 3
	}
	if o.DialTimeout == 0 {
		o.DialTimeout = 15 * time.Second
	}
	if o.Timeout == 0 {
		o.Timeout = 30 * time.Second
	}
	if o.Stall == 0 {
		o.Stall = time.Minute
	}
	if o.UserAgent == "" {
		o.UserAgent = "jamesd-client"
	}
	if o.Observe == nil {
		o.Observe = func(Exchange) {}
	}
	if o.Sleep == nil {
		o.Sleep = sleep
	}
	if o.Rand == nil {
		o.Rand = rand.Float64
	}
}

// Client calls one server. It is safe for concurrent use.
type Client struct {
	o         Options
	host      string
	device    string // for which a site cache asks
	ids       *ids
	transport *http.Transport
}

// New returns a client. It connects when it is first used. It fails with
// KindInvalid for an address that is not host:port, or without Options.TLS.
func New(o Options) (*Client, error) {
	o.complete()
	host, port, err := net.SplitHostPort(o.Addr)
	if err != nil || host == "" || port == "" {
		return nil, james.Errorf(james.KindInvalid, "address", "%q is not HOST:PORT", o.Addr).
			WithHint("Give the server's name and port, such as jamesd.example.org:2761.")
	}
	if o.TLS == nil {
		return nil, james.Errorf(james.KindInvalid, o.Addr, "there is no TLS configuration to call it with")
	}
	o.TLS = o.TLS.Clone()
	if o.TLS.ServerName == "" {
		o.TLS.ServerName = host
	}
	if o.TLS.ClientSessionCache == nil {
		o.TLS.ClientSessionCache = &session.Session{}
	}
	c := &Client{o: o, host: host, ids: newIDs()}
	c.transport = &http.Transport{
		DialTLSContext:         c.dial,
		DisableCompression:     true, // archives are compressed, and a poll is smaller without the header
		MaxIdleConnsPerHost:    2,
		IdleConnTimeout:        150 * time.Second, // before the server's, which would break the next request
		ExpectContinueTimeout:  5 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		WriteBufferSize:        16 << 10, // a TLS record
		ReadBufferSize:         16 << 10,
	}
	return c, nil
}

// For returns a client on the same connections that asks for what that device may
// get. Only a site cache's certificate allows that, and only Manifest, Archive,
// ArchiveOf, MayFetch, Blobs and OfferBlobs.
func (c *Client) For(device string) *Client {
	other := *c
	other.device = device
	return &other
}

// Close closes the connections that are not in use.
func (c *Client) Close() { c.transport.CloseIdleConnections() }
