package client_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trusch/jamesd/pkg/client"
	"github.com/trusch/jamesd/pkg/james"
)

// TestAnswers: what is no answer of a jamesd is told as that, and what is too
// large is not taken in.
func TestAnswers(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name   string
		answer http.HandlerFunc
		kind   james.Kind
		says   string
	}{
		{"problem", func(w http.ResponseWriter, _ *http.Request) {
			problem(w, 404, `{"kind":"not-found","op":"get device","subject":"d","detail":"is not there"}`)
		}, james.KindNotFound, "cannot get device d: is not there"},
		{"problem of a later version", func(w http.ResponseWriter, _ *http.Request) {
			problem(w, 402, `{"kind":"unpaid","op":"get device","subject":"d","detail":"costs","price":1}`)
		}, "unpaid", "cannot get device d: costs"},
		{"problem without kind", func(w http.ResponseWriter, _ *http.Request) { problem(w, 400, `{}`) }, james.KindInternal, "400 Bad Request"},
		{"malformed problem", func(w http.ResponseWriter, _ *http.Request) { problem(w, 400, `{`) }, james.KindInternal, "400 Bad Request"},
		{"page", func(w http.ResponseWriter, _ *http.Request) { http.NotFound(w, nil) }, james.KindInternal, "404 Not Found"},
		{"proxy without server", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(502) }, james.KindUnavailable, "502 Bad Gateway"},
		{"redirect", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/", http.StatusFound) }, james.KindInternal, "302 Found"},
		{"not JSON", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>") }, james.KindCorrupt, "malformed"},
		{"empty", func(http.ResponseWriter, *http.Request) {}, james.KindCorrupt, "malformed"},
		{"cut", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			io.WriteString(w, `{"id":"d",`)
		}, james.KindUnavailable, "the connection was lost"},
		{"too large", func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, `{"id":"`)
			io.Copy(w, io.LimitReader(zeros{}, 17<<20))
		}, james.KindCorrupt, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			_, err := newClient(t, serve(t, "server", row.answer), "device-1").Device(t.Context(), "d")
			if james.KindOf(err) != row.kind || !strings.HasPrefix(err.Error(), "cannot get device d: ") || !strings.Contains(err.Error(), row.says) {
				t.Fatalf("got %s: %v", james.KindOf(err), err)
			}
			if raised := row.name == "problem" || row.name == "problem of a later version"; client.Answered(err) != raised {
				t.Errorf("raised by a jamesd: %t", client.Answered(err))
			}
		})
	}
	if _, err := newClient(t, closed(t), "device-1").Device(t.Context(), "d"); err == nil || client.Answered(err) {
		t.Errorf("nobody is there, and it is an answer: %v", err)
	}
}

// TestArguments: what cannot be meant is refused before anything is sent.
func TestArguments(t *testing.T) {
	t.Parallel()
	c := newClient(t, closed(t), "device-1")
	for name, err := range map[string]error{
		"empty device":   second(c.Device(t.Context(), "")),
		"path as device": second(c.State(t.Context(), "../packets")),
		"empty state":    second(c.SetDesired(t.Context(), james.SetDesiredRequest{})),
		"no digest":      second(c.Packet(t.Context(), james.Digest{})),
		"delete nothing": c.DeletePacket(t.Context(), james.Digest{}, true),
		"offset":         second(c.Archive(t.Context(), james.DigestOf(nil), james.Archive{Size: 1}, 2)),
	} {
		if james.KindOf(err) != james.KindInvalid || !strings.HasPrefix(err.Error(), "cannot ") {
			t.Errorf("%s: %s: %v", name, james.KindOf(err), err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

// TestRetry: what may succeed later is tried again, where that does no harm.
func TestRetry(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	var failures int32 = 2
	status := atomic.Int32{}
	addr := serve(t, "server", func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		if calls.Add(1) > failures {
			io.WriteString(w, "{}")
			return
		}
		kind := map[int32]string{503: "unavailable", 400: "invalid"}[status.Load()]
		problem(w, int(status.Load()), `{"kind":"`+kind+`","detail":"no"}`)
	})
	for _, row := range []struct {
		name   string
		status int32
		do     func(ctx context.Context, c *client.Client) error
		calls  int32
		fails  bool
	}{
		{"get", 503, func(ctx context.Context, c *client.Client) error { return second(c.Device(ctx, "d")) }, 3, false},
		{"put", 503, func(ctx context.Context, c *client.Client) error {
			return second(c.SetDesired(ctx, james.SetDesiredRequest{State: james.State{ID: "d"}}))
		}, 3, false},
		{"delete", 503, func(ctx context.Context, c *client.Client) error { return c.DeleteDevice(ctx, "d") }, 3, false},
		{"for good", 400, func(ctx context.Context, c *client.Client) error { return second(c.Device(ctx, "d")) }, 1, true},
		{"poll", 503, func(ctx context.Context, c *client.Client) error { return second(c.Poll(ctx, james.PollRequest{})) }, 1, true},
		{"report", 503, func(ctx context.Context, c *client.Client) error { return c.Report(ctx, james.Report{}) }, 1, true},
		{"upload", 503, func(ctx context.Context, c *client.Client) error {
			return second(c.AddPacket(ctx, james.AddPacketRequest{}, strings.NewReader("")))
		}, 1, true},
		{"download", 503, func(ctx context.Context, c *client.Client) error {
			return second(c.Archive(ctx, james.DigestOf(nil), james.Archive{Size: 2}, 0))
		}, 1, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			calls.Store(0)
			status.Store(row.status)
			var pauses []time.Duration
			c := newClient(t, addr, "device-1", func(o *client.Options) {
				o.Retries = 0 // the default
				o.Rand = func() float64 { return 0.5 }
				o.Sleep = func(_ context.Context, d time.Duration) error { pauses = append(pauses, d); return nil }
			})
			err := row.do(t.Context(), c)
			if calls.Load() != row.calls || (err != nil) != row.fails {
				t.Fatalf("%d calls, %v", calls.Load(), err)
			}
			if row.calls == 3 && (len(pauses) != 2 || pauses[0] != 250*time.Millisecond || pauses[1] != 500*time.Millisecond) {
				t.Errorf("paused %v", pauses)
			}
		})
	}
}

// TestRetryAfter: a server that says how long to wait is believed, within reason, by
// what is tried again and by who has to try again by himself.
func TestRetryAfter(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name, says string
		foreign    bool // it is a proxy that says it
		after      time.Duration
		waits      []time.Duration // with numbers of 0.5
	}{
		{"seconds", "7", false, 7 * time.Second, []time.Duration{8750 * time.Millisecond, 8750 * time.Millisecond}},
		{"a proxy", "7", true, 7 * time.Second, []time.Duration{8750 * time.Millisecond, 8750 * time.Millisecond}},
		{"nothing", "", false, 0, []time.Duration{250 * time.Millisecond, 500 * time.Millisecond}},
		{"a date", "Fri, 31 Dec 1999 23:59:59 GMT", false, 0, []time.Duration{250 * time.Millisecond, 500 * time.Millisecond}},
		{"a negative number", "-5", false, 0, []time.Duration{250 * time.Millisecond, 500 * time.Millisecond}},
		{"beyond reason", "2000000000", false, 5 * time.Minute, []time.Duration{375 * time.Second, 375 * time.Second}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			addr := serve(t, "server", func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Retry-After", row.says)
				if row.foreign {
					w.WriteHeader(http.StatusTooManyRequests)
					return
				}
				problem(w, http.StatusTooManyRequests, `{"kind":"unavailable","detail":"no"}`)
			})
			var waits []time.Duration
			c := newClient(t, addr, "device-1", func(o *client.Options) {
				o.Retries, o.Rand = 2, func() float64 { return 0.5 }
				o.Sleep = func(_ context.Context, d time.Duration) error { waits = append(waits, d); return nil }
			})
			if _, err := c.Device(t.Context(), "d"); james.AfterOf(err) != row.after || !slices.Equal(waits, row.waits) {
				t.Errorf("waited %v, then %s: %v", waits, james.AfterOf(err), err)
			}
			if _, err := c.Poll(t.Context(), james.PollRequest{}); james.AfterOf(err) != row.after || james.KindOf(err) != james.KindUnavailable {
				t.Errorf("a poll: after %s: %v", james.AfterOf(err), err)
			}
		})
	}
}

// TestRetryEnds: after so many tries, and when nobody waits any more.
func TestRetryEnds(t *testing.T) {
	t.Parallel()
	addr := closed(t)
	tries := 0
	c := newClient(t, addr, "device-1", func(o *client.Options) {
		o.Retries = 4
		o.Sleep = func(context.Context, time.Duration) error { tries++; return nil }
	})
	if _, err := c.Devices(t.Context()); james.KindOf(err) != james.KindUnavailable || tries != 4 {
		t.Errorf("%d retries, %v", tries, err)
	}
	c = newClient(t, addr, "device-1", func(o *client.Options) {
		o.Retries = 1
		o.Sleep = func(context.Context, time.Duration) error { return context.Canceled }
	})
	if _, err := c.Devices(t.Context()); james.KindOf(err) != james.KindUnavailable {
		t.Errorf("the reason was lost: %v", err)
	}
}

// TestUploadSource: an archive that cannot be read is what is told.
func TestUploadSource(t *testing.T) {
	t.Parallel()
	addr := serve(t, "server", func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) })
	broken := errors.New("input/output error")
	src := io.MultiReader(io.LimitReader(zeros{}, 1<<20), failing{broken})
	_, err := newClient(t, addr, "device-1").AddPacket(t.Context(), james.AddPacketRequest{Name: "p"}, src)
	if !errors.Is(err, broken) || err.Error() != "cannot add packet p: archive: it cannot be read: input/output error" {
		t.Fatalf("got %v", err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }
