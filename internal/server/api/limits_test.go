package api_test

import (
	"context"
	"crypto/tls"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/trusch/jamesd/internal/server/api"
	"github.com/trusch/jamesd/internal/server/limit"
	"github.com/trusch/jamesd/pkg/james"
)

// TestTooManyRequests: a device that floods is told so, and takes nothing from another one
// nor from an admin.
func TestTooManyRequests(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *api.Options) { o.Limits = limit.New(limit.Options{DeviceRequests: 1}) })
	flood, refused := transport(t, "device-1"), 0
	for range 2*limit.Burst + 2 {
		got := w.ask(t, flood, "POST", "/v1/poll", jsonBody, strings.NewReader(`{"report":{}}`))
		if got.StatusCode != http.StatusTooManyRequests {
			continue
		}
		if refused++; refused == 1 {
			after, err := strconv.Atoi(got.Header.Get("Retry-After"))
			if err != nil || after < 1 || after > 3 || got.problem.Kind != james.KindUnavailable || !strings.Contains(got.problem.Hint, "--device-requests") {
				t.Errorf("refused with %+v, after %d", got.problem, after)
			}
		}
		if refused == 3 {
			break
		}
	}
	if refused != 3 {
		t.Errorf("%d requests were refused", refused)
	}
	for range limit.Burst {
		if got := w.ask(t, transport(t, "device-2"), "POST", "/v1/poll", jsonBody, strings.NewReader(`{"report":{}}`)); got.StatusCode >= 300 {
			t.Fatalf("another device got %d", got.StatusCode)
		}
		if got := w.ask(t, transport(t, "root"), "GET", "/v1/devices", nil, nil); got.StatusCode != http.StatusOK {
			t.Fatalf("an admin got %d", got.StatusCode)
		}
	}
}

// TestTooManyTransfers: a device that lets transfers lie gets no more of them than it may
// have, and its polls are answered.
func TestTooManyTransfers(t *testing.T) {
	t.Parallel()
	table := limit.New(limit.Options{DeviceTransfers: 1, Transfers: 2})
	w := newWorld(t, func(o *api.Options) { o.Limits = table })
	for range 2 { // as two other devices would
		if table.Begin("other") != limit.Allowed {
			t.Fatal("there is no room")
		}
		table.End("other")
	}
	path := "/v1/packets/" + james.DigestOf(nil).String() + "/archive"
	ask := func() (int, string) {
		got := w.ask(t, transport(t, "device-1"), "GET", path, nil, nil)
		return got.StatusCode, got.problem.Hint
	}
	if status, _ := ask(); status != http.StatusForbidden {
		t.Errorf("a transfer that is allowed and not his: %d", status)
	}
	if table.Running() != 0 {
		t.Errorf("%d transfers are left", table.Running())
	}
	table.Begin("device-1")
	if status, hint := ask(); status != http.StatusTooManyRequests || !strings.Contains(hint, "--device-transfers") {
		t.Errorf("a second one: %d, %s", status, hint)
	}
	table.Begin("other")
	if status, hint := ask(); status != http.StatusServiceUnavailable || !strings.Contains(hint, "--max-transfers") {
		t.Errorf("a third one: %d, %s", status, hint)
	}
	if got := w.ask(t, transport(t, "device-1"), "POST", "/v1/poll", jsonBody, strings.NewReader(`{"report":{}}`)); got.StatusCode >= 300 {
		t.Errorf("a poll got %d", got.StatusCode)
	}
}

// TestTooMuchOfAll: what is too much is refused with a status that says whose limit it is, with
// the setting and with a time; an admin meets none of it; and when the others have ended it is
// allowed.
func TestTooMuchOfAll(t *testing.T) {
	t.Parallel()
	poll, large := `{"report":{}}`, `{"report":{}`+strings.Repeat(" ", 300<<10)+`}`
	archive := "/v1/packets/" + james.DigestOf(nil).String() + "/archive"
	for setting, row := range map[string]struct {
		o            limit.Options
		use          func(*limit.Table) (end func()) // what others do
		method, path string
		body         string
		status       int
	}{
		"max-requests": {limit.Options{Requests: 1}, func(t *limit.Table) func() {
			for range limit.Burst + 2 {
				t.Request("other")
			}
			return nil
		}, "POST", "/v1/poll", poll, 503},
		"max-concurrent": {limit.Options{Concurrent: 1}, func(t *limit.Table) func() {
			t.Work()
			return t.Rest
		}, "POST", "/v1/poll", poll, 503},
		"device-bodies": {limit.Options{DeviceBodies: 200 << 10}, func(*limit.Table) func() { return nil }, "POST", "/v1/poll", large, 429},
		"max-bodies": {limit.Options{Bodies: 300 << 10}, func(t *limit.Table) func() {
			t.Hold("other", 200<<10)
			return func() { t.Drop("other", 200<<10) }
		}, "POST", "/v1/poll", large, 503},
		"max-rate": {limit.Options{Rate: 2000}, func(t *limit.Table) func() {
			p, _ := t.Pace("other")
			return p.Close
		}, "GET", archive, "", 503},
	} {
		t.Run(setting, func(t *testing.T) {
			t.Parallel()
			table := limit.New(row.o)
			w := newWorld(t, func(o *api.Options) { o.Limits = table })
			ask := func() reply {
				if row.body == "" {
					return w.ask(t, transport(t, "device-1"), row.method, row.path, nil, nil)
				}
				return w.ask(t, transport(t, "device-1"), row.method, row.path, jsonBody, strings.NewReader(row.body))
			}
			end := row.use(table)
			got := ask()
			if after, err := strconv.Atoi(got.Header.Get("Retry-After")); got.StatusCode != row.status || err != nil || after < 1 || after > 30 {
				t.Errorf("it gets %d, to come back after %q", got.StatusCode, got.Header.Get("Retry-After"))
			}
			if p := got.problem; p.Kind != james.KindUnavailable || p.Hint != "It is the limit --"+setting+" of jamesd." {
				t.Errorf("it is told %+v", p)
			}
			for _, r := range limit.Refusals() {
				if met := table.Met(r); (met > 0) != (r.String() == setting) {
					t.Errorf("%s was met %d times", r, met)
				}
			}
			if got := w.ask(t, transport(t, "root"), "GET", "/v1/devices", nil, nil); got.StatusCode != http.StatusOK {
				t.Errorf("an admin gets %d", got.StatusCode)
			}
			if end == nil {
				return
			}
			end()
			if got := ask(); got.StatusCode == row.status || got.StatusCode == http.StatusTooManyRequests {
				t.Errorf("afterwards it gets %d", got.StatusCode)
			}
			w.await(t, table, 0, 0)
		})
	}
}

// await waits until so much is counted.
func (w *world) await(t *testing.T, table *limit.Table, working, held int64) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); table.Working() != working || table.Held() != held; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d work with %d bytes, want %d with %d", table.Working(), table.Held(), working, held)
		}
	}
}

// TestWhoWaitsTakesNoPlace: neither a poll that is held nor a device that stops in the middle
// of a body is among those that are worked on; what it has sent counts until it is gone.
func TestWhoWaitsTakesNoPlace(t *testing.T) {
	t.Parallel()
	for name, lot := range map[string]bool{"parked": true, "with goroutines": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			table := limit.New(limit.Options{Concurrent: 1})
			w := newWorld(t, func(o *api.Options) {
				if o.Limits = table; !lot {
					o.Lot = nil
				}
			})
			held, cancel := context.WithCancel(t.Context())
			over := make(chan error)
			go func() {
				_, err := w.client(t, "device-1").Poll(held, james.PollRequest{Report: &james.DeviceReport{}, Wait: 60})
				over <- err
			}()
			for w.fleet.Stats().Waiting == 0 {
				time.Sleep(time.Millisecond)
			}
			stopped := tls.Client(dialRaw(t, w.addr), tlsOf(t, "device-2"))
			_, err := io.WriteString(stopped, "POST /v1/poll HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 300000\r\n\r\n"+
				`{"report":{}`+strings.Repeat(" ", 200_000))
			must(t, err)
			rest := int64(len(`{"report":{}`) + 200_000 - 64<<10)
			w.await(t, table, 0, rest)
			if _, err := w.client(t, "device-2").Poll(t.Context(), james.PollRequest{Report: &james.DeviceReport{}}); err != nil {
				t.Errorf("another request gets %v", err)
			}
			stopped.Close()
			w.await(t, table, 0, 0)
			cancel()
			<-over
		})
	}
}

func dialRaw(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	must(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

// TestRates: what is sent of packets is held up, and nobody is taken for slow for that; what
// is sent to an admin counts for all.
func TestRates(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		o           limit.Options
		who         string
		device, all bool // is held up by that
	}{
		"no rates":             {limit.Options{}, "device-1", false, false},
		"a device":             {limit.Options{DeviceRate: 40_000}, "device-1", true, false},
		"a device, among all":  {limit.Options{Rate: 40_000}, "device-1", false, true},
		"an admin":             {limit.Options{DeviceRate: 40_000}, "root", false, false},
		"an admin, among all":  {limit.Options{Rate: 40_000}, "root", false, true},
		"a site's cache":       {limit.Options{DeviceRate: 40_000}, "cache", false, false},
		"a cache, among all":   {limit.Options{Rate: 40_000}, "cache", false, true},
		"a device, the lesser": {limit.Options{DeviceRate: 40_000, Rate: 80_000}, "device-1", true, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			table := limit.New(row.o)
			w := newWorld(t, func(o *api.Options) { o.Limits, o.Stall = table, 200*time.Millisecond })
			p := w.add(t, "app", "v1", noise(40_000))
			w.want(t, "device-1", james.App{Name: "app", Tags: james.MustTags("v1")})
			_, err := w.client(t, "device-1").Poll(t.Context(), james.PollRequest{Report: &james.DeviceReport{}})
			must(t, err)
			path, header := "/v1/packets/"+p.Digest.String(), http.Header{"Content-Type": {"application/json"}}
			if row.who == "cache" {
				header.Set(james.HeaderDevice, "device-1")
			}
			if got := w.ask(t, transport(t, row.who), "GET", path+"/archive", header, nil); james.DigestOf(got.body) != p.Archive.Digest {
				t.Errorf("%d, %d bytes", got.StatusCode, len(got.body))
			}
			if got := w.ask(t, transport(t, row.who), "GET", path+"/manifest", header, nil); james.DigestOf(got.body) != p.Digest {
				t.Errorf("%d, %d bytes", got.StatusCode, len(got.body))
			}
			if row.who != "root" {
				body := `{"packets":[{"packet":"` + p.Digest.String() + `","entries":"0"}]}`
				if got := w.ask(t, transport(t, row.who), "POST", "/v1/blobs", header, strings.NewReader(body)); got.StatusCode != http.StatusOK || len(got.body) < 40_000 {
					t.Errorf("%d, %d bytes", got.StatusCode, len(got.body))
				}
			}
			if (table.Waited(limit.DeviceRate) > 0) != row.device || (table.Waited(limit.Rate) > 0) != row.all {
				t.Errorf("held up for %s and %s", table.Waited(limit.DeviceRate), table.Waited(limit.Rate))
			}
		})
	}
}

// noise returns what does not get smaller.
func noise(n int) string {
	raw := make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(raw)
	return string(raw)
}
