package agent_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/trusch/jamesd/internal/device/agent"
	"github.com/trusch/jamesd/pkg/james"
)

var lost = james.Change{App: "a", Path: "opt/a", Kind: james.ChangedMissing}

// damage has the next look find these changes.
func (i *installer) damage(changes ...james.Change) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.changes = changes
}

func (i *installer) count() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return len(i.looks)
}

func hourly(o *agent.Options) { o.VerifyInterval = time.Hour }

func TestDriftIsReported(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPacket(t, "a", "v1", 10)
		s := newServer(p)
		d := newDevice(t, s)
		d.options = hourly
		d.installer.damage(lost)
		stop := d.run()
		synctest.Wait()
		if r := s.report; r == nil || r.Drift == nil || r.Drift.Count != 1 || r.Drift.Damaged != 1 || r.Drift.Changes[0] != lost {
			t.Fatalf("the first report is %+v", r)
		}
		d.pass(30 * time.Minute)
		d.installer.damage()
		d.pass(20 * time.Minute)
		if s.report.Drift == nil || d.installer.count() != 1 {
			t.Errorf("%d looks after 50 minutes", d.installer.count())
		}
		d.pass(20 * time.Minute)
		if s.report.Drift != nil || d.installer.count() != 2 {
			t.Errorf("%d looks after 70 minutes, and the drift is %v", d.installer.count(), s.report.Drift)
		}
		d.installer.damage(lost)
		s.want(p) // a transaction is followed by a look
		synctest.Wait()
		if n := d.installer.count(); n != 3 || s.report.Drift == nil || len(s.report.Apps) != 1 {
			t.Errorf("%d looks after a transaction, the report is %+v", n, s.report)
		}
		d.pass(10 * time.Hour)
		whole := 0
		for _, p := range s.polls {
			if p.req.Report != nil {
				whole++
			}
		}
		if n := d.installer.count(); whole != 3 || n < 12 || n > 15 {
			t.Errorf("%d whole reports, want 3: one for each change; %d looks in 11 hours", whole, n)
		}
		stop()
		if got := d.messages(logrus.WarnLevel); len(got) != 2 {
			t.Errorf("warnings %q, want one for each time that it was found", got)
		}
	})
}

// A poll that is held gives way to a look that is due.
func TestHeldPollDelaysNoLook(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		s.interval = 3600
		d := newDevice(t, s)
		d.options = func(o *agent.Options) { o.VerifyInterval = time.Minute }
		stop := d.run()
		d.pass(30 * time.Minute)
		stop()
		for n, at := range d.installer.looks[1:] {
			if wait := at.Sub(d.installer.looks[n]); wait > 67*time.Second {
				t.Errorf("%s between two looks", wait)
			}
		}
		if n := len(d.installer.looks); n < 25 || n > 35 {
			t.Errorf("%d looks in half an hour", n)
		}
	})
}

func TestNoLooks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := wanting(t, "a", 10)
		s := d.server
		d.installer.damage(lost)
		stop := d.run()
		d.pass(24 * time.Hour)
		stop()
		if d.installer.count() != 0 || s.report.Drift != nil {
			t.Errorf("%d looks", d.installer.count())
		}
	})
}

// A look that fails changes nothing of what is known, and is not repeated at once.
func TestLookThatFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		d := newDevice(t, s)
		d.options = hourly
		d.installer.damage(lost)
		stop := d.run()
		d.pass(time.Minute)
		touch(&d.installer.mu)
		d.installer.failed = james.Errorf(james.KindUnavailable, "disk", "is broken")
		d.pass(3 * time.Hour)
		stop()
		if n := d.installer.count(); s.report.Drift == nil || n < 3 || n > 5 {
			t.Errorf("%d looks, the drift is %v", n, s.report.Drift)
		}
	})
}

// What a repair by another process has left is ended without a restart, before
// anything else, and looked at.
func TestUnfinishedRepair(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		d := newDevice(t, s)
		d.options = hourly
		stop := d.run()
		d.pass(time.Minute)
		d.installer.mu.Lock()
		d.installer.unfinished = true
		d.installer.mu.Unlock()
		d.pass(time.Minute)
		if d.installer.Unfinished() || d.installer.count() != 2 || len(s.reports) != 0 {
			t.Errorf("unfinished: %t, %d looks, reports %+v", d.installer.Unfinished(), d.installer.count(), s.reports)
		}
		stop()
	})
}

func TestOnceReportsDrift(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := wanting(t, "a", 10)
		s := d.server
		d.options = hourly
		d.installer.after = func() { d.installer.damage(lost) }
		if err := d.boot().Once(context.Background()); err != nil {
			t.Fatal(err)
		}
		if s.report.Drift == nil || d.installer.count() != 2 {
			t.Errorf("%d looks, the report is %+v", d.installer.count(), s.report)
		}
	})
}
