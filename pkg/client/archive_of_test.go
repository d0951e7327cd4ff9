package client_test

import (
	"bytes"
	"net/http"
	"testing"
	"time"

	"github.com/trusch/jamesd/pkg/james"
)

func TestArchiveOf(t *testing.T) {
	t.Parallel()
	content := bytes.Repeat([]byte("0123456789"), 1000)
	want := james.Archive{Digest: james.DigestOf(content), Size: int64(len(content))}
	whole := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Etag", `"`+want.Digest.String()+`"`)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
	}
	for _, row := range []struct {
		name   string
		answer http.HandlerFunc
		kind   james.Kind
	}{
		{"a jamesd", whole, ""},
		{"without ranges", func(w http.ResponseWriter, r *http.Request) {
			r.Header.Del("Range")
			whole(w, r)
		}, ""},
		{"no such packet", func(w http.ResponseWriter, _ *http.Request) {
			problem(w, http.StatusNotFound, `{"kind":"not-found","detail":"does not exist"}`)
		}, james.KindNotFound},
		{"no etag", func(w http.ResponseWriter, _ *http.Request) { w.Write(content) }, james.KindCorrupt},
		{"no length", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Etag", `"`+want.Digest.String()+`"`)
			w.(http.Flusher).Flush()
			w.Write(content)
		}, james.KindCorrupt},
		{"a strange range", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Etag", `"`+want.Digest.String()+`"`)
			w.Header().Set("Content-Range", "bytes 0-0/*")
			w.WriteHeader(http.StatusPartialContent)
		}, james.KindCorrupt},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			c := newClient(t, serve(t, "server", row.answer), "device-1")
			got, err := c.ArchiveOf(t.Context(), james.DigestOf(nil))
			if james.KindOf(err) != row.kind || err == nil && got != want {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
}
