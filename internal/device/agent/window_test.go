package agent_test

import (
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trusch/jamesd/internal/device/agent"
	"github.com/trusch/jamesd/pkg/james"
)

// The clock of a test begins at midnight.
const (
	night = "02:00-04:00"
	day   = 24 * time.Hour
)

// when returns a function that sets the schedule of the desired state.
func (s *server) when(schedule james.Schedule) {
	s.set(func() { s.schedule, s.revision = schedule, s.revision+1 })
}

func TestWindows(t *testing.T) {
	t.Parallel()
	w := james.MustWindow
	for name, tc := range map[string]struct {
		options  func(o *agent.Options)
		schedule james.Schedule
		fetched  time.Duration // when the download begins, after midnight
		applied  time.Duration // when the change begins; -1 for never
		waiting  string        // as the server knows it at one in the morning
	}{
		"no windows": {},
		"apply, by the settings": {options: func(o *agent.Options) { o.Apply = w(night) },
			applied: 2 * time.Hour, waiting: "waiting for its apply window 02:00-04:00"},
		"apply, by the desired state": {schedule: james.Schedule{Apply: w(night)},
			applied: 2 * time.Hour, waiting: "waiting for its apply window 02:00-04:00"},
		"the desired state wins": {options: func(o *agent.Options) { o.Apply, o.Download = james.ClosedWindow, james.ClosedWindow },
			schedule: james.Schedule{Apply: w(night), Download: w("01:30-02:30")},
			fetched:  90 * time.Minute, applied: 2 * time.Hour, waiting: "waiting for its download window 01:30-02:30"},
		"it says that now is good": {options: func(o *agent.Options) { o.Apply, o.Download = james.ClosedWindow, james.ClosedWindow },
			schedule: james.Schedule{Apply: james.OpenWindow, Download: james.OpenWindow}},
		"download, then apply on the next day": {options: func(o *agent.Options) { o.Download, o.Apply = w("03:00-05:00"), w("02:00-02:30") },
			fetched: 3 * time.Hour, applied: day + 2*time.Hour, waiting: "waiting for its download window 03:00-05:00"},
		"never": {options: func(o *agent.Options) { o.Apply = james.ClosedWindow }, applied: -1, waiting: `waiting: its apply window is "never"`},
		"urgent ignores the download window, not the other": {options: func(o *agent.Options) { o.Download, o.Apply = james.ClosedWindow, w(night) },
			schedule: james.Schedule{Urgent: true}, applied: 2 * time.Hour, waiting: "waiting for its apply window 02:00-04:00"},
		"metered": {options: func(o *agent.Options) { o.Metered = true }, fetched: -1, applied: -1,
			waiting: "waiting: its link is metered and the change is not marked urgent"},
		"metered, by a tag": {options: func(o *agent.Options) { o.Tags = func() james.TagSet { return james.MustTags("armv7l,metered") } },
			fetched: -1, applied: -1, waiting: "waiting: its link is metered and the change is not marked urgent"},
		"metered, in the download window": {options: func(o *agent.Options) { o.Metered, o.Download = true, james.OpenWindow }, fetched: -1, applied: -1,
			waiting: "waiting: its link is metered and the change is not marked urgent"},
		"metered and urgent": {options: func(o *agent.Options) { o.Metered = true }, schedule: james.Schedule{Urgent: true}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := newPacket(t, "a", "v1", 10)
				d := newDevice(t, newServer(p))
				d.server.interval = 300
				d.options = func(o *agent.Options) {
					utc(o)
					if tc.options != nil {
						tc.options(o)
					}
				}
				midnight := time.Now()
				d.server.schedule = tc.schedule
				d.server.want(p)
				defer d.run()()
				d.pass(time.Hour)
				waiting := ""
				if w := d.server.report.Waiting; w != nil {
					waiting = w.String()
				}
				if waiting != tc.waiting {
					t.Errorf("at one it is %q, want %q", waiting, tc.waiting)
				}
				d.pass(2 * day)
				begun(t, "fetched", midnight, d.installer.fetches, tc.fetched)
				begun(t, "applied", midnight, d.installer.tries, tc.applied)
				if tc.applied >= 0 && d.server.report.Waiting != nil {
					t.Errorf("afterwards it is %s", d.server.report.Waiting)
				}
			})
		})
	}
}

// begun checks that something happened once, within two seconds of a time.
func begun(t *testing.T, what string, midnight time.Time, when []time.Time, want time.Duration) {
	t.Helper()
	switch {
	case want < 0 && len(when) == 0:
	case want < 0 || len(when) != 1:
		t.Errorf("%s %d times", what, len(when))
	case when[0].Sub(midnight) < want || when[0].Sub(midnight) > want+2*time.Second:
		t.Errorf("%s at %s, want %s", what, when[0].Sub(midnight), want)
	}
}

// TestTheWindowCloses has a download go on in the next window where it stopped in
// the one before.
func TestTheWindowCloses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d, big, _ := newSlow(t)
		d.server.interval, d.server.streams = 300, true
		d.options = func(o *agent.Options) { utc(o); o.Download = james.MustWindow("00:00-00:10") }
		d.server.want(big)
		midnight := time.Now()
		defer d.run()()
		d.pass(12 * time.Hour)
		if served := d.server.served; served < 590_000 || served > 603_000 {
			t.Errorf("%d bytes were served in a window of 600 s of 1000 a second", served)
		}
		if w := d.server.report.Waiting; w == nil || w.For != james.WaitDownload {
			t.Errorf("at noon it waits for %v", w)
		}
		if len(d.installer.tries) != 0 || len(d.server.reports) != 0 {
			t.Errorf("a paused download was tried %d times and reported: %+v", len(d.installer.tries), d.server.reports)
		}
		d.pass(day)
		begun(t, "applied", midnight.Add(day), d.installer.tries, 400*time.Second)
		if d.server.served > 1_004_000 {
			t.Errorf("%d bytes were served", d.server.served)
		}
	})
}

// TestWaitingOverARestart: what is downloaded is not downloaded again when only the
// apply window is waited for, whatever the download window says by then.
func TestWaitingOverARestart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPacket(t, "a", "v1", 10)
		d := newDevice(t, newServer(p))
		d.server.interval = 300
		d.options = func(o *agent.Options) {
			utc(o)
			o.Download, o.Apply = james.MustWindow("00:00-01:00"), james.MustWindow(night)
		}
		d.server.want(p)
		midnight := time.Now()
		stop := d.run()
		d.pass(90 * time.Minute)
		stop()
		defer d.run()()
		d.pass(time.Minute)
		if w := d.server.report.Waiting; w == nil || w.For != james.WaitApply {
			t.Errorf("after the restart it waits for %v", w)
		}
		d.pass(day)
		begun(t, "applied", midnight, d.installer.tries, 2*time.Hour)
		if len(d.server.gets) != 1 {
			t.Errorf("downloaded %d times", len(d.server.gets))
		}
	})
}

// TestTheScheduleChanges has an operator say that it may be now, while the device
// waits, and that it must not, while it downloads.
func TestTheScheduleChanges(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d, big, _ := newSlow(t)
		d.server.interval, d.server.streams = 300, true
		d.server.schedule.Download = james.ClosedWindow
		d.server.want(big)
		defer d.run()()
		d.pass(time.Hour)
		d.server.when(james.Schedule{})
		d.pass(500 * time.Second)
		if d.server.report.Waiting != nil || len(d.installer.fetches) != 1 {
			t.Errorf("with the window open it waits for %v", d.server.report.Waiting)
		}
		d.server.when(james.Schedule{Download: james.ClosedWindow})
		d.pass(time.Hour)
		if w := d.server.report.Waiting; w == nil || w.Revision != 3 || d.server.served > 503_000 {
			t.Errorf("with the window closed it waits for %v after %d bytes", w, d.server.served)
		}
		d.server.when(james.Schedule{Apply: james.ClosedWindow})
		d.pass(time.Hour)
		d.server.when(james.Schedule{Apply: james.OpenWindow})
		d.pass(time.Second)
		if len(d.installer.Apps()) != 1 || d.server.served > 1_004_000 {
			t.Errorf("has %d apps after %d bytes", len(d.installer.Apps()), d.server.served)
		}
		if r := d.server.reports; len(r) != 1 || r[0].Revision != 5 {
			t.Errorf("reports are %+v", r)
		}
	})
}

// TestTheClockIsSet while the device waits, forward and back.
func TestTheClockIsSet(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPacket(t, "a", "v1", 10)
		d := newDevice(t, newServer(p))
		d.server.interval = 300
		var ahead atomic.Int64
		d.options = func(o *agent.Options) {
			o.Now = func() time.Time { return time.Now().UTC().Add(time.Duration(ahead.Load())) }
			o.Apply, o.Interval = james.MustWindow(night), 10*time.Hour
		}
		d.server.want(p)
		defer d.run()()
		d.pass(time.Minute)
		ahead.Store(-int64(time.Hour))
		d.pass(130 * time.Minute)
		if len(d.installer.tries) != 0 {
			t.Error("applied at two of a clock that is not right any more")
		}
		ahead.Store(0)
		start := time.Now()
		d.pass(6 * time.Minute)
		begun(t, "applied", start, d.installer.tries, d.installer.tries[0].Sub(start))
	})
}

// TestUnreachableInTheWindow: what is there is applied without a server.
func TestUnreachableInTheWindow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPacket(t, "a", "v1", 10)
		d := newDevice(t, newServer(p))
		d.server.interval = 300
		d.options = func(o *agent.Options) { utc(o); o.Apply = james.MustWindow(night) }
		d.server.want(p)
		midnight := time.Now()
		defer d.run()()
		d.pass(time.Hour)
		d.server.set(func() { d.server.down = unreachable })
		d.pass(2 * time.Hour)
		begun(t, "applied", midnight, d.installer.tries, 2*time.Hour)
	})
}

// TestAFailureWaits: a plan that failed waits for the window once more.
func TestAFailureWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPacket(t, "a", "v1", 10)
		d := newDevice(t, newServer(p))
		d.server.interval = 300
		d.options = func(o *agent.Options) { utc(o); o.Apply = james.MustWindow("02:00-02:01") }
		d.installer.fails["a"] = postinst
		d.server.want(p)
		midnight := time.Now()
		defer d.run()()
		d.pass(12 * time.Hour)
		begun(t, "applied", midnight, d.installer.tries, 2*time.Hour)
		if w := d.server.report.Waiting; w == nil || w.For != james.WaitApply {
			t.Errorf("after the failure it waits for %v", w)
		}
		d.pass(day)
		if n := len(d.installer.tries); n != 2 {
			t.Errorf("tried %d times in two nights", n)
		}
	})
}

func TestOnceWaitsForNoWindow(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		options func(o *agent.Options)
		gets    int
		want    string
	}{
		"apply":    {func(o *agent.Options) { o.Apply = james.MustWindow(night) }, 1, "revision 1: is waiting for its apply window 02:00-04:00"},
		"download": {func(o *agent.Options) { o.Download = james.MustWindow(night) }, 0, "revision 1: is waiting for its download window 02:00-04:00"},
		"metered":  {func(o *agent.Options) { o.Metered = true }, 0, "revision 1: is waiting: its link is metered"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := newPacket(t, "a", "v1", 10)
				d := newDevice(t, newServer(p))
				d.server.interval = 300
				d.options = func(o *agent.Options) { utc(o); tc.options(o) }
				d.server.want(p)
				err := d.boot().Once(t.Context())
				if james.KindOf(err) != james.KindConflict || !strings.Contains(err.Error(), tc.want) || !strings.Contains(james.HintOf(err), "apply: now") {
					t.Errorf("%v", err)
				}
				if len(d.server.gets) != tc.gets || len(d.installer.tries) != 0 || d.server.report.Waiting == nil {
					t.Errorf("%d downloads, %d tries, the server knows of %v", len(d.server.gets), len(d.installer.tries), d.server.report.Waiting)
				}
				d.pass(150 * time.Minute)
				if tc.want[len(tc.want)-1] == 'd' {
					d.server.schedule.Urgent = true
				}
				if err := d.boot().Once(t.Context()); err != nil || len(d.server.gets) != 1 {
					t.Errorf("in the window: %v after %d downloads", err, len(d.server.gets))
				}
			})
		})
	}
}
