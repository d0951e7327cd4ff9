package api_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"sync"
	"testing"

	"github.com/sirupsen/logrus"
	logtest "github.com/sirupsen/logrus/hooks/test"

	"github.com/trusch/jamesd/internal/server/api"
	"github.com/trusch/jamesd/internal/server/cache"
	"github.com/trusch/jamesd/internal/server/site"
	"github.com/trusch/jamesd/pkg/client"
	"github.com/trusch/jamesd/pkg/james"
)

// streaming is a jamesd that answers every request for contents with one stream.
type streaming struct {
	*client.Client
	stream *oneStream
}

// oneStream is the stream, of which the second half waits until it may come.
type oneStream struct {
	content []byte
	goOn    chan struct{}

	mu    sync.Mutex
	asked []string // for which ETag
}

const streamTag = `"the stream"`

func (s *streaming) Blobs(_ context.Context, _ james.BlobsRequest, etag string, offset int64) (*client.BlobStream, error) {
	s.stream.mu.Lock()
	s.stream.asked = append(s.stream.asked, etag)
	s.stream.mu.Unlock()
	if etag != "" && etag != streamTag {
		return nil, james.Errorf(james.KindConflict, "stream", "is gone")
	}
	half := len(s.stream.content) / 2
	first := bytes.NewReader(s.stream.content[min(int(offset), half):half])
	second := bytes.NewReader(s.stream.content[max(int(offset), half):])
	body := io.MultiReader(first, waiting{s.stream.goOn}, second)
	return &client.BlobStream{ReadCloser: io.NopCloser(body), ETag: streamTag, Size: -1}, nil
}

type waiting struct{ open chan struct{} }

func (g waiting) Read([]byte) (int, error) {
	<-g.open
	return 0, io.EOF
}

// newSite returns a cache before a jamesd.
func newSite(t *testing.T, central *world, s *oneStream) *world {
	t.Helper()
	log, hook := logtest.NewNullLogger()
	log.SetLevel(logrus.DebugLevel)
	kept, err := cache.Open(t.TempDir(), 64<<20)
	must(t, err)
	t.Cleanup(func() { kept.Close() })
	c := central.client(t, "cache")
	the := site.New(site.Options{Central: func(device string) site.Central { return &streaming{c.For(device), s} }, Cache: kept, Log: log})
	w := &world{log: hook}
	w.serveAs(t, "cache", api.SiteHandler(api.Options{Site: func() *site.Site { return the }, Log: log}), log)
	return w
}

// TestSite: a device gets from the cache what it gets from its jamesd, byte for byte,
// and every range of it, and nothing else.
func TestSite(t *testing.T) {
	t.Parallel()
	central := newWorld(t)
	packet := central.add(t, "hello", "v1", "hello")
	central.want(t, "device-1", packet.App())
	_, err := central.client(t, "device-1").Poll(t.Context(), james.PollRequest{Report: &james.DeviceReport{}})
	must(t, err)
	s := newSite(t, central, nil)
	for _, part := range []string{"manifest", "archive"} {
		path := "/v1/packets/" + packet.Digest.String() + "/" + part
		for _, header := range []http.Header{
			{}, {"Range": {"bytes=7-"}}, {"Range": {"bytes=0-0"}}, {"Range": {"bytes=3-9"}}, {"Range": {"bytes=99999999-"}}, {"If-Match": {`"other"`}},
			{"Range": {"bytes=7-"}, "If-Range": {`"other"`}},
		} {
			if part == "manifest" && header.Get("If-Match") != "" {
				continue // its digest is in the path
			}
			there := central.ask(t, transport(t, "device-1"), "GET", path, header.Clone(), nil)
			here := s.ask(t, transport(t, "device-1"), "GET", path, header.Clone(), nil)
			if there.StatusCode != here.StatusCode && there.problem.Kind != here.problem.Kind {
				t.Errorf("%s %v: %d here, %d there", part, header, here.StatusCode, there.StatusCode)
			}
			if here.StatusCode < 300 && !bytes.Equal(here.body, there.body) {
				t.Errorf("%s %v: %d bytes here, %d there", part, header, len(here.body), len(there.body))
			}
			for _, name := range []string{"Etag", "Content-Range", "Content-Length", "Content-Type"} {
				if got, want := here.Header.Get(name), there.Header.Get(name); here.StatusCode < 300 && got != want {
					t.Errorf("%s %v: %s is %q here, %q there", part, header, name, got, want)
				}
			}
		}
		got := s.ask(t, transport(t, "device-2"), "GET", path, nil, nil)
		if got.StatusCode != http.StatusForbidden || got.problem.Kind != james.KindDenied || got.problem.Op == "" {
			t.Errorf("%s for another device: %d %s", part, got.StatusCode, got.body)
		}
	}
	for path, status := range map[string]int{
		"/v1/packets": http.StatusNotFound, "/v1/devices": http.StatusNotFound, "/v1/openapi.yaml": http.StatusNotFound,
		"/v1/packets/" + packet.Digest.String(): http.StatusNotFound,
	} {
		if got := s.ask(t, transport(t, "device-1"), "GET", path, nil, nil); got.StatusCode != status {
			t.Errorf("GET %s: %d", path, got.StatusCode)
		}
	}
	for _, path := range []string{"/v1/poll", "/v1/reports", "/v1/progress"} {
		got := s.ask(t, transport(t, "device-1"), "POST", path, jsonBody, bytes.NewReader([]byte("{}")))
		if got.StatusCode != http.StatusForbidden || got.problem.Hint == "" {
			t.Errorf("POST %s: %d %s", path, got.StatusCode, got.body)
		}
	}
	for _, caller := range []string{"root", "cache", "other-cache"} {
		got := s.ask(t, transport(t, caller), "GET", "/v1/packets/"+packet.Digest.String()+"/archive", http.Header{james.HeaderDevice: {"device-1"}}, nil)
		if got.StatusCode != http.StatusForbidden {
			t.Errorf("%s: %d %s", caller, got.StatusCode, got.body)
		}
	}
}

// TestSiteStream: a stream is followed while it comes, resumed at any byte, and known
// by the ETag that jamesd gave it.
func TestSiteStream(t *testing.T) {
	t.Parallel()
	central := newWorld(t)
	packet := central.add(t, "hello", "v1", "hello")
	for _, device := range []string{"device-1", "device-2"} {
		central.want(t, device, packet.App())
		_, err := central.client(t, device).Poll(t.Context(), james.PollRequest{Report: &james.DeviceReport{}})
		must(t, err)
	}
	stream := &oneStream{content: bytes.Repeat([]byte("0123456789abcdef"), 20_000), goOn: make(chan struct{})}
	s := newSite(t, central, stream)
	req := james.BlobsRequest{Packets: []james.Wants{{Packet: packet.Digest, Entries: james.IndicesOf(0)}}}
	half := len(stream.content) / 2

	first, err := s.client(t, "device-1").Blobs(t.Context(), req, "", 0)
	must(t, err)
	defer first.Close()
	got := make([]byte, half)
	_, err = io.ReadFull(first, got) // all that there is yet
	must(t, err)
	second, err := s.client(t, "device-2").Blobs(t.Context(), req, first.ETag, 1000)
	must(t, err)
	defer second.Close()
	if first.ETag != streamTag || first.Size != -1 || second.Size != -1 {
		t.Errorf("ETag %s, sizes %d and %d", first.ETag, first.Size, second.Size)
	}
	close(stream.goOn)
	rest, err := io.ReadAll(first)
	must(t, err)
	if !bytes.Equal(append(got, rest...), stream.content) {
		t.Error("the first device got something else")
	}
	rest, err = io.ReadAll(second)
	must(t, err)
	if !bytes.Equal(rest, stream.content[1000:]) {
		t.Error("the second device got something else")
	}
	third, err := s.client(t, "device-1").Blobs(t.Context(), req, streamTag, int64(half))
	must(t, err)
	defer third.Close()
	if rest, err = io.ReadAll(third); err != nil || third.Size != int64(len(stream.content)) || !bytes.Equal(rest, stream.content[half:]) {
		t.Errorf("%d bytes of %d, %v", len(rest), third.Size, err)
	}
	if len(stream.asked) != 1 {
		t.Errorf("jamesd was asked for %q", stream.asked)
	}
	if _, err := s.client(t, "device-1").Blobs(t.Context(), req, `"gone"`, 5); james.KindOf(err) != james.KindConflict {
		t.Errorf("a stream that is gone: %v", err)
	}
	if _, err := s.client(t, "boss").Blobs(t.Context(), req, "", 0); james.KindOf(err) != james.KindDenied {
		t.Errorf("another device: %v", err)
	}
	empty := s.ask(t, transport(t, "device-1"), "POST", "/v1/blobs", jsonBody, bytes.NewReader([]byte("{}")))
	if empty.problem.Kind != james.KindInvalid {
		t.Errorf("an empty request: %s", empty.body)
	}
}

// TestSiteCutStream: what breaks off does not look whole.
func TestSiteCutStream(t *testing.T) {
	t.Parallel()
	central := newWorld(t)
	packet := central.add(t, "hello", "v1", "hello")
	central.want(t, "device-1", packet.App())
	_, err := central.client(t, "device-1").Poll(t.Context(), james.PollRequest{Report: &james.DeviceReport{}})
	must(t, err)
	log, _ := logtest.NewNullLogger()
	kept, err := cache.Open(t.TempDir(), 40<<10)
	must(t, err)
	defer kept.Close()
	stream := &oneStream{content: make([]byte, 100_000), goOn: make(chan struct{})}
	close(stream.goOn)
	c := central.client(t, "cache")
	the := site.New(site.Options{Central: func(device string) site.Central { return &streaming{c.For(device), stream} }, Cache: kept, Log: log})
	s := &world{}
	s.serveAs(t, "cache", api.SiteHandler(api.Options{Site: func() *site.Site { return the }, Log: log}), log)
	req := james.BlobsRequest{Packets: []james.Wants{{Packet: packet.Digest, Entries: james.IndicesOf(0)}}}

	body, err := s.client(t, "device-1").Blobs(t.Context(), req, "", 0)
	must(t, err)
	got, err := io.ReadAll(body)
	body.Close()
	if james.KindOf(err) != james.KindUnavailable {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	body, err = s.client(t, "device-1").Blobs(t.Context(), req, streamTag, int64(len(got)))
	must(t, err)
	rest, err := io.ReadAll(body)
	body.Close()
	if err != nil || len(got)+len(rest) != len(stream.content) {
		t.Errorf("%d and %d bytes, %v", len(got), len(rest), err)
	}
}
