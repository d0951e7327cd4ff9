package api_test

import (
	"archive/tar"
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trusch/jamesd/internal/server/api"
	"github.com/trusch/jamesd/pkg/james"
)

// stalling returns a reader that returns s, and then nothing until end is called.
func stalling(s string) (r io.Reader, end func()) {
	rest, w := io.Pipe()
	return io.MultiReader(strings.NewReader(s), rest), func() { w.Close() }
}

// zeros is a body of n bytes that counts how many were taken.
type zeros struct {
	n     int64
	taken atomic.Int64
}

func (z *zeros) Read(p []byte) (int, error) {
	left := z.n - z.taken.Load()
	if left == 0 {
		return 0, io.EOF
	}
	n := min(int64(len(p)), left)
	clear(p[:n])
	z.taken.Add(n)
	return int(n), nil
}

type part struct{ name, content string }

// form returns a multipart body.
func form(t testing.TB, parts ...part) (http.Header, []byte) {
	t.Helper()
	var buf bytes.Buffer
	w := multipart.NewWriter(&buf)
	for _, p := range parts {
		out, err := w.CreatePart(textproto.MIMEHeader{"Content-Disposition": {`form-data; name="` + p.name + `"`}})
		must(t, err)
		io.WriteString(out, p.content)
	}
	must(t, w.Close())
	return http.Header{"Content-Type": {w.FormDataContentType()}}, buf.Bytes()
}

// settingOf says which setting the answer to something too large names.
var settingOf = map[string]string{"body too large": "max-archive", "files too large": "max-packet-size"}

// TestUploadForm: an upload of another form than it must have changes nothing.
func TestUploadForm(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *api.Options) { o.MaxUpload = 12 << 20 })
	archive := part{"archive", string(tarOf(t, "f", []byte("x")))}
	packet := part{"packet", `{"name":"p","tags":[]}`}
	var huge bytes.Buffer
	must(t, tar.NewWriter(&huge).WriteHeader(&tar.Header{Name: "f", Size: 17 << 30, Mode: 0o644}))
	for _, row := range []struct {
		name   string
		parts  []part
		status int
		detail string
	}{
		{"files too large", []part{packet, {"archive", huge.String()}}, 413, "exceed the limit of 17179869184 bytes"},
		{"nothing", nil, 400, `no part "packet"`},
		{"no archive", []part{packet}, 400, `no part "archive"`},
		{"other order", []part{archive, packet}, 400, `the part "archive" where "packet" must be`},
		{"other name", []part{packet, {"data", archive.content}}, 400, `the part "data" where "archive" must be`},
		{"a third part", []part{packet, archive, archive}, 400, "goes on after the archive"},
		{"unknown field", []part{{"packet", `{"name":"p","tag":[]}`}, archive}, 400, `unknown field "tag"`},
		{"packet too large", []part{{"packet", `{"name":"` + strings.Repeat("x", 9<<20) + `"}`}, archive}, 413, `"packet" is larger`},
		{"body too large", []part{packet, {"archive", strings.Repeat("\000", 13<<20)}}, 413, "larger than 12582912 bytes"},
		{"archive too large for its limit", []part{packet, {"archive", "rubbish"}}, 0, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			header, body := form(t, row.parts...)
			got := w.ask(t, transport(t, "root"), "POST", "/v1/packets", header, bytes.NewReader(body))
			if got.StatusCode < 400 || row.status != 0 && got.StatusCode != row.status || !strings.Contains(got.problem.Detail, row.detail) {
				t.Fatalf("got %d %s", got.StatusCode, got.body)
			}
			if setting, ok := settingOf[row.name]; ok && got.problem.Hint != "It is the limit --"+setting+" of jamesd." {
				t.Errorf("the hint is %q", got.problem.Hint)
			}
			if got.problem.Op != "add packet" {
				t.Errorf("the operation is %q", got.problem.Op)
			}
		})
	}
	t.Cleanup(func() {
		if n := len(w.fleet.Packets()); n != 0 {
			t.Errorf("%d packets were added", n)
		}
	})
}

// TestUploadCut: an upload whose body ends, or whose connection ends, before its
// last boundary adds nothing.
func TestUploadCut(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	header, body := form(t, part{"packet", `{"name":"p","tags":[]}`}, part{"archive", string(tarOf(t, "f", []byte("x")))})
	got := w.ask(t, transport(t, "root"), "POST", "/v1/packets", header, bytes.NewReader(body[:len(body)-10]))
	if got.StatusCode != http.StatusBadRequest || !strings.Contains(got.problem.Detail, "malformed multipart body") {
		t.Fatalf("got %d %s", got.StatusCode, got.body)
	}

	conn, err := tls.Dial("tcp", w.addr, tlsOf(t, "root"))
	must(t, err)
	fmt.Fprintf(conn, "POST /v1/packets HTTP/1.1\r\nHost: x\r\nX-Request-Id: cut\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n",
		header.Get("Content-Type"), len(body))
	conn.Write(body[:len(body)-10])
	conn.Close()
	if e := w.logged(t, "request", "cut"); e.Data["kind"] != james.KindInterrupted {
		t.Errorf("logged %v", e.Data)
	}
	if n := len(w.fleet.Packets()); n != 0 {
		t.Errorf("%d packets were added", n)
	}
}

// TestUploadRefused: a client that is still sending gets the answer, however it
// sends: it reads while it sends, it sends everything before it reads, and it
// says how much comes or not.
func TestUploadRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const size = 48 << 20
	header, body := form(t, part{"packet", `{"name":"p","tags":[]}`}, part{"archive", "this is no archive"})
	body = body[:len(body)-4] // the archive goes on
	for _, row := range []struct {
		name, as string
		status   int
	}{
		{"before the body", "device-1", http.StatusForbidden},
		{"in the body", "root", 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			for _, length := range []int64{-1, int64(len(body)) + size} {
				t.Run(fmt.Sprintf("reading while sending, length %d", length), func(t *testing.T) {
					t.Parallel()
					req, err := http.NewRequestWithContext(t.Context(), "POST", "https://"+w.addr+"/v1/packets",
						io.MultiReader(bytes.NewReader(body), &zeros{n: size}))
					must(t, err)
					req.Header, req.ContentLength = header, length
					resp, err := transport(t, row.as).RoundTrip(req)
					must(t, err)
					wantRefusal(t, read(t, resp), row.status)
				})
			}
			t.Run("sending before reading", func(t *testing.T) {
				t.Parallel()
				conn, err := tls.Dial("tcp", w.addr, tlsOf(t, row.as))
				must(t, err)
				defer conn.Close()
				fmt.Fprintf(conn, "POST /v1/packets HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n",
					header.Get("Content-Type"), len(body)+size)
				_, err = conn.Write(body)
				must(t, err)
				_, err = io.Copy(conn, &zeros{n: size})
				must(t, err)
				req, err := http.NewRequest("POST", "/", nil)
				must(t, err)
				resp, err := http.ReadResponse(bufio.NewReader(conn), req)
				must(t, err)
				wantRefusal(t, read(t, resp), row.status)
			})
		})
	}
}

func wantRefusal(t *testing.T, got reply, status int) {
	t.Helper()
	if got.StatusCode < 400 || status != 0 && got.StatusCode != status || !got.Close || got.problem.Op != "add packet" {
		t.Fatalf("got %d %s, close: %v", got.StatusCode, got.body, got.Close)
	}
}

// TestUploadExpect: a client that waits to be let in sends no archive in vain.
func TestUploadExpect(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	src := &zeros{n: 1 << 30}
	_, err := w.client(t, "device-1").AddPacket(t.Context(), james.AddPacketRequest{Name: "p"}, src)
	if james.KindOf(err) != james.KindDenied || src.taken.Load() != 0 {
		t.Fatalf("got %v after %d bytes", err, src.taken.Load())
	}
	_, err = w.client(t, "root").AddPacket(t.Context(), james.AddPacketRequest{Name: "a b"}, src)
	if james.KindOf(err) != james.KindInvalid || src.taken.Load() == 1<<30 {
		t.Fatalf("got %v after %d bytes", err, src.taken.Load())
	}
}

// TestUploadStalls: an upload that makes no progress is ended with an answer.
func TestUploadStalls(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *api.Options) { o.Stall, o.Linger = 50*time.Millisecond, 50*time.Millisecond })
	header, body := form(t, part{"packet", `{"name":"p","tags":[]}`}, part{"archive", string(tarOf(t, "f", make([]byte, 5000)))})
	stalled, end := stalling(string(body[:2000]))
	defer end()
	got := w.ask(t, transport(t, "root"), "POST", "/v1/packets", header, stalled)
	if got.StatusCode != http.StatusRequestTimeout || got.problem.Subject != "p" || !strings.Contains(got.problem.Detail, "stalled") {
		t.Fatalf("got %d %s", got.StatusCode, got.body)
	}
}

// TestUploadAgain: adding the same once more says so, and keeps the connection.
func TestUploadAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	header, body := form(t, part{"packet", `{"name":"p","tags":["v1"]}`}, part{"archive", string(tarOf(t, "f", []byte("x")))})
	rt := transport(t, "root")
	for i, want := range []int{http.StatusCreated, http.StatusOK} {
		got := w.ask(t, rt, "POST", "/v1/packets", header, io.MultiReader(bytes.NewReader(body)))
		var resp james.AddPacketResponse
		must(t, json.Unmarshal(got.body, &resp))
		if got.StatusCode != want || resp.Added != (i == 0) || resp.Packet.Name != "p" || resp.Packet.AddedBy != "root" || got.Close {
			t.Fatalf("got %d %s, close: %v", got.StatusCode, got.body, got.Close)
		}
	}
}

func TestDownload(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	archive := tarOf(t, "f", []byte(strings.Repeat("0123456789", 1000)))
	resp, err := w.client(t, "root").AddPacket(t.Context(), james.AddPacketRequest{Name: "p"}, bytes.NewReader(archive))
	must(t, err)
	path := "/v1/packets/" + resp.Packet.Digest.String()
	etag := `"` + resp.Packet.Archive.Digest.String() + `"`
	rt := transport(t, "root")
	for _, row := range []struct {
		name   string
		method string
		header http.Header
		status int
		want   []byte
	}{
		{"whole", "GET", nil, 200, archive},
		{"head", "HEAD", nil, 200, nil},
		{"from", "GET", http.Header{"Range": {"bytes=100-"}}, 206, archive[100:]},
		{"from to", "GET", http.Header{"Range": {"bytes=100-109"}}, 206, archive[100:110]},
		{"last", "GET", http.Header{"Range": {"bytes=-7"}}, 206, archive[len(archive)-7:]},
		{"if it is that", "GET", http.Header{"Range": {"bytes=9000-"}, "If-Range": {etag}}, 206, archive[9000:]},
		{"if it is another", "GET", http.Header{"Range": {"bytes=9000-"}, "If-Range": {`"x"`}}, 200, archive},
		{"unless it is that", "GET", http.Header{"If-None-Match": {etag}}, 304, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := w.ask(t, rt, row.method, path+"/archive", row.header, nil)
			if got.StatusCode != row.status || !bytes.Equal(got.body, row.want) || got.Header.Get("Etag") != etag {
				t.Fatalf("got %d, %d bytes, %s", got.StatusCode, len(got.body), got.Header.Get("Etag"))
			}
		})
	}
	manifest := w.ask(t, rt, "GET", path+"/manifest", nil, nil)
	if james.DigestOf(manifest.body) != resp.Packet.Digest || manifest.Header.Get("Content-Type") != "application/json" ||
		manifest.Header.Get("Etag") != `"`+resp.Packet.Digest.String()+`"` {
		t.Errorf("got the manifest %s with %v", manifest.body, manifest.Header)
	}
}

// TestDownloadStalls: a client that stops taking does not hold the server.
func TestDownloadStalls(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *api.Options) { o.Stall = 100 * time.Millisecond })
	resp, err := w.fleet.AddPacket(t.Context(), "root", james.AddPacketRequest{Name: "p"},
		bytes.NewReader(tarOf(t, "f", make([]byte, 32<<20)))) // more than the sockets hold
	must(t, err)
	path := "/v1/packets/" + resp.Packet.Digest.String() + "/archive"
	conn, err := tls.Dial("tcp", w.addr, tlsOf(t, "root"))
	must(t, err)
	defer conn.Close()
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path)
	if e := w.logged(t, "path", path); e.Data["out"].(int64) >= 32<<20 {
		t.Fatalf("logged %v", e.Data)
	}
}
