package agent_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/trusch/jamesd/internal/device/agent"
	"github.com/trusch/jamesd/pkg/james"
)

func TestOnce(t *testing.T) {
	t.Parallel()
	problem := []james.Problem{{App: james.App{Name: "nix"}, Kind: james.Unresolved, Detail: "no packet is named nix"}}
	for name, tc := range map[string]struct {
		prepare func(d *device, p *packet)
		apps    int
		undone  bool
		plan    bool // whether the error is of a plan
		kind    james.Kind
		text    string
		reports int
	}{
		"no desired state": {prepare: func(d *device, p *packet) {}},
		"installed":        {apps: 1, reports: 1, prepare: func(d *device, p *packet) { d.server.want(p) }},
		"there already": {apps: 1, prepare: func(d *device, p *packet) {
			d.installer.apps["bad"] = p.App()
			d.server.want(p)
		}},
		"failed and undone": {plan: true, undone: true, reports: 1, text: "revision 1 failed and was undone, the old state is back: postinst: exit status 7\nno such tty", prepare: func(d *device, p *packet) {
			d.installer.fails["bad"] = postinst
			d.server.want(p)
		}},
		"failed and not undone": {plan: true, reports: 1, text: "could not be undone, somebody must look at the device: ", prepare: func(d *device, p *packet) {
			d.installer.fails["bad"] = james.Report{Result: james.Broken, Error: "cannot be undone"}
			d.server.want(p)
		}},
		"refused": {plan: true, reports: 1, text: "revision 1 was refused, nothing was changed: is owned", prepare: func(d *device, p *packet) {
			d.installer.fails["bad"] = james.Report{Result: james.Refused, Error: "is owned by another app"}
			d.server.want(p)
		}},
		"nothing fits": {kind: james.KindConflict, text: "nix is unresolved: no packet is named nix", prepare: func(d *device, p *packet) {
			d.server.problems = problem
		}},
		"something fits and something does not": {apps: 1, reports: 1, kind: james.KindConflict, text: "revision 1: nix", prepare: func(d *device, p *packet) {
			d.server.problems = problem
			d.server.want(p)
		}},
		"no server": {kind: james.KindUnavailable, text: "connection refused", prepare: func(d *device, p *packet) { d.server.down = unreachable }},
		"a server that takes no reports": {apps: 1, kind: james.KindUnavailable, prepare: func(d *device, p *packet) {
			d.server.noReports = unreachable
			d.server.want(p)
		}},
		"a plan without effect": {plan: true, reports: 2, text: "just carried out", prepare: func(d *device, p *packet) {
			d.installer.inert = true
			d.server.want(p)
		}},
		"a crash before": {reports: 1, prepare: func(d *device, p *packet) {
			d.installer.recover = &james.Report{Plan: p.Digest, Result: james.RolledBack, Recovered: true}
		}},
		"a crash that cannot be undone": {kind: james.KindUnavailable, prepare: func(d *device, p *packet) {
			d.installer.err = james.Errorf(james.KindUnavailable, "state directory", "is full")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := newPacket(t, "bad", "v1", 1000)
				d := newDevice(t, newServer(p))
				tc.prepare(d, p)
				err := d.boot().Once(context.Background())
				var failed *agent.PlanError
				if errors.As(err, &failed) != tc.plan || tc.plan && failed.Undone() != tc.undone {
					t.Fatalf("error is %v", err)
				}
				if !tc.plan && james.KindOf(err) != tc.kind {
					t.Fatalf("error is %v, want kind %q", err, tc.kind)
				}
				if err != nil && !strings.Contains(err.Error(), tc.text) {
					t.Errorf("error is %q, want it to say %q", err, tc.text)
				}
				if n := len(d.installer.Apps()); n != tc.apps {
					t.Errorf("%d apps, want %d", n, tc.apps)
				}
				if n := len(d.server.reports); n != tc.reports {
					t.Errorf("%d reports, want %d", n, tc.reports)
				}
			})
		})
	}
}

// Whoever calls Once wants it tried now.
func TestOnceDoesNotWaitForAFailedPlan(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d, _ := failing(t)
		for range 3 {
			if err := d.boot().Once(context.Background()); err == nil {
				t.Error("no error")
			}
		}
		if d.tries() != 3 || d.server.reports[2].Attempts != 3 {
			t.Errorf("tried %d times, the last report is %+v", d.tries(), d.server.reports[2])
		}
	})
}

// A fleet whose desired state changes all the time does not keep Once for ever.
func TestOnceEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, b := newPacket(t, "a", "v1", 10), newPacket(t, "a", "v2", 10)
		d := newDevice(t, newServer(a, b))
		d.server.want(a)
		d.installer.after = func() {
			d.server.want(b)
			a, b = b, a
		}
		err := d.boot().Once(context.Background())
		if james.KindOf(err) != james.KindConflict || d.tries() != 5 {
			t.Errorf("ended after %d plans with %v", d.tries(), err)
		}
	})
}

func TestOnceIsStopped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPacket(t, "a", "v1", 1<<20)
		d := newDevice(t, newServer(p))
		d.server.want(p)
		ctx, cancel := context.WithCancel(context.Background())
		d.options = func(o *agent.Options) { o.Server = stuckArchive{d.server} }
		a := d.boot()
		ended := make(chan error)
		go func() { ended <- a.Once(ctx) }()
		synctest.Wait()
		cancel()
		if err := <-ended; james.KindOf(err) != james.KindInterrupted {
			t.Errorf("error is %v", err)
		}
	})
}
