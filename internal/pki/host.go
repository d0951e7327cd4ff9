package pki

import (
	"crypto/x509"
	"net"
	"slices"
	"strings"

	"github.com/trusch/jamesd/pkg/james"
)

// addHosts makes c good for the given host names and IP addresses.
func addHosts(c *x509.Certificate, hosts []string) error {
	for i, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			if !slices.ContainsFunc(c.IPAddresses, ip.Equal) {
				c.IPAddresses = append(c.IPAddresses, ip)
			}
			continue
		}
		// The first is also the name of a file, where a wildcard has no place.
		if err := checkHost(host, i > 0); err != nil {
			return err
		}
		if !slices.Contains(c.DNSNames, host) {
			c.DNSNames = append(c.DNSNames, host)
		}
	}
	return nil
}

// checkHost accepts what a TLS client can look for: dot-separated labels of
// letters, digits, "-" and "_".
func checkHost(host string, wildcard bool) error {
	fail := func() error {
		return james.Errorf(james.KindInvalid, "host name", "%.80q is neither a host name nor an IP address", host).
			WithHint("A port is not part of the name; separate several names with commas.")
	}
	rest := host
	if wildcard {
		rest = strings.TrimPrefix(host, "*.")
	}
	if rest == "" || len(host) > 253 {
		return fail()
	}
	for label := range strings.SplitSeq(rest, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || strings.ContainsFunc(label, notHostRune) {
			return fail()
		}
	}
	return nil
}

func notHostRune(r rune) bool {
	return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '-' || r == '_')
}
