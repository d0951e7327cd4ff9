package client_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/trusch/jamesd/pkg/james"
)

// TestArchive: every byte comes from where it was asked for, or there is an error.
func TestArchive(t *testing.T) {
	t.Parallel()
	content := bytes.Repeat([]byte("0123456789"), 1000)
	archive := james.Archive{Digest: james.DigestOf(content), Size: int64(len(content))}
	etag := `"` + archive.Digest.String() + `"`
	whole := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Etag", etag)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
	}
	for _, row := range []struct {
		name   string
		offset int64
		answer http.HandlerFunc
		kind   james.Kind
	}{
		{"whole", 0, whole, ""},
		{"rest", 4321, whole, ""},
		{"last byte", archive.Size - 1, whole, ""},
		{"nothing", archive.Size, func(http.ResponseWriter, *http.Request) { panic("asked in vain") }, ""},
		{"server without ranges", 4321, func(w http.ResponseWriter, r *http.Request) {
			r.Header.Del("Range")
			whole(w, r)
		}, ""},
		{"other bytes", 4321, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Etag", `"other"`)
			http.ServeContent(w, r, "", time.Time{}, strings.NewReader("other"))
		}, james.KindConflict},
		{"no etag", 0, func(w http.ResponseWriter, _ *http.Request) { w.Write(content) }, james.KindConflict},
		{"other place", 4321, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Etag", etag)
			w.Header().Set("Content-Range", fmt.Sprintf("bytes 4320-%d/%d", len(content)-1, len(content)))
			w.WriteHeader(http.StatusPartialContent)
			w.Write(content[4320:])
		}, james.KindConflict},
		{"other size", 0, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Etag", etag)
			w.Header().Set("Content-Length", "7")
			w.Write(content[:7])
		}, james.KindConflict},
		{"cut", 0, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Etag", etag)
			w.Header().Set("Content-Length", fmt.Sprint(len(content)))
			w.Write(content[:7000])
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}, james.KindUnavailable},
		{"ends early", 0, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Etag", etag)
			w.(http.Flusher).Flush()
			w.Write(content[:7000])
		}, james.KindUnavailable},
		{"ends early without ranges", 4321, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Etag", etag)
			w.(http.Flusher).Flush()
			w.Write(content[:4000])
		}, james.KindUnavailable},
		{"too long", 0, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Etag", etag)
			w.(http.Flusher).Flush()
			w.Write(content)
			w.Write(content)
		}, james.KindCorrupt},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			c := newClient(t, serve(t, "server", row.answer), "device-1")
			body, err := c.Archive(t.Context(), james.DigestOf(nil), archive, row.offset)
			var got []byte
			if err == nil {
				defer body.Close()
				got, err = io.ReadAll(body)
			}
			if james.KindOf(err) != row.kind {
				t.Fatalf("got %s: %v", james.KindOf(err), err)
			}
			if err == nil && !bytes.Equal(got, content[row.offset:]) {
				t.Errorf("got %d bytes", len(got))
			}
		})
	}
}

// TestManifest: only the manifest that has the digest is one.
func TestManifest(t *testing.T) {
	t.Parallel()
	m := &james.Manifest{Name: "p", Entries: []james.Entry{{Path: "d", Type: james.TypeDir, Mode: 0o755}}}
	raw, digest, err := m.Encode()
	must(t, err)
	addr := serve(t, "server", func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, digest.String()) {
			w.Write(raw)
			return
		}
		json.NewEncoder(w).Encode(m)
	})
	c := newClient(t, addr, "device-1")
	got, err := c.Manifest(t.Context(), digest)
	if err != nil || got.Name != "p" || len(got.Entries) != 1 {
		t.Errorf("got %+v, %v", got, err)
	}
	_, err = c.Manifest(t.Context(), james.DigestOf(nil))
	if james.KindOf(err) != james.KindCorrupt || !strings.HasPrefix(err.Error(), "cannot get the manifest of packet ") {
		t.Errorf("got %s: %v", james.KindOf(err), err)
	}
}
