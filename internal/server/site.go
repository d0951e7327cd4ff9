package server

import (
	"context"
	"crypto/tls"
	"net"
	"strings"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/spf13/pflag"

	"github.com/trusch/jamesd/internal/pki"
	"github.com/trusch/jamesd/internal/server/site"
	"github.com/trusch/jamesd/internal/version"
	"github.com/trusch/jamesd/pkg/client"
	"github.com/trusch/jamesd/pkg/james"
)

// defaultPort is the port of a jamesd of which none is given.
const defaultPort = "2761"

// centralDial is how long connecting to the jamesd may take that this is a cache of:
// a device that waits for it may as well ask that itself.
const centralDial = 10 * time.Second

// notOfSites are the settings that mean nothing where there are no packets and no
// devices' states.
var notOfSites = []string{"db", "admins", "poll-interval", "poll-interval-of", "max-archive", "max-packet-size", "allow-devices"}

// checkSite fails with KindInvalid for settings that a site's cache cannot have.
func (o *options) checkSite(flags *pflag.FlagSet) error {
	if o.cacheOf == "" {
		return nil
	}
	if _, err := centralAddr(o.cacheOf); err != nil {
		return err
	}
	for _, name := range notOfSites {
		if flags.Changed(name) {
			return james.Errorf(james.KindInvalid, "--"+name, "a site's cache has no such setting").
				WithHint("It belongs to the jamesd that --cache-of names.")
		}
	}
	return nil
}

// centralAddr returns the HOST:PORT that --cache-of means.
func centralAddr(text string) (string, error) {
	rest := strings.TrimSuffix(strings.TrimPrefix(text, "https://"), "/")
	invalid := james.Errorf(james.KindInvalid, "--cache-of", "%q is not https://HOST:PORT", text)
	if rest == "" || strings.ContainsAny(rest, "/?#@ ") {
		return "", invalid
	}
	if _, _, err := net.SplitHostPort(rest); err != nil {
		rest = net.JoinHostPort(strings.Trim(rest, "[]"), defaultPort)
	}
	if host, port, err := net.SplitHostPort(rest); err != nil || host == "" || port == "" {
		return "", invalid
	}
	return rest, nil
}

// loadTLS reads the certificates: of a server, or of a cache, which is a client of
// its jamesd as well.
func (d *jamesd) loadTLS() (err error) {
	if d.o.cacheOf == "" {
		d.tls, err = pki.ServerTLS(d.o.ca, d.o.cert, d.o.key)
	} else {
		d.tls, d.central, err = pki.CacheTLS(d.o.ca, d.o.cert, d.o.key)
	}
	return certificateError(err)
}

// workSite opens the cache of a site and has it served until ctx ends.
func (d *jamesd) workSite(ctx context.Context) error {
	kept, err := d.o.openCache()
	if err != nil {
		return james.Cannot("start", "", err)
	}
	central, err := newCentral(d.o.cacheOf, d.central)
	if err != nil {
		kept.Close()
		return james.Cannot("start", "", err)
	}
	d.state.site.Store(site.New(site.Options{
		Central: func(device string) site.Central { return central.For(device) }, Cache: kept, Log: d.log,
	}))
	d.log.WithFields(logrus.Fields{"cache_of": d.o.cacheOf, "entries": kept.Stats().Entries}).Info("ready")
	notify("READY=1\nSTATUS=serving")
	<-ctx.Done()
	err = kept.Close()
	central.Close()
	return err
}

func newCentral(cacheOf string, conf *tls.Config) (*client.Client, error) {
	addr, err := centralAddr(cacheOf)
	if err != nil {
		return nil, err
	}
	return client.New(client.Options{
		Addr: addr, TLS: conf, UserAgent: "jamesd-cache/" + version.Commit(), Retries: -1, DialTimeout: centralDial,
	})
}
