package api_test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/trusch/jamesd/internal/server/api"
	"github.com/trusch/jamesd/internal/server/limit"
	"github.com/trusch/jamesd/pkg/james"
)

// TestTooManyRequests: a device that floods is told so, and takes nothing from another one
// nor from an admin.
func TestTooManyRequests(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *api.Options) { o.Limits = limit.New(limit.Options{Requests: 1}) })
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
