package client_test

import (
	"io"
	"net/http"
	"regexp"
	"sync"
	"testing"

	"github.com/trusch/jamesd/pkg/client"
	"github.com/trusch/jamesd/pkg/james"
)

// TestRequestIDs: each request has an id of its own, which who asked is told, whatever
// comes of it; a request that nobody got has none.
func TestRequestIDs(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name   string
		answer http.HandlerFunc // nil where nobody listens
		status int
		inErr  bool
	}{
		{"answered", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"id":"d"}`) }, 200, false},
		{"refused", func(w http.ResponseWriter, _ *http.Request) {
			problem(w, 503, `{"kind":"unavailable","detail":"away"}`)
		}, 503, true},
		{"answered by something else", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(502) }, 502, true},
		{"hung up on", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, 0, true},
		{"cut off in the middle", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			io.WriteString(w, `{"id":"d",`)
		}, 200, true},
		{"not sent", nil, 0, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			var got []string
			var told []client.Exchange
			addr := "127.0.0.1:1"
			if row.answer != nil {
				addr = serve(t, "server", func(w http.ResponseWriter, r *http.Request) {
					mu.Lock()
					got = append(got, r.Header.Get(james.HeaderRequestID))
					mu.Unlock()
					row.answer(w, r)
				})
			}
			c := newClient(t, addr, "device-1", func(o *client.Options) { o.Observe = func(x client.Exchange) { told = append(told, x) } })
			_, err := c.Device(t.Context(), "d")
			_, again := c.Device(t.Context(), "d")
			mu.Lock()
			defer mu.Unlock()
			if len(told) != 2 || told[0].Request == told[1].Request || told[0].Path != "/v1/devices/d" || told[0].Status != row.status {
				t.Fatalf("was told of %+v", told)
			}
			if row.answer != nil && (len(got) != 2 || got[0] != told[0].Request || got[1] != told[1].Request) {
				t.Errorf("the server got %q", got)
			}
			if !regexp.MustCompile(`^[a-z2-7]{6}-1$`).MatchString(told[0].Request) {
				t.Errorf("the first id is %q", told[0].Request)
			}
			for i, err := range []error{err, again} {
				if id := james.RequestOf(err); (id != "") != row.inErr || row.inErr && id != told[i].Request {
					t.Errorf("the error %v is about the request %q of %q", err, id, told[i].Request)
				}
			}
		})
	}
}
