package agent_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trusch/jamesd/internal/device/agent"
	"github.com/trusch/jamesd/pkg/james"
)

// memory returns what the agent has written down.
func (d *device) memory() agent.Memory {
	d.t.Helper()
	raw, err := os.ReadFile(filepath.Join(d.dir, "agent.json"))
	if os.IsNotExist(err) {
		return agent.Memory{}
	}
	if err != nil {
		d.t.Fatal(err)
	}
	m, err := agent.DecodeMemory(raw)
	if err != nil {
		d.t.Fatal(err)
	}
	return m
}

var postinst = james.Report{Result: james.RolledBack, Error: "postinst: exit status 7", Kind: james.KindInvalid,
	App: "bad", Script: james.Postinst, Output: "no such tty\n"}

// failing returns a device whose desired state cannot be carried out.
func failing(t *testing.T) (*device, *packet) {
	p := newPacket(t, "bad", "v1", 10)
	s := newServer(p)
	s.want(p)
	d := newDevice(t, s)
	d.installer.fails["bad"] = postinst
	return d, p
}

func (d *device) tries() int {
	d.installer.mu.Lock()
	defer d.installer.mu.Unlock()
	return len(d.installer.tries)
}

func TestFailedPlanIsTriedLessAndLessOften(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d, _ := failing(t)
		stop := d.run()
		d.pass(72 * time.Hour)
		stop()
		var gaps []time.Duration
		for i, at := range d.installer.tries[1:] {
			gaps = append(gaps, at.Sub(d.installer.tries[i]).Round(time.Second))
		}
		want := []time.Duration{time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute, 16 * time.Minute,
			32 * time.Minute, 64 * time.Minute, 128 * time.Minute, 256 * time.Minute, 6 * time.Hour, 6 * time.Hour}
		if len(gaps) < len(want) {
			t.Fatalf("delays are %s", gaps)
		}
		for i := range want {
			if gaps[i] != want[i] {
				t.Errorf("delay %d is %s, want %s", i+1, gaps[i], want[i])
			}
		}
		for i, r := range d.server.reports {
			if r.Attempts != i+1 || r.RetryAt.Before(r.Ended) || r.Script != james.Postinst || r.Output != postinst.Output {
				t.Errorf("report %d is %+v", i+1, r)
			}
		}
		if n := len(d.server.polls); n > 72*3600/30+50 {
			t.Errorf("%d polls in 72 hours", n)
		}
	})
}

func TestFailedPlanGivesWay(t *testing.T) {
	t.Parallel()
	good := newPacket(t, "good", "v1", 10)
	for name, tc := range map[string]struct {
		change func(d *device, bad *packet)
		tries  int // at once, after the four of the first ten minutes
		known  bool
	}{
		"to another plan":         {tries: 1, change: func(d *device, _ *packet) { d.server.want(good) }},
		"to a new revision of it": {tries: 1, known: true, change: func(d *device, bad *packet) { d.server.want(bad) }},
		"to the desired state without it": {tries: 0, change: func(d *device, _ *packet) {
			d.server.want()
		}},
		"not to what is not new": {tries: 0, known: true, change: func(d *device, _ *packet) { d.server.set(func() {}) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				d, bad := failing(t)
				d.server.packets[good.Digest] = good
				stop := d.run()
				d.pass(10 * time.Minute)
				before := d.tries()
				tc.change(d, bad)
				synctest.Wait()
				if n := d.tries() - before; n != tc.tries {
					t.Errorf("tried %d times at once, want %d", n, tc.tries)
				}
				d.pass(time.Minute)
				if known := d.memory().Failure != nil; known != tc.known {
					t.Errorf("the failure is remembered: %t, want %t", known, tc.known)
				}
				stop()
			})
		})
	}
}

func TestFailureIsRememberedOverARestart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d, _ := failing(t)
		stop := d.run()
		d.pass(time.Hour)
		stop()
		tries := d.tries()
		stop = d.run()
		d.pass(time.Second)
		if d.tries() != tries {
			t.Error("tried again at the start")
		}
		if last := d.server.polls[len(d.server.polls)-1]; last.req.Known.IsZero() {
			t.Error("the server is not told that the plan is known")
		}
		d.pass(2 * time.Hour)
		stop()
		if r := d.server.reports[len(d.server.reports)-1]; r.Attempts != d.tries() || r.Attempts <= tries {
			t.Errorf("attempt %d is the try number %d", r.Attempts, d.tries())
		}
	})
}

// A clock that was years ahead must not put the next try off for years.
func TestFailureOfAWrongClock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d, _ := failing(t)
		d.options = func(o *agent.Options) {
			o.Now = func() time.Time { return time.Now().AddDate(30, 0, 0) }
		}
		stop := d.run()
		d.pass(time.Second)
		stop()
		d.options = nil
		stop = d.run()
		synctest.Wait()
		if d.tries() != 2 {
			t.Errorf("tried %d times, want again at the start", d.tries())
		}
		stop()
	})
}

func TestBrokenMemoryIsNoReasonNotToStart(t *testing.T) {
	t.Parallel()
	for name, raw := range map[string]string{"no JSON": "{", "empty": "", "another shape": `{"pending": 3}`} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				d := wanting(t, "a", 10)
				if err := os.WriteFile(filepath.Join(d.dir, "agent.json"), []byte(raw), 0o600); err != nil {
					t.Fatal(err)
				}
				stop := d.run()
				d.pass(time.Second)
				stop()
				if m := d.memory(); m.Revision != 1 || m.Last == nil {
					t.Errorf("memory is %+v", m)
				}
			})
		})
	}
}

func TestAnotherDevice(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		before, now string
		forgotten   bool
	}{
		"the same":       {"d1", "d1", false},
		"another":        {"d1", "d2", true},
		"known only now": {"", "d1", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				d, _ := failing(t)
				d.options = func(o *agent.Options) { o.Device = tc.before }
				stop := d.run()
				d.pass(time.Second)
				stop()
				d.options = func(o *agent.Options) { o.Device = tc.now }
				stop = d.run()
				d.pass(time.Second)
				stop()
				m := d.memory()
				if want := map[bool]int{true: 2, false: 1}[tc.forgotten]; d.tries() != want || m.Failure.Attempts != 1 {
					t.Errorf("tried %d times, want %d; memory is %+v", d.tries(), want, m)
				}
				if tc.forgotten && m.Device != tc.now {
					t.Errorf("is %q to itself", m.Device)
				}
			})
		})
	}
}

func TestUndeliveredReports(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d, _ := failing(t)
		d.installer.during = nil
		d.server.noReports = unreachable
		stop := d.run()
		d.pass(time.Second)
		stop()
		if n := len(d.memory().Pending); n != 1 {
			t.Fatalf("%d reports are kept, want 1", n)
		}
		polls := len(d.server.polls)
		stop = d.run()
		d.pass(time.Hour)
		if len(d.server.polls) != polls {
			t.Error("polled before the report was delivered")
		}
		d.server.set(func() { d.server.noReports = nil })
		d.pass(5 * time.Minute)
		stop()
		if len(d.server.reports) == 0 || d.server.reports[0].Attempts != 1 {
			t.Errorf("reports are %+v", d.server.reports)
		}
		if n := len(d.memory().Pending); n != 0 {
			t.Errorf("%d reports are still kept", n)
		}
	})
}

func TestReportsThatNobodyTakesAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPacket(t, "a", "v1", 10)
		s := newServer(p)
		d := newDevice(t, s)
		s.down = unreachable
		for i := range 40 {
			d.installer.recover = &james.Report{Plan: james.DigestOf(fmt.Append(nil, i)), Result: james.RolledBack, Recovered: true}
			d.runOnce()
		}
		m := d.memory()
		if n := len(m.Pending); n != 16 {
			t.Fatalf("%d reports are kept, want 16", n)
		}
		if want := james.DigestOf([]byte("39")); m.Pending[15].Plan != want || m.Last.Plan != want {
			t.Error("the newest report is not kept")
		}
	})
}

func TestReportThatTheServerRefusesIsDropped(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		kind james.Kind
		kept int
	}{
		{james.KindInvalid, 0}, {james.KindNotFound, 0}, {james.KindConflict, 0}, {james.KindExists, 0}, {james.KindCorrupt, 0},
		{james.KindUnavailable, 1}, {james.KindInterrupted, 1}, {james.KindDenied, 1}, {james.KindUnauthenticated, 1}, {james.KindInternal, 1},
	} {
		t.Run(string(tc.kind), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				d, _ := failing(t)
				d.server.noReports = james.Errorf(tc.kind, "report", "no")
				stop := d.run()
				d.pass(30 * time.Second)
				stop()
				if n := len(d.memory().Pending); n != tc.kept {
					t.Errorf("%d reports are kept, want %d", n, tc.kept)
				}
			})
		})
	}
}

// A server that has never heard of the device hears of it before it gets the
// report that is kept.
func TestReportToAServerThatDoesNotKnowTheDevice(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d, _ := failing(t)
		d.server.down = unreachable
		d.installer.recover = &james.Report{Plan: james.Digest{1}, Result: james.RolledBack, Recovered: true}
		d.runOnce()
		d.server.down = nil
		d.options = func(o *agent.Options) { o.Server = stranger{d.server} }
		stop := d.run()
		d.pass(time.Second)
		stop()
		if len(d.server.reports) != 2 || !d.server.reports[0].Recovered {
			t.Errorf("reports are %+v, want the one that was kept first", d.server.reports)
		}
	})
}

// stranger is a server that takes reports only of devices that it knows.
type stranger struct{ *server }

func (s stranger) Report(ctx context.Context, r james.Report) error {
	s.mu.Lock()
	known := s.report != nil
	s.mu.Unlock()
	if !known {
		return james.Errorf(james.KindNotFound, "device", "has never polled")
	}
	return s.server.Report(ctx, r)
}

// TestCommitIsReportedByTheNextProcess stops the agent between a commit and its
// note of it: the server hears of the plan once all the same.
func TestCommitIsReportedByTheNextProcess(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPacket(t, "good", "v1", 10)
		s := newServer(p)
		s.want(newPacket(t, "other", "v1", 10))
		s.packets[s.desired[0].Digest] = s.desired[0]
		d := newDevice(t, s)
		d.runOnce()
		file := filepath.Join(d.dir, "agent.json")
		before, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		s.want(p)
		s.set(func() { s.noReports = james.Errorf(james.KindUnavailable, "server", "is away") })
		d.runOnce()
		if err := os.WriteFile(file, before, 0o600); err != nil {
			t.Fatal(err)
		}
		s.set(func() { s.noReports = nil })
		d.runOnce()
		d.runOnce()
		if len(s.reports) != 2 || s.reports[1].Result != james.Committed || s.reports[1].Revision != s.revision || !s.reports[1].Recovered {
			t.Fatalf("the server was told %+v", s.reports)
		}
		if m := d.memory(); m.Revision != s.revision || m.Last == nil || m.Last.Plan != s.reports[1].Plan {
			t.Errorf("the agent remembers %+v", m)
		}
	})
}
