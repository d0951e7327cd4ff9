package device

import (
	"net"

	"github.com/sirupsen/logrus"

	"github.com/trusch/jamesd/internal/device/sitecache"
	"github.com/trusch/jamesd/internal/pki"
	"github.com/trusch/jamesd/internal/version"
	"github.com/trusch/jamesd/pkg/client"
	"github.com/trusch/jamesd/pkg/james"
)

// connection is jamesd as this device calls it, behind the cache of its site where it
// has one.
type connection struct {
	sitecache.Server
	device string // who this device is to jamesd
	// reconnect has the next calls use new connections.
	reconnect func()
	close     func()
}

// connect returns the connection to jamesd.
func connect(s *settings, log logrus.FieldLogger) (*connection, error) {
	server, id, err := newClient(s, log)
	if err != nil {
		return nil, err
	}
	c := &connection{Server: server, device: id, reconnect: server.Close, close: server.Close}
	if s.cache == "" {
		return c, nil
	}
	cache, err := newCacheClient(s, log)
	if err != nil {
		server.Close()
		return nil, err
	}
	c.Server = sitecache.New(server, cache, log)
	c.close = func() { cache.Close(); server.Close() }
	return c, nil
}

// newClient returns the connection to jamesd itself, and who the device is to it.
func newClient(s *settings, log logrus.FieldLogger) (*client.Client, string, error) {
	addr, err := s.server()
	if err != nil {
		return nil, "", err
	}
	tls, err := pki.ClientTLS(s.ca, s.cert, s.key)
	if err != nil {
		return nil, "", err
	}
	c, err := client.New(client.Options{Addr: addr, TLS: tls, UserAgent: userAgent(), Observe: logged(log)})
	if err != nil {
		return nil, "", err
	}
	return c, tls.Certificates[0].Leaf.Subject.CommonName, nil
}

// newCacheClient returns the connection to the site's cache, which is not to be
// waited for as jamesd is.
func newCacheClient(s *settings, log logrus.FieldLogger) (*client.Client, error) {
	addr, err := withPort("cache", s.cache)
	if err != nil {
		return nil, err
	}
	tls, err := pki.ClientTLS(s.ca, s.cert, s.key)
	if err != nil {
		return nil, err
	}
	return client.New(client.Options{
		Addr: addr, TLS: tls, UserAgent: userAgent(), Retries: -1, Observe: logged(log.WithField("cache", addr)),
		DialTimeout: sitecache.DialTimeout, Timeout: sitecache.Timeout, Stall: sitecache.Stall,
	})
}

// logged returns what writes a line about each request, with the id by which the log of
// the other side names it: at info level for what happens once for a plan, at debug level
// for polls and what is fetched.
func logged(log logrus.FieldLogger) func(client.Exchange) {
	return func(x client.Exchange) {
		entry := log.WithFields(logrus.Fields{"request": x.Request, "method": x.Method, "path": x.Path, "status": x.Status, "ms": x.Took.Milliseconds()})
		if x.Err != nil {
			entry = entry.WithError(x.Err)
		}
		if x.Path == "/v1/reports" && x.Err == nil {
			entry.Info("request")
		} else {
			entry.Debug("request")
		}
	}
}

func userAgent() string { return programName + "/" + version.Commit() }

// withPort returns an address with its port; setting is where it was given.
func withPort(setting, addr string) (string, error) {
	if _, _, err := net.SplitHostPort(addr); err == nil {
		return addr, nil
	}
	whole := net.JoinHostPort(trimBrackets(addr), defaultPort)
	if _, _, err := net.SplitHostPort(whole); err != nil {
		return "", james.Errorf(james.KindInvalid, setting, "%q is not HOST or HOST:PORT", addr)
	}
	return whole, nil
}
