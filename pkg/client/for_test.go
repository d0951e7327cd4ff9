package client_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/trusch/jamesd/pkg/james"
)

// TestMayFetch: what is there and allowed is not sent.
func TestMayFetch(t *testing.T) {
	t.Parallel()
	packet := james.DigestOf([]byte("packet"))
	there := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Etag", `"`+packet.String()+`"`)
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader("packet"))
	}
	for _, row := range []struct {
		name   string
		answer http.HandlerFunc
		kind   james.Kind
	}{
		{"allowed", there, ""},
		{"something in between ignores If-None-Match", func(w http.ResponseWriter, r *http.Request) {
			r.Header.Del("If-None-Match")
			there(w, r)
		}, ""},
		{"denied", func(w http.ResponseWriter, _ *http.Request) {
			problem(w, http.StatusForbidden, `{"kind":"denied","detail":"no"}`)
		}, james.KindDenied},
		{"not there", func(w http.ResponseWriter, _ *http.Request) {
			problem(w, http.StatusNotFound, `{"kind":"not-found","detail":"no"}`)
		}, james.KindNotFound},
		{"proxy", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }, james.KindUnavailable},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			c := newClient(t, serve(t, "server", func(w http.ResponseWriter, r *http.Request) {
				if got := r.Header.Get(james.HeaderDevice); got != "device-7" {
					t.Errorf("asked for the device %q", got)
				}
				row.answer(w, r)
			}), "device-1")
			if err := c.For("device-7").MayFetch(t.Context(), packet); james.KindOf(err) != row.kind {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestNotModified: nobody is answered that he has something unless he said so.
func TestNotModified(t *testing.T) {
	t.Parallel()
	c := newClient(t, serve(t, "server", func(w http.ResponseWriter, r *http.Request) {
		if got, ok := r.Header[james.HeaderDevice]; ok {
			t.Errorf("asked for the device %q", got)
		}
		w.WriteHeader(http.StatusNotModified)
	}), "device-1")
	if _, err := c.Manifest(t.Context(), james.DigestOf(nil)); james.KindOf(err) != james.KindInternal {
		t.Errorf("got %v", err)
	}
}
