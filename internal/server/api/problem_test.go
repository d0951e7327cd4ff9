package api_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/trusch/jamesd/internal/server/api"
	"github.com/trusch/jamesd/internal/server/fleet"
	"github.com/trusch/jamesd/pkg/client"
	"github.com/trusch/jamesd/pkg/james"
)

var kinds = []james.Kind{
	james.KindInvalid, james.KindNotFound, james.KindExists, james.KindConflict, james.KindDenied,
	james.KindUnauthenticated, james.KindUnavailable, james.KindCorrupt, james.KindInterrupted, james.KindInternal,
}

func TestStatuses(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds {
		status := api.StatusOf(kind)
		if back := api.KindOf(status); back != kind && kind != james.KindExists { // which shares 409 with conflict
			t.Errorf("%s is %d, which is %s", kind, status, back)
		}
		if kind.Retryable() != (status == http.StatusServiceUnavailable || status == http.StatusRequestTimeout) {
			t.Errorf("%s is %d, and retryable: %v", kind, status, kind.Retryable())
		}
	}
	if got := api.StatusOf("of a later version"); got != http.StatusInternalServerError {
		t.Errorf("an unknown kind is %d", got)
	}
	for status, want := range map[int]james.Kind{405: james.KindInvalid, 418: james.KindInvalid, 502: james.KindInternal} {
		if got := api.KindOf(status); got != want {
			t.Errorf("%d is %s, want %s", status, got, want)
		}
	}
}

// TestErrors makes the server fail in every way, and reads the error that the
// client returns: what a person is told.
func TestErrors(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hello := w.add(t, "hello", "v1", "hello")
	w.want(t, "device-1", hello.App())
	_, err := w.client(t, "device-1").Poll(t.Context(), james.PollRequest{Report: &james.DeviceReport{}})
	must(t, err)
	lost := w.add(t, "lost", "v1", "lost")
	must(t, w.blobs.Delete(t.Context(), lost.Archive.Digest))
	unreached := newWorld(t, func(o *api.Options) { o.Fleet = func() *fleet.Fleet { return nil } })
	defect := newWorld(t, func(o *api.Options) { o.Fleet = func() *fleet.Fleet { panic("a defect") } })
	digest := james.DigestOf([]byte("x"))

	for _, row := range []struct {
		name  string
		world *world
		as    string
		do    func(ctx context.Context, c *client.Client) error
		kind  james.Kind
		text  string // begins with
		hint  bool
	}{
		{"not found", w, "root", func(ctx context.Context, c *client.Client) error {
			_, err := c.Packet(ctx, digest)
			return err
		}, james.KindNotFound, "cannot get packet " + digest.Short() + ": does not exist", true},
		{"not found device", w, "root", func(ctx context.Context, c *client.Client) error {
			_, err := c.State(ctx, "device-7")
			return err
		}, james.KindNotFound, "cannot get the state of device-7: has never polled", true},
		{"invalid", w, "root", func(ctx context.Context, c *client.Client) error {
			_, err := c.AddPacket(ctx, james.AddPacketRequest{Name: "x y"}, strings.NewReader("x"))
			return err
		}, james.KindInvalid, "cannot add packet x y: packet name: \"x y\" has", false},
		{"exists", w, "root", func(ctx context.Context, c *client.Client) error {
			req := james.AddPacketRequest{Name: "hello", Tags: james.MustTags("v1")}
			_, err := c.AddPacket(ctx, req, bytes.NewReader(tarOf(t, "hello", []byte("other"))))
			return err
		}, james.KindExists, "cannot add packet hello: packet hello v1: exists with other content", true},
		{"conflict", w, "root", func(ctx context.Context, c *client.Client) error {
			return c.DeletePacket(ctx, hello.Digest, false)
		}, james.KindConflict, "cannot delete packet " + hello.Digest.Short() + ": packet hello v1: is what", true},
		{"denied", w, "device-2", func(ctx context.Context, c *client.Client) error {
			_, err := c.Devices(ctx)
			return err
		}, james.KindDenied, "cannot list devices: device-2 is a device, and this is for admins", true},
		{"denied admin", w, "root", func(ctx context.Context, c *client.Client) error {
			_, err := c.Poll(ctx, james.PollRequest{})
			return err
		}, james.KindDenied, "cannot poll: root is an admin, and this is for devices", true},
		{"unauthenticated", w, "other/root", func(ctx context.Context, c *client.Client) error {
			_, err := c.Devices(ctx)
			return err
		}, james.KindUnauthenticated, "cannot list devices: " + w.addr + ": the server refused this certificate: it is not from the server's authority", true},
		{"corrupt", w, "root", func(ctx context.Context, c *client.Client) error {
			_, err := c.Archive(ctx, lost.Digest, lost.Archive, 0)
			return err
		}, james.KindCorrupt, "cannot get the archive of packet " + lost.Digest.Short() + ": packet lost v1: its archive", true},
		{"unavailable", unreached, "root", func(ctx context.Context, c *client.Client) error {
			_, err := c.Devices(ctx)
			return err
		}, james.KindUnavailable, "cannot list devices: store: is not reached yet", true},
		{"internal", defect, "root", func(ctx context.Context, c *client.Client) error {
			_, err := c.Devices(ctx)
			return err
		}, james.KindInternal, "cannot list devices: the request hit a defect of jamesd", true},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			err := row.do(t.Context(), row.world.client(t, row.as))
			if james.KindOf(err) != row.kind || !strings.HasPrefix(err.Error(), row.text) || (james.HintOf(err) != "") != row.hint {
				t.Fatalf("got %s: %v\nhint: %s", james.KindOf(err), err, james.HintOf(err))
			}
		})
	}
}

// TestUnavailable: who needs the store is told when to come again, but for downloads, which
// go on for ever where they are told that.
func TestUnavailable(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *api.Options) { o.Fleet = func() *fleet.Fleet { return nil } })
	digest := james.DigestOf([]byte("x")).String()
	for _, row := range []struct {
		as, method, path string
		body             io.Reader
		after            []string
	}{
		{"device-1", "POST", "/v1/poll", strings.NewReader("{}"), []string{"1", "2"}},
		{"device-1", "POST", "/v1/reports", strings.NewReader("{}"), []string{"1", "2"}},
		{"root", "GET", "/v1/devices", nil, []string{"1", "2"}},
		{"device-1", "GET", "/v1/packets/" + digest + "/archive", nil, []string{""}},
	} {
		got := w.ask(t, transport(t, row.as), row.method, row.path, jsonBody, row.body)
		if after := got.Header.Get("Retry-After"); got.StatusCode != http.StatusServiceUnavailable || !slices.Contains(row.after, after) {
			t.Errorf("%s %s: %d, Retry-After %q: %s", row.method, row.path, got.StatusCode, after, got.body)
		}
	}
}

// TestPanic: the log tells where, the client tells which line of the log.
func TestPanic(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *api.Options) { o.Fleet = func() *fleet.Fleet { panic("a defect") } })
	got := w.ask(t, transport(t, "root"), "GET", "/v1/devices", http.Header{"X-Request-Id": {"mine.1"}}, nil)
	if got.StatusCode != http.StatusInternalServerError || got.problem.Request != "mine.1" || !strings.Contains(got.problem.Hint, "mine.1") {
		t.Fatalf("got %s", got.body)
	}
	for _, e := range w.log.AllEntries() {
		if e.Message != "request panicked" {
			continue
		}
		if e.Level != logrus.ErrorLevel || e.Data["request"] != "mine.1" || !strings.Contains(e.Data["stack"].(string), "problem_test.go") {
			t.Fatalf("logged %v", e.Data)
		}
		return
	}
	t.Fatal("nothing was logged")
}

// TestInterrupted: a request whose body stalls is answered, not left alone. A brief one has
// as long as its header.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *api.Options) { o.Stall = 50 * time.Millisecond })
	for _, length := range []int64{-1, 1000, 100} {
		t.Run(strconv.FormatInt(length, 10), func(t *testing.T) {
			t.Parallel()
			stalled, end := stalling("{")
			defer end()
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+w.addr+"/v1/poll", stalled)
			must(t, err)
			req.Header, req.ContentLength = jsonBody, length
			resp, err := transport(t, "device-1").RoundTrip(req)
			must(t, err)
			got := read(t, resp)
			if got.StatusCode != http.StatusRequestTimeout || got.problem.Kind != james.KindInterrupted || got.problem.Op != "poll" {
				t.Fatalf("got %s", got.body)
			}
		})
	}
}
