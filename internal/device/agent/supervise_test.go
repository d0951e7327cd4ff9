package agent_test

import (
	"context"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trusch/jamesd/internal/device/agent"
	"github.com/trusch/jamesd/pkg/james"
)

// manager is a service manager that notes what it is told.
type manager struct {
	mu   sync.Mutex
	said []string
	last time.Time // of the watchdog
}

func (m *manager) notify(state string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.said = append(m.said, state)
	if state == "WATCHDOG=1" {
		m.last = time.Now()
	}
}

func (m *manager) has(state string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.ContainsFunc(m.said, func(s string) bool { return strings.HasPrefix(s, state) })
}

func (m *manager) silence() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return time.Since(m.last)
}

func TestServiceManagerIsTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &manager{}
		d, _ := failing(t)
		d.options = func(o *agent.Options) { o.Notify = m.notify }
		stop := d.run()
		d.pass(time.Second)
		stop()
		if m.said[0] != "READY=1" {
			t.Errorf("first said %q", m.said[0])
		}
		for _, want := range []string{"STATUS=carrying out revision 1", "STATUS=applying revision 1", "STATUS=revision 1 failed: postinst: exit status 7"} {
			if !m.has(want) {
				t.Errorf("did not say %q: %q", want, m.said)
			}
		}
		if m.has("WATCHDOG") {
			t.Error("feeds a watchdog that is not there")
		}
	})
}

func TestWatchdog(t *testing.T) {
	t.Parallel()
	const bites = 30 * time.Second
	for name, tc := range map[string]struct {
		prepare func(d *device, stuck <-chan struct{})
		during  time.Duration
		fed     bool
	}{
		"a held poll":           {during: 24 * time.Hour, fed: true, prepare: func(d *device, _ <-chan struct{}) { d.server.interval = 300 }},
		"an unreachable server": {during: 24 * time.Hour, fed: true, prepare: func(d *device, _ <-chan struct{}) { d.server.down = unreachable }},
		"a script of half an hour": {during: 30 * time.Minute, fed: true, prepare: func(d *device, stuck <-chan struct{}) {
			d.installer.during = func(context.Context) { <-stuck }
		}},
		"health checks of three hours": {during: 3 * time.Hour, fed: true, prepare: func(d *device, stuck <-chan struct{}) {
			d.installer.proves, d.installer.checks = true, 2*time.Hour
			d.installer.check = func() { <-stuck }
		}},
		"health checks that hang": {during: 5 * time.Hour, prepare: func(d *device, stuck <-chan struct{}) {
			d.installer.proves, d.installer.checks = true, 2*time.Hour
			d.installer.check = func() { <-stuck }
		}},
		"an installer that hangs": {during: 3 * time.Hour, prepare: func(d *device, stuck <-chan struct{}) {
			d.installer.during = func(context.Context) { <-stuck }
		}},
		"a download of half an hour": {during: 20 * time.Minute, fed: true, prepare: func(d *device, _ <-chan struct{}) {
			d.server.body = slowly(1)
			d.installer.during = func(context.Context) {}
		}},
		"a download that hangs": {during: 3 * time.Hour, prepare: func(d *device, stuck <-chan struct{}) {
			d.server.body = func(_ int64, r io.Reader) (io.ReadCloser, error) { return io.NopCloser(hung{r, stuck}), nil }
			d.installer.during = func(context.Context) {}
		}},
		"a server's client that hangs": {during: time.Hour, prepare: func(d *device, stuck <-chan struct{}) {
			d.options = func(o *agent.Options) { o.Server = deadlocked{d.server, stuck} }
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m := &manager{}
				p := newPacket(t, "a", "v1", 10)
				d := newDevice(t, newServer(p))
				stuck := make(chan struct{})
				tc.prepare(d, stuck)
				if d.installer.during != nil || d.installer.proves {
					d.server.want(p)
				}
				options := d.options
				d.options = func(o *agent.Options) {
					if options != nil {
						options(o)
					}
					o.Notify, o.Watchdog = m.notify, bites
					o.Probation, o.Reach = 30*time.Minute, func(context.Context, james.PollRequest) error { return nil }
				}
				stop := d.run()
				d.pass(tc.during)
				if fed := m.silence() < bites/2; fed != tc.fed {
					t.Errorf("silent for %s, want fed: %t", m.silence(), tc.fed)
				}
				close(stuck)
				stop()
			})
		})
	}
}

// hung is a body that ignores its context.
type hung struct {
	io.Reader
	stuck <-chan struct{}
}

func (h hung) Read(p []byte) (int, error) {
	<-h.stuck
	return h.Reader.Read(p)
}

// deadlocked is a server whose polls ignore their context.
type deadlocked struct {
	*server
	stuck <-chan struct{}
}

func (s deadlocked) Poll(context.Context, james.PollRequest) (james.PollResponse, error) {
	<-s.stuck
	return james.PollResponse{}, unreachable
}
