package api_test

import (
	"bufio"
	"crypto/tls"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/sirupsen/logrus"

	"github.com/trusch/jamesd/internal/server/api"
	"github.com/trusch/jamesd/pkg/james"
)

// chunked hides the length of a body.
func chunked(s string) io.Reader { return io.MultiReader(strings.NewReader(s)) }

// TestStrict: what is not exactly as the API has it is refused, and in words.
func TestStrict(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	packet := w.add(t, "hello", "v1", "hello")
	digest := james.DigestOf(nil).String()
	big := `{"state":{"id":"` + strings.Repeat("x", 3<<20) + `"}}`
	for _, row := range []struct {
		name, as, method, path string
		header                 http.Header
		body                   io.Reader
		status                 int
		detail                 string
	}{
		{"unknown path", "root", "GET", "/v1/nothing", nil, nil, 404, `there is nothing at "/v1/nothing"`},
		{"root", "root", "GET", "/", nil, nil, 404, "nothing at"},
		{"path is not clean", "root", "GET", "/v1//devices", nil, nil, 404, "nothing at"},
		{"slash at the end", "root", "GET", "/v1/devices/", nil, nil, 404, "nothing at"},
		{"unknown method", "root", "PATCH", "/v1/devices", nil, nil, 405, "only GET"},
		{"method of another path", "root", "PUT", "/v1/packets", nil, strings.NewReader("{}"), 405, "only GET, HEAD, POST"},
		{"malformed digest", "root", "GET", "/v1/packets/123", nil, nil, 400, "has 3 characters"},
		{"digest in capitals", "root", "GET", "/v1/packets/" + strings.ToUpper(digest), nil, nil, 400, "lower-case"},
		{"malformed device", "root", "GET", "/v1/devices/a%20b/state", nil, nil, 400, "device id"},
		{"device with a slash", "root", "GET", "/v1/devices/a%2Fb", nil, nil, 400, "device id"},
		{"unknown parameter", "root", "DELETE", "/v1/packets/" + digest + "?forec=true", nil, nil, 400, "forec"},
		{"parameter twice", "root", "DELETE", "/v1/packets/" + digest + "?force=true&force=false", nil, nil, 400, "2 times"},
		{"parameter is no flag", "root", "DELETE", "/v1/packets/" + digest + "?force=yes", nil, nil, 400, "true or false"},
		{"parameter is no number", "root", "GET", "/v1/events?after=-1", nil, nil, 400, "not a number"},
		{"limit too large", "root", "GET", "/v1/events?limit=10001", nil, nil, 400, "to 10000"},
		{"malformed escape in the query", "root", "DELETE", "/v1/packets/" + digest + "?force=tru%zz", nil, nil, 400, "query"},
		{"semicolon in the query", "root", "GET", "/v1/events?after=1;limit=1", nil, nil, 400, "query"},
		{"name is malformed", "root", "GET", "/v1/packets?name=a+b", nil, nil, 400, "packet name"},
		{"name is empty", "root", "GET", "/v1/packets?name=", nil, nil, 400, "packet name"},
		{"body without use", "root", "GET", "/v1/devices", nil, strings.NewReader("x"), 413, "not expected"},
		{"chunked body without use", "root", "DELETE", "/v1/devices/x", nil, chunked("x"), 413, "not expected"},
		{"no media type", "device-1", "POST", "/v1/poll", nil, strings.NewReader("{}"), 415, "application/json"},
		{"other media type", "device-1", "POST", "/v1/reports", http.Header{"Content-Type": {"text/plain"}}, strings.NewReader("{}"), 415, "application/json"},
		{"empty body", "device-1", "POST", "/v1/poll", jsonBody, nil, 400, "empty"},
		{"not JSON", "device-1", "POST", "/v1/poll", jsonBody, strings.NewReader("same: 1"), 400, "malformed JSON"},
		{"cut JSON", "device-1", "POST", "/v1/poll", jsonBody, strings.NewReader(`{"wait":`), 400, "ends in the middle"},
		{"unknown field", "device-1", "POST", "/v1/poll", jsonBody, strings.NewReader(`{"id":"device-2"}`), 400, `unknown field "id"`},
		{"wrong type", "device-1", "POST", "/v1/poll", jsonBody, strings.NewReader(`{"wait":"long"}`), 400, "wait: a string does not go there"},
		{"wrong type of the whole", "device-1", "POST", "/v1/poll", jsonBody, strings.NewReader(`[]`), 400, "malformed JSON: an array where an object must be"},
		{"wrong value", "device-1", "POST", "/v1/poll", jsonBody, strings.NewReader(`{"report":{"systemtags":["a b"]}}`), 400, "tag"},
		{"trailing data", "device-1", "POST", "/v1/poll", jsonBody, strings.NewReader(`{} {}`), 400, "more follows"},
		{"null", "root", "PUT", "/v1/devices/d/desired", jsonBody, strings.NewReader("null"), 400, ""},
		{"state of another device", "root", "PUT", "/v1/devices/d/desired", jsonBody, strings.NewReader(`{"state":{"id":"e"}}`), 400, `"e"`},
		{"too large", "root", "PUT", "/v1/devices/d/desired", jsonBody, strings.NewReader(big), 413, "larger than 2097152 bytes"},
		{"too large, chunked", "root", "PUT", "/v1/devices/d/desired", jsonBody, chunked(big), 413, "larger than 2097152 bytes"},
		{"range beyond the end", "root", "GET", "/v1/packets/PACKET/archive", http.Header{"Range": {"bytes=99999-"}}, nil, 416, "beyond the end"},
		{"precondition", "root", "GET", "/v1/packets/PACKET/archive", http.Header{"If-Match": {`"x"`}}, nil, 412, "has changed"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			path := strings.Replace(row.path, "PACKET", packet.Digest.String(), 1)
			got := w.ask(t, transport(t, row.as), row.method, path, row.header, row.body)
			if got.StatusCode != row.status || !strings.Contains(got.problem.Detail, row.detail) {
				t.Fatalf("got %d %s", got.StatusCode, got.body)
			}
			if row.status == 405 && got.Header.Get("Allow") == "" {
				t.Error("no Allow header")
			}
		})
	}
}

// TestHTTP1: a client that could speak HTTP/2 gets HTTP/1.1.
func TestHTTP1(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	conf := tlsOf(t, "root")
	conf.NextProtos = []string{"h2", "http/1.1"}
	conn, err := tls.Dial("tcp", w.addr, conf)
	must(t, err)
	defer conn.Close()
	if got := conn.ConnectionState().NegotiatedProtocol; got != "http/1.1" {
		t.Fatalf("negotiated %q", got)
	}
}

// TestRaw sends what net/http's client does not.
func TestRaw(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, row := range []struct {
		name, request string
		status        int
	}{
		{"header beyond 16 KiB and net/http's slack", "GET /v1/devices HTTP/1.1\r\nHost: x\r\nX-Long: " + strings.Repeat("x", 24<<10) + "\r\n\r\n", 431},
		{"options of the server", "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 400},
		{"connect", "CONNECT x:1 HTTP/1.1\r\nHost: x:1\r\n\r\n", 404},
		{"dots in the path", "GET /v1/packets/../devices HTTP/1.1\r\nHost: x\r\n\r\n", 404},
		{"no HTTP", "hello\r\n\r\n", 400},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			conn, err := tls.Dial("tcp", w.addr, tlsOf(t, "root"))
			must(t, err)
			defer conn.Close()
			io.WriteString(conn, row.request)
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			must(t, err)
			resp.Body.Close()
			if resp.StatusCode != row.status {
				t.Fatalf("got %s", resp.Status)
			}
		})
	}
}

func TestRequestID(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	rt := transport(t, "root")
	for _, row := range []struct {
		name, sent string
		kept       bool
	}{
		{"none", "", false},
		{"sane", "a-Z_0.9", true},
		{"newline", "a\tb", false},
		{"quote", `a"b`, false},
		{"long", strings.Repeat("x", 65), false},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := w.ask(t, rt, "GET", "/v1/openapi.yaml", http.Header{"X-Request-Id": {row.sent}}, nil)
			id := got.Header.Get("X-Request-Id")
			if id == "" || (id == row.sent) != row.kept {
				t.Fatalf("sent %q, got %q", row.sent, id)
			}
		})
	}
	a := w.ask(t, rt, "GET", "/v1/openapi.yaml", nil, nil).Header.Get("X-Request-Id")
	b := w.ask(t, rt, "GET", "/v1/openapi.yaml", nil, nil).Header.Get("X-Request-Id")
	if a == b {
		t.Errorf("two requests have the id %s", a)
	}
}

// TestLog: an operator sees changes and refusals, and polls only when asked for.
func TestLog(t *testing.T) {
	t.Parallel()
	observed := make(chan api.Observation, 10)
	w := newWorld(t, func(o *api.Options) { o.Observe = func(ob api.Observation) { observed <- ob } })
	unknown := "/v1/devices/" + strings.Repeat("y", 3)
	for _, row := range []struct {
		name, as, method, path string
		header                 http.Header
		body                   string
		level                  logrus.Level
		route                  string
		status                 int
	}{
		{"poll", "device-1", "POST", "/v1/poll", jsonBody, `{"report":{}}`, logrus.DebugLevel, "POST /v1/poll", 204},
		{"look", "root", "GET", "/v1/devices", nil, "", logrus.DebugLevel, "GET /v1/devices", 200},
		{"change", "root", "PUT", "/v1/devices/device-1/desired", jsonBody, `{"state":{"id":"device-1"}}`, logrus.InfoLevel, "PUT /v1/devices/{id}/desired", 200},
		{"refusal", "device-1", "GET", "/v1/events", nil, "", logrus.InfoLevel, "GET /v1/events", 403},
		{"nothing there", "root", "GET", unknown, nil, "", logrus.DebugLevel, "GET /v1/devices/{id}", 404},
		{"no route", "root", "GET", "/v2", nil, "", logrus.DebugLevel, "other", 404},
	} {
		t.Run(row.name, func(t *testing.T) {
			var body io.Reader
			if row.body != "" {
				body = strings.NewReader(row.body)
			}
			got := w.ask(t, transport(t, row.as), row.method, row.path, row.header, body)
			o := <-observed
			if o.Route != row.route || o.Status != row.status || o.In != int64(len(row.body)) || o.Out != int64(len(got.body)) {
				t.Errorf("observed %+v of %d bytes", o, len(got.body))
			}
			e := w.logged(t, "path", row.path)
			if e.Level != row.level || e.Data["status"] != row.status || e.Data["request"] != got.Header.Get("X-Request-Id") {
				t.Errorf("logged at level %s: %v", e.Level, e.Data)
			}
			role := map[string]string{"root": "admin", "device-1": "device"}[row.as]
			if e.Data[role] != row.as {
				t.Errorf("logged %v, want %s=%s", e.Data, role, row.as)
			}
		})
	}
}
