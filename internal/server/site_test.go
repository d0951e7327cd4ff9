package server_test

import (
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trusch/jamesd/internal/server"
	"github.com/trusch/jamesd/pkg/james"
)

// cacheOf returns the flags of the cache of a site.
func cacheOf(url, dir string) []string {
	file := func(name string) string { return filepath.Join(certs, name) }
	return []string{"--cache-of", url, "--cache-dir", dir, "--addr", "127.0.0.1:0", "--metrics-addr", "127.0.0.1:0", "--log-format", "json",
		"--ca", file("ca.crt"), "--cert", file("cache.crt"), "--key", file("cache.key")}
}

func TestCacheOf(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ text, want string }{
		{"https://jamesd.example.org:2761", "jamesd.example.org:2761"},
		{"https://jamesd.example.org", "jamesd.example.org:2761"},
		{"https://jamesd.example.org:443/", "jamesd.example.org:443"},
		{"jamesd.example.org", "jamesd.example.org:2761"},
		{"192.0.2.1:1", "192.0.2.1:1"},
		{"https://[2001:db8::1]:99", "[2001:db8::1]:99"},
		{"https://[2001:db8::1]", "[2001:db8::1]:2761"},
		{"https://", ""},
		{"http://jamesd.example.org", ""},
		{"https://jamesd.example.org/v1", ""},
		{"https://me@jamesd.example.org", ""},
		{"https://:2761", ""},
		{"https://jamesd.example.org:", ""},
	} {
		got, err := server.CentralAddr(row.text)
		if got != row.want || (err == nil) != (row.want != "") {
			t.Errorf("%s: %q, %v", row.text, got, err)
		}
		if err != nil && james.KindOf(err) != james.KindInvalid {
			t.Errorf("%s: %v", row.text, err)
		}
	}
}

// TestSiteRefusesToStart: what cannot be meant is told at once.
func TestSiteRefusesToStart(t *testing.T) {
	t.Parallel()
	taken := t.TempDir()
	first := run(t, nil, cacheOf("https://127.0.0.1:1", taken)...)
	first.logged(t, "ready")
	file := func(name string) string { return filepath.Join(certs, name) }
	for _, row := range []struct {
		name string
		env  []string
		args []string // after the standard ones
		code int
		says string
	}{
		{"no URL", nil, []string{"--cache-of", "ftp://x"}, 2, `--cache-of: "ftp://x" is not https://HOST:PORT`},
		{"setting of a jamesd", nil, []string{"--admins", "boss"}, 2, "--admins: a site's cache has no such setting"},
		{"setting of a jamesd in the environment", []string{"JAMESD_SERVER_DB=x"}, nil, 2, "--db: a site's cache has no such setting"},
		{"certificate of a server", nil, []string{"--cert", file("server.crt"), "--key", file("server.key")}, 1, "is not the certificate of a site cache\nhint: Make one with: jamesd-ctl pki add-cache NAME"},
		{"certificate of a device", nil, []string{"--cert", file("device-1.crt"), "--key", file("device-1.key")}, 1, "is not the certificate of a site cache"},
		{"no certificate", nil, []string{"--cert", "/nowhere/cache.crt"}, 1, "jamesd-ctl pki makes certificates"},
		{"directory of another", nil, []string{"--cache-dir", taken}, 1, "another process has this cache\nhint: Is another jamesd running? Each needs a directory of its own; --cache-dir names it."},
		{"little room", nil, []string{"--cache-size", "1000"}, 2, "--cache-size"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			p := run(t, row.env, append(cacheOf("https://127.0.0.1:1", t.TempDir()), row.args...)...)
			if code := p.exit(t); code != row.code || !strings.Contains(p.output(), row.says) {
				t.Fatalf("it exited with %d:\n%s", code, p.output())
			}
		})
	}
}

// TestSiteWithoutJamesd: the cache is there, says so, and gives nobody anything.
func TestSiteWithoutJamesd(t *testing.T) {
	t.Parallel()
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	nobody.Close()
	p := run(t, nil, cacheOf("https://"+nobody.Addr().String(), t.TempDir())...)
	p.logged(t, "ready")
	if status, body := p.get(t, "/readyz"); status != http.StatusOK {
		t.Errorf("before anything was asked: %d %s", status, body)
	}
	_, err = p.client(t, "device-1").Manifest(t.Context(), james.DigestOf(nil))
	if james.KindOf(err) != james.KindUnavailable || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("got %v", err)
	}
	if status, body := p.get(t, "/readyz"); status != http.StatusServiceUnavailable || !strings.Contains(body, "connection refused") {
		t.Errorf("then: %d %s", status, body)
	}
	if status, body := p.get(t, "/metrics"); status != http.StatusOK || !strings.Contains(body, "\njamesd_site_reached 0") {
		t.Errorf("metrics: %d %s", status, body)
	}
	if status, _ := p.get(t, "/healthz"); status != http.StatusOK {
		t.Errorf("it is well, and says %d", status)
	}
	p.stop(t)
}
