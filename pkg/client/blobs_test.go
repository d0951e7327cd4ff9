package client_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/trusch/jamesd/pkg/client"
	"github.com/trusch/jamesd/pkg/james"
)

var wanted = james.BlobsRequest{Packets: []james.Wants{{Packet: james.DigestOf(nil), Entries: james.IndicesOf(1, 2, 3)}}}

// TestBlobs: every byte comes from where it was asked for, or there is an error.
func TestBlobs(t *testing.T) {
	t.Parallel()
	content := bytes.Repeat([]byte("0123456789"), 1000)
	size := int64(len(content))
	answer := func(status int, contentRange string, body []byte, length bool) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Etag", `"s"`)
			if contentRange != "" {
				w.Header().Set("Content-Range", contentRange)
			}
			if length {
				w.Header().Set("Content-Length", fmt.Sprint(len(body)))
			}
			w.WriteHeader(status)
			w.(http.Flusher).Flush()
			w.Write(body)
		}
	}
	for _, row := range []struct {
		name   string
		etag   string
		offset int64
		answer http.HandlerFunc
		size   int64
		kind   james.Kind
	}{
		{"whole", "", 0, answer(200, "", content, true), size, ""},
		{"while it is made", "", 0, answer(200, "", content, false), -1, ""},
		{"the rest", `"s"`, 4321, answer(206, "bytes 4321-9999/10000", content[4321:], true), size, ""},
		{"the rest while it is made", `"s"`, 4321, answer(206, "bytes 4321-*/*", content[4321:], false), -1, ""},
		{"the rest is nothing", `"s"`, size, answer(206, "bytes 10000-9999/10000", nil, true), size, ""},
		{"no ranges in between", `"s"`, 4321, answer(200, "", content, true), size, ""},
		{"no ranges in between, while it is made", `"s"`, 4321, answer(200, "", content, false), -1, ""},
		{"another stream", `"r"`, 4321, answer(206, "bytes 4321-9999/10000", content[4321:], true), 0, james.KindConflict},
		{"another whole stream", `"r"`, 4321, answer(200, "", content, true), 0, james.KindConflict},
		{"the stream is gone", `"s"`, 4321, func(w http.ResponseWriter, _ *http.Request) {
			problem(w, 412, `{"kind":"conflict","detail":"the content has changed"}`)
		}, 0, james.KindConflict},
		{"another place", `"s"`, 4321, answer(206, "bytes 4320-9999/10000", content[4320:], true), 0, james.KindConflict},
		{"not to the end", `"s"`, 4321, answer(206, "bytes 4321-9998/10000", content[4321:9999], true), 0, james.KindConflict},
		{"a range of a stranger", `"s"`, 4321, answer(206, "bytes of mine", content, true), 0, james.KindConflict},
		{"a range that nobody wants", "", 0, answer(206, "bytes 0-9999/10000", content, true), 0, james.KindConflict},
		{"too short for the rest", `"s"`, 4321, answer(200, "", content[:99], true), 0, james.KindUnavailable},
		{"cut", "", 0, func(w http.ResponseWriter, _ *http.Request) {
			w.Write(content[:7000])
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}, 0, james.KindUnavailable},
		{"ends early", `"s"`, 4321, answer(206, "bytes 4321-9999/10000", content[4321:9000], false), 0, james.KindUnavailable},
		{"too long", `"s"`, 4321, answer(206, "bytes 4321-9999/10000", content, false), 0, james.KindCorrupt},
		{"a byte of no stream", "", 1, nil, 0, james.KindInvalid},
		{"before the stream", `"s"`, -1, nil, 0, james.KindInvalid},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			c := newClient(t, serve(t, "server", row.answer), "device-1")
			s, err := c.Blobs(t.Context(), wanted, row.etag, row.offset)
			var got []byte
			if err == nil {
				defer s.Close()
				got, err = io.ReadAll(s)
			}
			if james.KindOf(err) != row.kind {
				t.Fatalf("got %q: %v", james.KindOf(err), err)
			}
			if err == nil && (!bytes.Equal(got, content[row.offset:]) || s.Size != row.size || s.ETag != `"s"`) {
				t.Errorf("got %d bytes of %d, %s", len(got), s.Size, s.ETag)
			}
		})
	}
}

// TestBlobsRequest: what the server is asked for, and what it answers.
func TestBlobsRequest(t *testing.T) {
	t.Parallel()
	var header http.Header
	var asked james.BlobsRequest
	addr := serve(t, "server", func(w http.ResponseWriter, r *http.Request) {
		header = r.Header
		must(t, json.NewDecoder(r.Body).Decode(&asked))
		if r.Method != "POST" || r.URL.Path != "/v1/blobs" {
			t.Errorf("%s %s", r.Method, r.URL)
		}
		w.Header().Set("Etag", `"s"`)
		if asked.Offer {
			io.WriteString(w, `{"size":7,"exact":true,"patched":1,"whole":2}`)
		}
	})
	c := newClient(t, addr, "device-1")
	s, err := c.Blobs(t.Context(), wanted, "", 0)
	must(t, err)
	s.Close()
	if len(header["Range"])+len(header["If-Match"])+len(header["If-Range"]) > 0 || asked.Packets[0].Entries.String() != "1-3" {
		t.Errorf("asked for %+v with %v", asked, header)
	}
	s, err = c.Blobs(t.Context(), wanted, `"s"`, 0)
	must(t, err)
	s.Close()
	if header.Get("Range") != "bytes=0-" || header.Get("If-Match") != `"s"` || header.Get("If-Range") != `"s"` {
		t.Errorf("went on with %v", header)
	}
	offer, err := c.OfferBlobs(t.Context(), wanted)
	if want := (james.BlobsOffer{Size: 7, Exact: true, Patched: 1, Whole: 2}); err != nil || offer != want || !asked.Offer {
		t.Errorf("got %+v, %v", offer, err)
	}
	for _, call := range []func(*client.Client) error{
		func(c *client.Client) error { _, err := c.Blobs(t.Context(), james.BlobsRequest{}, "", 0); return err },
		func(c *client.Client) error { _, err := c.OfferBlobs(t.Context(), james.BlobsRequest{}); return err },
	} {
		if err := call(c); james.KindOf(err) != james.KindInvalid {
			t.Errorf("nothing wanted: %v", err)
		}
	}
}
