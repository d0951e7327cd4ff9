package agent_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trusch/jamesd/internal/device/agent"
	"github.com/trusch/jamesd/pkg/james"
)

// proving returns a device that has to carry out a plan and to reach its server
// after it within two minutes.
func proving(t *testing.T, reach func(ctx context.Context, req james.PollRequest) error) *device {
	t.Helper()
	p := newPacket(t, "a", "v1", 10)
	d := newDevice(t, newServer(p))
	d.server.want(p)
	d.installer.proves = true
	d.options = func(o *agent.Options) { o.Probation, o.Reach = 2*time.Minute, reach }
	return d
}

func TestServerIsReachedAfterAChange(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		// reach is what happens so long after the change.
		reach  func(ctx context.Context, since time.Duration) error
		result james.Result
		tries  int
		took   time.Duration
		text   string
	}{
		"at once": {result: james.Committed, tries: 1, reach: func(context.Context, time.Duration) error { return nil }},
		"in time": {result: james.Committed, tries: 7, took: 25*time.Second + 500*time.Millisecond, reach: func(_ context.Context, since time.Duration) error {
			if since < 20*time.Second {
				return unreachable
			}
			return nil
		}},
		"never": {result: james.RolledBack, tries: 16, took: 2 * time.Minute, text: "server: was not reached over a new connection within 2m0s of the change: " + unreachable.Error(),
			reach: func(context.Context, time.Duration) error { return unreachable }},
		"it takes the connection and says nothing": {result: james.RolledBack, tries: 1, took: 2 * time.Minute, text: "within 2m0s of the change: server: no answer within 2m0s",
			reach: func(ctx context.Context, _ time.Duration) error { <-ctx.Done(); return context.Cause(ctx) }},
		"refused, then silent": {result: james.RolledBack, tries: 3, took: 2 * time.Minute, text: "connection refused",
			reach: func(ctx context.Context, since time.Duration) error {
				if since < time.Second {
					return unreachable
				}
				<-ctx.Done()
				return context.Cause(ctx)
			}},
		"its certificates are refused": {result: james.RolledBack, tries: 16, took: 2 * time.Minute, text: "bad certificate",
			reach: func(context.Context, time.Duration) error {
				return james.Errorf(james.KindUnauthenticated, "server", "bad certificate")
			}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				began, tries := time.Now(), 0
				var d *device
				d = proving(t, func(ctx context.Context, req james.PollRequest) error {
					tries++
					if plan := d.server.plan(); req.Report != nil || req.Same != d.server.report.Digest() || req.Wait != 0 || req.Known != plan.ID || req.KnownRevision != plan.Revision {
						t.Errorf("asks for %+v", req)
					}
					return tc.reach(ctx, time.Since(began))
				})
				err := d.boot().Once(context.Background())
				if got := time.Since(began).Round(100 * time.Millisecond); tries != tc.tries || got != tc.took {
					t.Errorf("tried %d times in %s, want %d in %s", tries, got, tc.tries, tc.took)
				}
				r := d.server.reports[0]
				if r.Result != tc.result || (err == nil) != (tc.result == james.Committed) {
					t.Fatalf("%+v, %v", r, err)
				}
				if tc.text != "" && (r.Kind != james.KindUnavailable || !strings.Contains(r.Error, tc.text)) {
					t.Errorf("the report is %+v", r)
				}
			})
		})
	}
}

// An agent that is to stop while a change is on probation does so at once, and
// goes on with it at its next start.
func TestStopOnProbation(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		gone := true
		d := proving(t, func(ctx context.Context, _ james.PollRequest) error {
			if gone {
				<-ctx.Done()
				return context.Cause(ctx)
			}
			return nil
		})
		for n := range 2 { // in Apply, and in Recover
			stop := d.run()
			d.pass(time.Second)
			began := time.Now()
			if fate := stop(); fate != agent.Kept || time.Since(began) != 0 {
				t.Errorf("%s after %s", fate, time.Since(began))
			}
			if len(d.server.reports) != 0 || d.installer.left == nil || d.tries() != 1 || len(d.memory().Pending) != 0 {
				t.Fatalf("stop %d: %d reports, %d tries, %v is left", n+1, len(d.server.reports), d.tries(), d.installer.left)
			}
		}
		gone = false
		stop := d.run()
		d.pass(time.Second)
		stop()
		if r := d.server.reports; len(r) != 1 || r[0].Result != james.Committed || !r[0].Recovered || r[0].Attempts != 1 || len(d.installer.Apps()) != 1 {
			t.Errorf("reports are %+v, installed is %v", r, d.installer.Apps())
		}
	})
}

func TestOnceIsStoppedOnProbation(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := proving(t, func(ctx context.Context, _ james.PollRequest) error { <-ctx.Done(); return context.Cause(ctx) })
		for range 2 { // in Apply, and in Recover
			ctx, cancel := context.WithCancel(context.Background())
			time.AfterFunc(time.Second, cancel)
			err := d.boot().Once(ctx)
			if james.KindOf(err) != james.KindInterrupted || err.Error() != "stopped: context canceled; the change is done and on probation, and the next start goes on with that" {
				t.Errorf("says %v", err)
			}
		}
	})
}

// What is told to stop before the checks is not undone for that.
func TestStopBeforeProbation(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := proving(t, func(ctx context.Context, _ james.PollRequest) error { return ctx.Err() })
		ctx, cancel := context.WithCancel(context.Background())
		d.installer.during = func(ctx context.Context) {
			cancel()
			synctest.Wait()
			if ctx.Err() != nil {
				t.Error("stopped in the middle of the change")
			}
		}
		d.installer.check = synctest.Wait
		d.boot().Run(ctx)
		if d.installer.left == nil || len(d.server.reports) != 0 {
			t.Errorf("reports are %+v", d.server.reports)
		}
	})
}
