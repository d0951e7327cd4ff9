package agent

import (
	"context"
	"errors"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/trusch/jamesd/internal/device/txn"
	"github.com/trusch/jamesd/pkg/james"
)

// job is the plan that the agent is at, from when it gets it until it begins to
// apply it. The loop has it, and goes on polling meanwhile.
type job struct {
	plan  *james.Plan
	begun time.Time
	// ready says that all contents of the plan are there.
	ready bool
	// fetching is what fetches them; nil while nothing does.
	fetching *fetching
}

// fetching is one go at the contents of a plan, by a goroutine of its own.
type fetching struct {
	stop context.CancelCauseFunc
	done chan struct{} // closed at the end
	err  error         // is read after that
}

// over reports whether the goroutine has ended.
func (f *fetching) over() bool {
	select {
	case <-f.done:
		return true
	default:
		return false
	}
}

// early is how long the loop waits for contents before it polls beside them. What
// is there by then takes no second connection.
const early = 5 * time.Second

// errAside is why a go is stopped that may be taken up again.
var errAside = errors.New("the plan was put aside")

// busy reports whether contents are being fetched.
func (a *Agent) busy() bool { return a.job != nil && a.job.fetching != nil }

// take makes plan the one that the agent is at. It reports whether that is news.
// Only its schedule can be, where its steps are those of the job: then what is under
// way goes on.
func (a *Agent) take(plan *james.Plan) bool {
	if j := a.job; j != nil && j.plan.ID == plan.ID {
		news := j.plan.Revision != plan.Revision
		j.plan = plan
		if t := a.teller.Load(); t != nil {
			t.rename(plan)
		}
		return news
	}
	a.drop("another plan is wanted")
	a.job = a.newJob(plan)
	return true
}

// newJob returns the job of a plan. Its contents are there where they were before
// the agent was started anew, and where it brings nothing.
func (a *Agent) newJob(plan *james.Plan) *job {
	a.stuck = try{}
	w := a.memory.Waiting
	fetched := w != nil && w.For == james.WaitApply && w.Plan == plan.ID
	a.o.Log.WithFields(logrus.Fields{"plan": plan.ID.Short(), "revision": plan.Revision, "steps": len(plan.Steps),
		"request": a.polled, "attempt": a.memory.attempts(try{plan.ID, plan.Revision}) + 1}).Info("carrying out a plan")
	return &job{plan: plan, begun: a.o.Now(), ready: fetched || !brings(plan)}
}

// brings reports whether a plan installs anything.
func brings(plan *james.Plan) bool {
	for i := range plan.Steps {
		if plan.Steps[i].New != nil {
			return true
		}
	}
	return false
}

// drop gives the job up. What was fetched for it stays.
func (a *Agent) drop(why string) {
	j := a.job
	if j == nil {
		return
	}
	a.halt()
	a.job = nil
	a.wait(nil)
	a.o.Log.WithFields(logrus.Fields{"plan": j.plan.ID.Short(), "revision": j.plan.Revision}).Info("the plan is left: " + why)
}

// halt stops fetching, and returns when nothing is fetched any more.
func (a *Agent) halt() {
	if !a.busy() {
		return
	}
	a.job.fetching.stop(errAside)
	<-a.job.fetching.done
	a.away()
}

// away notes that nothing is fetched any more.
func (a *Agent) away() {
	a.job.fetching = nil
	a.beside.Store(false)
	a.sup.fetch.keep()
}

// work moves the job on as far as it can be now. It reports whether the plan has
// come to its end.
func (a *Agent) work(ctx context.Context) (ended bool) {
	for a.job != nil && ctx.Err() == nil {
		if a.busy() && a.job.fetching.over() {
			if err := a.collect(); err != nil && ctx.Err() == nil {
				a.failed(err)
				return true
			}
			continue
		}
		wait := a.waits(a.job)
		switch {
		case wait != nil:
			a.halt()
			a.wait(wait)
			return false
		case a.busy():
			return false
		case a.job.ready:
			a.finish(ctx)
			return true
		}
		a.begin(ctx)
		_ = a.await(ctx, early) // of no matter which end
		if !a.job.fetching.over() {
			return false
		}
	}
	return false
}

// begin has the contents fetched.
func (a *Agent) begin(ctx context.Context) {
	j := a.job
	a.wait(nil)
	a.sup.status("carrying out revision %d", j.plan.Revision)
	a.limit = a.limitOf(j.plan)
	a.beside.Store(true)
	a.metered.Store(a.isMetered())
	a.fetch.Begin(j.plan)
	a.expect(0)
	ctx, stop := context.WithCancelCause(ctx)
	f := &fetching{stop: stop, done: make(chan struct{})}
	j.fetching = f
	told := a.announce(ctx, j.plan, james.Downloading)
	plan := j.plan
	go func() {
		defer close(f.done)
		defer told.end()
		defer stop(nil)
		f.err = a.o.Installer.Prefetch(ctx, plan, a.fetch)
	}()
}

// collect takes over how fetching has ended.
func (a *Agent) collect() error {
	f := a.job.fetching
	a.away()
	a.job.ready = f.err == nil
	return f.err
}

// await waits until contents are fetched, or d is over. It fails when ctx is done.
func (a *Agent) await(ctx context.Context, d time.Duration) error {
	a.sup.loop.expect(d + grace)
	t := time.NewTimer(d)
	defer t.Stop()
	var done chan struct{}
	if a.busy() {
		done = a.job.fetching.done
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-done:
	case <-t.C:
	}
	return nil
}

// limitOf returns how long the installer may take for a plan at most, apart from waiting
// for contents.
func (a *Agent) limitOf(plan *james.Plan) time.Duration {
	return time.Duration(len(plan.Steps)) * a.o.StepLimit
}

// finish has the plan applied, for which all is there.
func (a *Agent) finish(ctx context.Context) {
	plan := a.job.plan
	a.job = nil
	if _, err := a.attempt(ctx, plan); err != nil {
		a.o.Log.WithError(err).Info("the plan is left")
	}
}

// failed ends the job whose contents could not be had.
func (a *Agent) failed(err error) *james.Report {
	j := a.job
	a.job = nil
	var refused *txn.Refusal
	if errors.As(err, &refused) {
		r := *refused.Report
		r.Revision = j.plan.Revision
		a.conclude(&r)
		return &r
	}
	a.settled = false // a transaction of before is in the way
	r := &james.Report{Plan: j.plan.ID, Revision: j.plan.Revision, Result: james.Broken, Error: err.Error(), Kind: james.KindOf(err),
		Started: j.begun.UTC(), Ended: a.o.Now().UTC()}
	a.conclude(r)
	return r
}

// expect says after which time at most there will be another sign of whatever
// fetches contents; after that the installer has its own time.
func (a *Agent) expect(d time.Duration) {
	if a.beside.Load() {
		a.sup.fetch.expect(d + a.limit)
	} else {
		a.sup.loop.expect(d + a.limit)
	}
}

// untilFetched returns a context that also ends when contents are fetched.
func (a *Agent) untilFetched(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	if !a.busy() {
		return ctx, cancel
	}
	done := a.job.fetching.done
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		select {
		case <-done:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(); <-gone }
}

// fetched notes how much of the contents is there, in bytes.
func (a *Agent) fetched(have, total int64) {
	if t := a.teller.Load(); t != nil {
		t.set(have, total)
	}
}
