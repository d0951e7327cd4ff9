package api_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trusch/jamesd/internal/server/api"
	"github.com/trusch/jamesd/pkg/client"
	"github.com/trusch/jamesd/pkg/james"
)

// synced returns the request of a device that has what it is to have.
func (w *world) synced(t testing.TB, device string) james.PollRequest {
	t.Helper()
	report := &james.DeviceReport{SystemTags: james.MustTags("armv7l,glibc-2.23,systemd"), Apps: []james.App{}, Agent: "test"}
	_, err := w.client(t, device).Poll(t.Context(), james.PollRequest{Report: report})
	must(t, err)
	return james.PollRequest{Same: report.Digest()}
}

func TestPoll(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.client(t, "device-1")
	resp, err := c.Poll(t.Context(), james.PollRequest{Same: james.DigestOf(nil)})
	must(t, err)
	if !resp.Resend || resp.Plan != nil {
		t.Fatalf("a server that knows nothing answered %+v", resp)
	}
	req := w.synced(t, "device-1")
	resp, err = c.Poll(t.Context(), req)
	must(t, err)
	if resp.Resend || resp.Plan != nil || resp.Interval < 1 || resp.Revision != 0 {
		t.Fatalf("with nothing to do it answered %+v", resp)
	}
	packet := w.add(t, "hello", "v1", "hello")
	w.want(t, "device-1", packet.App())
	resp, err = c.Poll(t.Context(), req)
	must(t, err)
	if resp.Plan == nil || len(resp.Plan.Steps) != 1 || resp.Plan.Revision != 1 {
		t.Fatalf("with something to do it answered %+v", resp)
	}
	plan := resp.Plan.ID
	must(t, c.Progress(t.Context(), james.Progress{Plan: plan, Revision: 1, Phase: james.Downloading, Done: 1, Total: 2, Rate: 3}))
	if d, err := w.client(t, "root").Device(t.Context(), "device-1"); err != nil || d.Progress == nil || d.Progress.Rate != 3 || d.Progress.Time.IsZero() {
		t.Errorf("the progress is %+v, %v", d.Progress, err)
	}
	if err := c.Progress(t.Context(), james.Progress{Plan: plan}); james.KindOf(err) != james.KindInvalid {
		t.Errorf("malformed progress: %v", err)
	}
	must(t, c.Report(t.Context(), james.Report{Plan: resp.Plan.ID, Revision: 1, Result: james.Committed,
		Started: time.Now().Add(-time.Second), Ended: time.Now()}))
	app := packet.App()
	resp, err = c.Poll(t.Context(), james.PollRequest{Report: &james.DeviceReport{Apps: []james.App{app}, Revision: 1}})
	must(t, err)
	if resp.Plan != nil || resp.Revision != 1 || resp.Dropped {
		t.Fatalf("when it was done it answered %+v", resp)
	}
	report := &james.DeviceReport{Apps: []james.App{app}, Revision: 1}
	resp, err = c.Poll(t.Context(), james.PollRequest{Report: report, Known: plan, KnownRevision: 1, Wait: 60})
	must(t, err)
	if resp.Plan != nil || resp.Revision != 1 || !resp.Dropped {
		t.Fatalf("a device that knows a plan of before was answered %+v", resp)
	}
	d, err := w.client(t, "root").Device(t.Context(), "device-1")
	must(t, err)
	if !d.InSync || d.Report == nil || d.Report.Result != james.Committed {
		t.Fatalf("the device is %+v", d)
	}
}

// bothWays runs a test where held polls are parked, and where they have goroutines.
func bothWays(t *testing.T, test func(t *testing.T, way func(*api.Options))) {
	t.Run("parked", func(t *testing.T) {
		t.Parallel()
		test(t, func(*api.Options) {})
	})
	t.Run("goroutines", func(t *testing.T) {
		t.Parallel()
		test(t, func(o *api.Options) { o.Lot = nil })
	})
}

// TestPollHeld: a held poll is answered as soon as there is something to do,
// and when the server is about to stop.
func TestPollHeld(t *testing.T) {
	t.Parallel()
	bothWays(t, func(t *testing.T, way func(*api.Options)) {
		w := newWorld(t, way)
		packet := w.add(t, "hello", "v1", "hello")
		held := func(device string) chan james.PollResponse {
			req := w.synced(t, device)
			req.Wait = 300
			before := w.fleet.Stats().Waiting
			answer := make(chan james.PollResponse, 1)
			go func() {
				resp, err := w.client(t, device).Poll(t.Context(), req)
				if err != nil {
					t.Error(err)
				}
				answer <- resp
			}()
			w.waiting(t, before+1)
			return answer
		}
		one, two := held("device-1"), held("device-2")
		w.want(t, "device-1", packet.App())
		if resp := <-one; resp.Plan == nil {
			t.Errorf("answered %+v", resp)
		}
		w.fleet.Drain()
		if resp := <-two; resp.Plan != nil || resp.Resend || resp.Interval == 0 {
			t.Errorf("answered %+v", resp)
		}
	})
}

// waiting waits until n polls are held.
func (w *world) waiting(t testing.TB, n int) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for w.fleet.Stats().Waiting != n {
		if time.Now().After(deadline) {
			t.Fatalf("%d polls are held, want %d", w.fleet.Stats().Waiting, n)
		}
		time.Sleep(time.Millisecond) // the fleet has no event for it
	}
}

// TestPollHungUp: a device that hangs up frees its poll.
func TestPollHungUp(t *testing.T) {
	t.Parallel()
	bothWays(t, func(t *testing.T, way func(*api.Options)) {
		w := newWorld(t, way)
		req := w.synced(t, "device-1")
		req.Wait = 300
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			_, err := w.client(t, "device-1").Poll(ctx, req)
			done <- err
		}()
		w.waiting(t, 1)
		cancel()
		if err := <-done; james.KindOf(err) != james.KindInterrupted {
			t.Errorf("the client got %v", err)
		}
		w.waiting(t, 0)
	})
}

// TestPollOutlivesStall: the limit on a body is none on the wait after it.
func TestPollOutlivesStall(t *testing.T) {
	t.Parallel()
	bothWays(t, func(t *testing.T, way func(*api.Options)) {
		const stall = 300 * time.Millisecond
		w := newWorld(t, way, func(o *api.Options) { o.Stall = stall })
		req := w.synced(t, "device-1")
		req.Wait = 1
		before := time.Now()
		_, err := w.client(t, "device-1").Poll(t.Context(), req)
		must(t, err)
		if took := time.Since(before); took < time.Second {
			t.Errorf("answered after %s", took)
		}
	})
}

// tap is a place between a client and the server where both TLS connections end;
// it keeps what passes.
type tap struct {
	addr string
	mu   sync.Mutex
	wire strings.Builder
}

func (w *world) newTap(t testing.TB, device string) *tap {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(filepath.Join(certs, "server.crt"), filepath.Join(certs, "server.key"))
	must(t, err)
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair}})
	must(t, err)
	p := &tap{addr: l.Addr().String()}
	conf := tlsOf(t, device)
	var copies sync.WaitGroup
	t.Cleanup(copies.Wait)
	t.Cleanup(func() { l.Close() })
	copies.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := tls.Dial("tcp", w.addr, conf)
			if err != nil {
				t.Error(err)
				return
			}
			copies.Go(func() { p.copy(far, near) })
			copies.Go(func() { p.copy(near, far) })
		}
	})
	return p
}

func (p *tap) copy(to, from net.Conn) {
	defer to.Close()
	io.Copy(io.MultiWriter(p, to), from)
}

func (p *tap) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.wire.Write(b)
}

func (p *tap) take() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer p.wire.Reset()
	return p.wire.String()
}

// TestPollSize counts the bytes of HTTP of an idle poll, both ways.
func TestPollSize(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	req := w.synced(t, "device-1")
	p := w.newTap(t, "device-1")
	c, err := client.New(client.Options{Addr: p.addr, TLS: tlsOf(t, "device-1"), UserAgent: "jamesc/0123456789ab"})
	must(t, err)
	t.Cleanup(c.Close)
	packet := w.add(t, "hello", "v1", "hello")
	w.want(t, "device-1", packet.App())
	resp, err := c.Poll(t.Context(), req)
	must(t, err)
	if resp.Plan == nil {
		t.Fatalf("answered %+v", resp)
	}
	p.take()
	// A device that has a plan it does not want again now says the most.
	req.Known, req.KnownRevision = resp.Plan.ID, resp.Plan.Revision
	_, err = c.Poll(t.Context(), req)
	must(t, err)
	wire := p.take()
	if !strings.Contains(wire, "204 No Content") || strings.Count(wire, "HTTP/1.1") != 2 {
		t.Fatalf("this is no idle poll:\n%s", wire)
	}
	// "wait":300 and a server's name of 40 characters come on top here.
	const beyond = len(`,"wait":300`) + 40 - len("127.0.0.1")
	t.Logf("%d bytes, and up to %d more\n%s", len(wire), beyond, wire)
	if len(wire)+beyond > 600 {
		t.Errorf("an idle poll has %d bytes", len(wire)+beyond)
	}
}
