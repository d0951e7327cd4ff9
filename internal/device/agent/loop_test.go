package agent_test

import (
	"cmp"
	"context"
	"errors"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/trusch/jamesd/internal/device/agent"
	"github.com/trusch/jamesd/pkg/james"
)

var unreachable = james.Errorf(james.KindUnavailable, "jamesd:2761", "connection refused")

func TestReportIsSentWhenItChanged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPacket(t, "a", "v1", 10)
		s := newServer(p)
		d := newDevice(t, s)
		stop := d.run()
		d.pass(5 * time.Minute)
		s.want(p)
		d.pass(5 * time.Minute)
		s.set(func() { s.report = nil }) // another jamesd, which has not heard of the device
		d.pass(time.Minute)
		stop()
		var whole, same int
		for _, p := range s.polls {
			switch {
			case p.req.Report != nil && p.req.Same.IsZero():
				whole++
			case p.req.Report == nil && !p.req.Same.IsZero():
				same++
			default:
				t.Errorf("poll %+v has both or neither", p.req)
			}
		}
		// At the start, with the app, and for the other jamesd.
		if whole != 3 || same < 10 {
			t.Errorf("%d whole reports and %d short ones, want 3 and the rest", whole, same)
		}
		if r := s.polls[0].req.Report; r == nil || r.Agent != "test" || r.SystemTags.String() != "armv7l" {
			t.Errorf("first report is %+v", r)
		}
	})
}

func TestServerThatNeverHasTheReport(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		s.amnesiac = true
		d := newDevice(t, s)
		stop := d.run()
		d.pass(10 * time.Minute)
		stop()
		if n := len(s.polls); n < 20 || n > 50 {
			t.Errorf("%d polls in 10 minutes, want two each half minute", n)
		}
	})
}

func TestHeldPollBringsAChangeAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		p := newPacket(t, "a", "v1", 1000)
		s.packets[p.Digest] = p
		d := newDevice(t, s)
		stop := d.run()
		d.pass(97 * time.Second)
		s.want(p)
		synctest.Wait()
		if apps := d.installer.Apps(); len(apps) != 1 || apps[0].Digest != p.Digest {
			t.Errorf("apps are %v right after the change", apps)
		}
		if len(s.reports) != 1 || s.reports[0].Result != james.Committed || s.reports[0].Attempts != 1 {
			t.Errorf("reports are %+v", s.reports)
		}
		s.want()
		synctest.Wait()
		if apps := d.installer.Apps(); len(apps) != 0 {
			t.Errorf("apps are %v after they were to be removed", apps)
		}
		stop()
	})
}

func TestInterval(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		server  int // seconds
		own     time.Duration
		hold    time.Duration
		hasty   bool
		inHour  int // polls
		longest int // Wait, seconds
	}{
		"held for the server's interval":    {server: 30, hold: james.MaxWait, inHour: 120, longest: 30},
		"a server that does not hold":       {server: 30, hold: james.MaxWait, hasty: true, inHour: 120, longest: 30},
		"not held":                          {server: 30, inHour: 120},
		"the own interval wins":             {server: 30, own: 10 * time.Minute, inHour: 6},
		"held no longer than is asked for":  {server: 1800, hold: time.Minute, inHour: 2, longest: 60},
		"an interval longer than any hold":  {server: 1800, hold: time.Hour, inHour: 2, longest: 300},
		"a server that names no interval":   {server: 0, hold: james.MaxWait, inHour: 60, longest: 60},
		"an own interval of half a second":  {server: 30, own: 500 * time.Millisecond, hold: time.Minute, hasty: true, inHour: 7200, longest: 1},
		"an interval beyond all reason":     {server: 1 << 30, hasty: true, inHour: 1},
		"a negative interval of the server": {server: -5, hasty: true, inHour: 60},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newServer()
				s.interval, s.impatient = tc.server, tc.hasty
				d := newDevice(t, s)
				d.options = func(o *agent.Options) { o.Interval, o.Hold = tc.own, tc.hold }
				stop := d.run()
				d.pass(time.Hour)
				stop()
				if n := len(s.polls); n < tc.inHour-tc.inHour/5 || n > tc.inHour+tc.inHour/5+2 {
					t.Errorf("%d polls in an hour, want about %d", n, tc.inHour)
				}
				longest := 0
				for _, p := range s.polls[1:] {
					longest = max(longest, p.req.Wait)
				}
				if longest != tc.longest {
					t.Errorf("longest wait is %d s, want %d", longest, tc.longest)
				}
			})
		})
	}
}

// TestPause has a server that says when the next poll is to come.
func TestPause(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		pause, own, hold time.Duration
		hasty            bool // does not hold polls
		gap              time.Duration
		longest          int // Wait, seconds
	}{
		"not held":                        {pause: 12345 * time.Millisecond, gap: 12345 * time.Millisecond},
		"held beyond the interval":        {pause: james.AtOnce, hold: james.MaxWait, gap: 39*time.Second + james.AtOnce, longest: 39},
		"held for a part of it":           {pause: 20 * time.Second, hold: 10 * time.Second, gap: 30 * time.Second, longest: 10},
		"at once, again and again":        {pause: james.AtOnce, hold: james.MaxWait, hasty: true, gap: time.Second, longest: 39},
		"the own interval wins":           {pause: time.Second, own: 10 * time.Minute, gap: 10 * time.Minute},
		"a pause beyond all reason":       {pause: 1000 * time.Hour, gap: 24 * time.Hour},
		"an own interval, and polls held": {pause: time.Second, own: time.Minute, hold: james.MaxWait, gap: time.Minute, longest: 60},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newServer()
				s.interval, s.pause, s.impatient = 30, tc.pause, tc.hasty
				d := newDevice(t, s)
				d.options = func(o *agent.Options) {
					o.Interval, o.Hold, o.Rand = tc.own, tc.hold, func() float64 { return 0.5 }
				}
				stop := d.run()
				d.pass(3*tc.gap + 3*time.Minute)
				stop()
				for i := 2; i < len(s.polls); i++ {
					if gap := s.polls[i].at.Sub(s.polls[i-1].at); gap != tc.gap || s.polls[i].req.Wait != tc.longest {
						t.Errorf("poll %d comes %s after the one before and may be held for %d s, want %s and %d s", i, gap, s.polls[i].req.Wait, tc.gap, tc.longest)
					}
				}
				if len(s.polls) < 4 {
					t.Errorf("there were only %d polls", len(s.polls))
				}
			})
		})
	}
}

func TestUnreachableServer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		s.down = unreachable
		d := newDevice(t, s)
		stop := d.run()
		d.pass(2 * time.Hour)
		var gaps []time.Duration
		for i, p := range s.polls[1:] {
			gaps = append(gaps, p.at.Sub(s.polls[i].at).Round(time.Millisecond))
		}
		for i, want := range []time.Duration{2 * time.Second, 4 * time.Second, 8 * time.Second} {
			if gaps[i] != want {
				t.Errorf("delay %d is %s, want %s", i+1, gaps[i], want)
			}
		}
		if last := gaps[len(gaps)-1]; last != 5*time.Minute {
			t.Errorf("last delay is %s, want 5m", last)
		}
		if got := d.messages(logrus.WarnLevel); len(got) != 1 {
			t.Errorf("logged %q, want one warning", got)
		}
		s.set(func() { s.down = james.Errorf(james.KindDenied, "device-1", "is not of this fleet") })
		d.pass(time.Hour)
		if got := d.messages(logrus.WarnLevel); len(got) != 2 {
			t.Errorf("logged %q, want one more for the other failure", got)
		}
		s.set(func() { s.down = nil })
		d.pass(5 * time.Minute)
		if s.report == nil {
			t.Error("no report 5 minutes after the server came back")
		}
		before := len(s.polls)
		s.set(func() { s.down = unreachable })
		d.pass(15 * time.Second)
		if n := len(s.polls) - before; n < 3 {
			t.Errorf("%d tries in the first 15 seconds of the second time, want the short delays again", n)
		}
		stop()
	})
}

// TestBusyServer says how long to wait, which is longer than the agent would.
func TestBusyServer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		s.down = james.Errorf(james.KindUnavailable, "server", "has too much to do").WithAfter(time.Minute)
		d := newDevice(t, s)
		random := 0.0
		d.options = func(o *agent.Options) {
			o.Rand = func() float64 { random = math.Mod(random+0.25, 1); return random }
		}
		stop := d.run()
		d.pass(10 * time.Minute)
		seen := map[time.Duration]bool{}
		for i, p := range s.polls[1:] {
			gap := p.at.Sub(s.polls[i].at)
			if gap < time.Minute {
				t.Errorf("it comes back after %s", gap)
			}
			seen[gap] = true
		}
		if len(s.polls) < 4 || len(seen) < 2 {
			t.Errorf("it comes back %d times, at intervals of %v", len(s.polls), seen)
		}
		stop()
	})
}

func TestServerThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		d := newDevice(t, s)
		d.options = func(o *agent.Options) { o.Server = mute{s} }
		stop := d.run()
		d.pass(time.Hour)
		if got := d.messages(logrus.WarnLevel); len(got) != 1 {
			t.Errorf("logged %q, want one warning", got)
		}
		stop()
	})
}

// mute is a server that takes polls and is silent.
type mute struct{ *server }

func (mute) Poll(ctx context.Context, _ james.PollRequest) (james.PollResponse, error) {
	<-ctx.Done()
	return james.PollResponse{}, ctx.Err()
}

func TestPlanWithProblemsOnly(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ deaf, impatient bool }{
		"held while known":                    {},
		"a server that does not hold":         {impatient: true},
		"a server that sends it all the same": {deaf: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newServer()
				s.deaf, s.impatient = tc.deaf, tc.impatient
				p := newPacket(t, "a", "v1", 10)
				s.packets[p.Digest] = p
				d := newDevice(t, s)
				stop := d.run()
				s.set(func() {
					s.revision = 1
					s.problems = []james.Problem{{App: james.App{Name: "a"}, Kind: james.Unresolved, Detail: "no packet is named a"}}
				})
				d.pass(time.Hour)
				if n := len(s.polls); n > 150 {
					t.Errorf("%d polls in an hour, want one each half minute", n)
				}
				if got := d.messages(logrus.WarnLevel); len(got) != 1 {
					t.Errorf("logged %q, want the problem once", got)
				}
				s.set(func() { s.problems = nil; s.desired = []*packet{p}; s.revision = 2 })
				d.pass(31 * time.Second)
				if len(d.installer.Apps()) != 1 {
					t.Error("the packet that solved it is not installed")
				}
				stop()
			})
		})
	}
}

// A server that goes on asking for what was done must not wear out the device.
func TestPlanThatHasNoEffect(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPacket(t, "a", "v1", 10)
		s := newServer(p)
		d := newDevice(t, s)
		d.installer.inert = true
		s.want(p)
		stop := d.run()
		d.pass(24 * time.Hour)
		if n := len(d.installer.tries); n != 1 {
			t.Errorf("carried out %d times in a day, want once", n)
		}
		if n := len(s.reports); n < 5 || n > 15 || s.reports[1].Kind != james.KindConflict {
			t.Errorf("%d reports in a day, the second %+v", n, s.reports[1])
		}
		d.installer.mu.Lock()
		d.installer.inert = false
		d.installer.mu.Unlock()
		s.want(p)
		synctest.Wait()
		if len(d.installer.Apps()) != 1 {
			t.Error("a new revision of it is not tried")
		}
		stop()
	})
}

func TestStop(t *testing.T) {
	t.Parallel()
	p := newPacket(t, "a", "v1", 1<<20)
	for name, tc := range map[string]struct {
		prepare func(d *device, wait <-chan struct{})
		apps    int
		known   bool // whether the try counts
	}{
		"in a held poll": {prepare: func(d *device, _ <-chan struct{}) { d.server.desired = nil }},
		"in a download": {prepare: func(d *device, wait <-chan struct{}) {
			d.options = func(o *agent.Options) { o.Server = stuckArchive{d.server}; o.Stall = time.Hour }
		}},
		"while the device is changed": {apps: 1, prepare: func(d *device, wait <-chan struct{}) {
			d.installer.during = func(context.Context) { <-wait }
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newServer(p)
				d := newDevice(t, s)
				s.want(p)
				applied := make(chan struct{})
				tc.prepare(d, applied)
				stop := d.run()
				d.pass(time.Second)
				began := time.Now()
				go func() { time.Sleep(time.Minute); close(applied) }()
				if fate := stop(); fate != agent.Kept {
					t.Errorf("fate is %s", fate)
				}
				if took := time.Since(began); tc.apps == 0 && took != 0 {
					t.Errorf("took %s to stop", took)
				}
				<-applied
				if n := len(d.installer.Apps()); n != tc.apps {
					t.Errorf("%d apps, want %d", n, tc.apps)
				}
				if m := d.memory(); m.Failure != nil || len(m.Pending) != tc.apps {
					t.Errorf("memory is %+v, want no failure, and a report of what was done", m)
				}
			})
		})
	}
}

// stuckArchive is a server whose archives stop in the middle.
type stuckArchive struct{ *server }

func (s stuckArchive) Archive(ctx context.Context, _ james.Digest, _ james.Archive, _ int64) (body, error) {
	return &silence{ctx: ctx, after: 1000}, nil
}

func TestCrashIsReported(t *testing.T) {
	t.Parallel()
	p := newPacket(t, "a", "v1", 10)
	plan := james.NewPlan(1, []james.Step{{New: &p.Packet}}, nil)
	for name, tc := range map[string]struct {
		result   james.Result
		kind     james.Kind
		crashes  int // before
		attempts int
		tried    time.Duration // after the start, when the server still wants it
	}{
		"gone forward":                 {result: james.Committed, attempts: 1},
		"gone back":                    {result: james.RolledBack, attempts: 1},
		"gone back for another reason": {result: james.RolledBack, kind: james.KindConflict, attempts: 1, tried: time.Minute},
		"nothing changed yet":          {result: james.Refused, attempts: 1},
		"not undone":                   {result: james.Broken, attempts: 1, tried: time.Minute},
		"gone back another time":       {result: james.RolledBack, crashes: 1, attempts: 2, tried: time.Minute},
		"again and again":              {result: james.RolledBack, crashes: 3, attempts: 4, tried: 4 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newServer(p)
				d := newDevice(t, s)
				crash := func() {
					d.installer.recover = &james.Report{Plan: plan.ID, Revision: 1, Result: tc.result, Recovered: true,
						Error: "the agent died", Kind: cmp.Or(tc.kind, james.KindInterrupted)}
				}
				for range tc.crashes {
					crash()
					s.down = unreachable
					d.runOnce()
				}
				s.down = nil
				s.want(p)
				if tc.result == james.Committed {
					d.installer.apps["a"] = p.App()
				}
				crash()
				began := time.Now()
				stop := d.run()
				d.pass(time.Hour)
				stop()
				first := s.reports[tc.crashes]
				if !first.Recovered || first.Attempts != tc.attempts || first.Result != tc.result {
					t.Errorf("report is %+v, want attempt %d", first, tc.attempts)
				}
				if tc.result == james.Committed {
					if n := len(d.installer.tries); n != 0 {
						t.Errorf("tried again %d times what was carried out", n)
					}
					return
				}
				if got := d.installer.tries[0].Sub(began).Round(time.Second); got != tc.tried {
					t.Errorf("tried again after %s, want %s", got, tc.tried)
				}
			})
		})
	}
}

func TestRecoverIsTriedUntilItSucceeds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := wanting(t, "a", 10)
		s := d.server
		d.installer.err = errors.New("no space left on device")
		stop := d.run()
		d.pass(10 * time.Minute)
		if len(s.polls) != 0 {
			t.Error("polled with an unfinished transaction")
		}
		d.installer.mu.Lock()
		d.installer.err = nil
		d.installer.mu.Unlock()
		d.pass(2 * time.Minute)
		if len(d.installer.Apps()) != 1 {
			t.Error("did not go on when it could")
		}
		stop()
	})
}
