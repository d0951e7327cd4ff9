package api_test

import (
	"crypto/tls"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/trusch/jamesd/internal/server/api"
	"github.com/trusch/jamesd/pkg/james"
)

// callers are everybody who can knock.
var callers = []struct {
	name string // of the certificate
	role api.Role
	// handshake is what the server ends the connection with; such a caller never
	// reaches a route.
	handshake string
}{
	{name: "root", role: api.Admin},
	{name: "boss", role: api.Admin}, // by Options.Admins
	{name: "device-1", role: api.Device},
	{name: "device-2", role: api.Device}, // nothing of device-1 is its business
	{name: "cache", role: api.Cache},     // asks for device-1
	{name: "other-cache", role: api.Cache},
	{name: "", handshake: "certificate required"},
	{name: "other/root", handshake: "unknown certificate authority"},
	{name: "other/device-1", handshake: "unknown certificate authority"},
	{name: "late", handshake: "expired certificate"},
	{name: "server", handshake: "bad certificate"}, // not made for clients
}

// pathOf fills in the path of a route.
func pathOf(r api.Route, device string, digest james.Digest) string {
	return strings.NewReplacer("{id}", device, "{digest}", digest.String()).Replace(r.Path)
}

// mayCall says who is let through, apart from the table that is tested.
func mayCall(r api.Route, caller string, role api.Role) bool {
	switch r.Path {
	case "/v1/poll", "/v1/reports", "/v1/progress":
		return role == api.Device
	case "/v1/blobs":
		return role == api.Device || role == api.Cache
	case "/v1/openapi.yaml":
		return role != api.Cache
	case "/v1/packets/{digest}/manifest", "/v1/packets/{digest}/archive":
		return role == api.Admin || caller == "device-1" || caller == "cache"
	}
	return role == api.Admin
}

// TestAccess walks every route as everybody.
func TestAccess(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	packet := w.add(t, "hello", "v1", "hello")
	w.want(t, "device-1", packet.App())
	for _, device := range []string{"device-1", "device-2"} {
		_, err := w.client(t, device).Poll(t.Context(), james.PollRequest{Report: &james.DeviceReport{}})
		must(t, err)
	}
	routes := api.Routes()
	if len(routes) != 22 {
		t.Fatalf("there are %d routes; this test knows who may call 22", len(routes))
	}
	for _, c := range callers {
		rt := transport(t, c.name)
		for _, r := range routes {
			t.Run(r.Method+" "+r.Path+" as "+c.name, func(t *testing.T) {
				device, digest := "device-1", packet.Digest
				if r.Method == http.MethodDelete {
					device, digest = "nobody", james.DigestOf(nil) // others need the real ones
				}
				path := pathOf(r, device, digest)
				if c.handshake != "" {
					req, err := http.NewRequestWithContext(t.Context(), r.Method, "https://"+w.addr+path, nil)
					must(t, err)
					_, err = rt.RoundTrip(req)
					if err == nil || !strings.Contains(err.Error(), c.handshake) {
						t.Fatalf("got %v, want %q", err, c.handshake)
					}
					return
				}
				var header http.Header
				if c.role == api.Cache {
					header = http.Header{james.HeaderDevice: {map[string]string{"cache": "device-1", "other-cache": "device-2"}[c.name]}}
				}
				got := w.ask(t, rt, r.Method, path, header, nil)
				denied := got.StatusCode == http.StatusForbidden || got.StatusCode == http.StatusUnauthorized
				if allowed := mayCall(r, c.name, c.role); denied == allowed {
					t.Fatalf("answered %d %s, allowed: %v", got.StatusCode, got.body, allowed)
				}
				if denied && (got.problem.Kind != james.KindDenied || got.problem.Op != r.Op || r.Access&c.role == 0 && got.problem.Hint == "") {
					t.Errorf("answered %s", got.body)
				}
			})
		}
	}
}

// TestAccessForDevice: only a cache speaks for a device, and it must say for which.
func TestAccessForDevice(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	packet := w.add(t, "hello", "v1", "hello")
	w.want(t, "device-1", packet.App())
	_, err := w.client(t, "device-1").Poll(t.Context(), james.PollRequest{Report: &james.DeviceReport{}})
	must(t, err)
	for _, row := range []struct {
		caller, device string
		status         int
	}{
		{"cache", "device-1", http.StatusOK},
		{"cache", "device-2", http.StatusForbidden},
		{"cache", "unheard-of", http.StatusForbidden},
		{"cache", "", http.StatusBadRequest},
		{"cache", "-x", http.StatusBadRequest},
		{"device-2", "device-1", http.StatusForbidden},
		{"device-1", "device-2", http.StatusOK},
	} {
		got := w.ask(t, transport(t, row.caller), "GET", "/v1/packets/"+packet.Digest.String()+"/archive", http.Header{james.HeaderDevice: {row.device}}, nil)
		if got.StatusCode != row.status {
			t.Errorf("%s for %q: %d %s", row.caller, row.device, got.StatusCode, got.body)
		}
	}
	if e := w.logged(t, "cache", "cache"); e.Data["device"] == nil {
		t.Errorf("the log says %v", e.Data)
	}
}

// TestAccessCommonName: a certificate of the authority whose common name cannot
// be a device's is nobody's.
func TestAccessCommonName(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, c := range []struct{ name, cn, detail string }{
		{"none", "", "has no common name"},
		{"malformed", "-x", "is not a device's id"},
		{"too long", strings.Repeat("x", 65), "is not a device's id"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			conf := tlsOf(t, "")
			conf.Certificates = issue(t, c.cn)
			got := w.ask(t, &http.Transport{TLSClientConfig: conf, DisableKeepAlives: true}, "GET", "/v1/openapi.yaml", nil, nil)
			if got.StatusCode != http.StatusUnauthorized || got.problem.Kind != james.KindUnauthenticated ||
				!strings.Contains(got.problem.Detail, c.detail) || !got.Close {
				t.Fatalf("got %d %s", got.StatusCode, got.body)
			}
		})
	}
}

// TestAccessExpiresOnConnection: a connection does not outlive its certificate.
func TestAccessExpiresOnConnection(t *testing.T) {
	t.Parallel()
	later := make(chan time.Duration, 1)
	later <- 0
	w := newWorld(t, func(o *api.Options) {
		o.Now = func() time.Time {
			d := <-later
			later <- d
			return time.Now().Add(d)
		}
	})
	rt := transport(t, "root")
	if got := w.ask(t, rt, "GET", "/v1/openapi.yaml", nil, nil); got.StatusCode != http.StatusOK {
		t.Fatalf("got %d", got.StatusCode)
	}
	<-later
	later <- 30 * 365 * 24 * time.Hour
	got := w.ask(t, rt, "GET", "/v1/openapi.yaml", nil, nil)
	if got.StatusCode != http.StatusUnauthorized || !strings.Contains(got.problem.Detail, "expired") {
		t.Fatalf("got %d %s", got.StatusCode, got.body)
	}
}

// TestAccessResumed: a resumed TLS session is the same caller's.
func TestAccessResumed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	conf := tlsOf(t, "device-1")
	conf.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	for i := range 2 {
		got := w.ask(t, &http.Transport{TLSClientConfig: conf, DisableKeepAlives: true}, "GET", "/v1/devices", nil, nil)
		if got.StatusCode != http.StatusForbidden || !strings.Contains(got.problem.Detail, "device-1") || got.TLS.DidResume != (i == 1) {
			t.Fatalf("got %d %s, resumed: %v", got.StatusCode, got.body, got.TLS.DidResume)
		}
	}
}
