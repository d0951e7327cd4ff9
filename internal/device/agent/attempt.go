package agent

import (
	"context"
	"errors"
	"runtime/debug"
	"slices"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/trusch/jamesd/internal/backoff"
	"github.com/trusch/jamesd/internal/device/txn"
	"github.com/trusch/jamesd/pkg/james"
)

// settle ends the transaction that a crash interrupted, before anything else is
// done.
func (a *Agent) settle(ctx context.Context) error {
	if a.settled && !a.o.Installer.Unfinished() {
		return nil
	}
	a.settled = false
	a.verifySoon()
	a.sup.loop.expect(a.o.StepLimit)
	guarded, release := a.guard(ctx)
	defer release()
	_ = a.commit() // an interrupted transaction is ended before the agent is
	report, err := a.o.Installer.Recover(guarded)
	if err != nil {
		return err
	}
	a.settled = true
	a.fetch.Settled()
	if report == nil {
		report = a.unreported()
	}
	if report != nil {
		a.tags = a.o.Tags()
		a.conclude(report)
		return nil
	}
	if apps := a.o.Installer.Apps(); !slices.EqualFunc(apps, a.memory.Apps, sameApp) {
		a.memory.Apps = apps
		a.remember()
	}
	return nil
}

// unreported returns the report of a plan that was committed and ended when the
// agent stopped, before it had noted that.
func (a *Agent) unreported() *james.Report {
	report, n := a.o.Installer.Committed()
	if n == a.memory.Committed {
		return nil
	}
	return report
}

func sameApp(a, b james.App) bool { return a.Name == b.Name && a.Digest == b.Digest }

// unsettled waits before it is tried again to recover.
func (a *Agent) unsettled(ctx context.Context, err error) time.Duration {
	if ctx.Err() != nil {
		a.o.Log.WithError(err).Info("an interrupted transaction is left to the next start")
		return 0
	}
	a.sup.status("an interrupted transaction cannot be ended: %v", err)
	a.o.Log.WithError(err).Error("an interrupted transaction cannot be ended, trying again")
	return a.o.RetryFirst
}

// mayTry reports whether the plan is to be carried out now: not while it is
// known to fail.
func (a *Agent) mayTry(plan *james.Plan) bool {
	return a.memory.attempts(try{plan.ID, plan.Revision}) == 0 || a.memory.Failure.wait(a.o.Now(), a.o.RetryLimit) == 0
}

// attempt applies a plan whose contents are there and remembers how that went. It
// fails when ctx ended it before anything was changed or when all was and had to
// prove itself.
func (a *Agent) attempt(ctx context.Context, plan *james.Plan) (*james.Report, error) {
	a.limit = a.limitOf(plan)
	a.sup.loop.expect(a.limit)
	told := a.announce(ctx, plan, james.Applying)
	report, err := a.apply(ctx, plan)
	told.end()
	if err != nil {
		return nil, err
	}
	if ctx.Err() != nil && report.Result == james.Refused && report.Kind == james.KindInterrupted {
		return nil, james.Errorf(james.KindInterrupted, "", "stopped before anything was changed: %w", context.Cause(ctx))
	}
	a.conclude(report)
	debug.FreeOSMemory() // a big manifest must not stay resident for days
	return report, nil
}

// apply has the plan applied; a plan whose repetition shows that it has no effect
// is not. The error is txn.ErrOnProbation.
func (a *Agent) apply(ctx context.Context, plan *james.Plan) (*james.Report, error) {
	started := a.o.Now()
	failed := func(result james.Result, err error) *james.Report {
		return &james.Report{Plan: plan.ID, Revision: plan.Revision, Result: result, Error: err.Error(), Kind: james.KindOf(err),
			Started: started.UTC(), Ended: a.o.Now().UTC()}
	}
	if a.done == (try{plan.ID, plan.Revision}) {
		return failed(james.Refused, james.Errorf(james.KindConflict, "plan", "it was just carried out, and the server asks for it again")), nil
	}
	ctx, release := a.guard(ctx)
	defer release()
	report, err := a.o.Installer.Apply(ctx, plan, a.fetch)
	if err != nil {
		a.settled = false
		if errors.Is(err, txn.ErrOnProbation) {
			return nil, err
		}
		return failed(james.Broken, err), nil
	}
	a.tags = a.o.Tags()
	return report, nil
}

// guard returns a context that ends with ctx, but not between commit and yield:
// what has begun to change the device is finished.
func (a *Agent) guard(ctx context.Context) (guarded context.Context, release func()) {
	guarded, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	attach := func() func() bool { return context.AfterFunc(ctx, func() { cancel(stopped(ctx)) }) }
	detach := attach()
	a.commit = func() error {
		if !detach() {
			return stopped(ctx)
		}
		return nil
	}
	a.yield = func() { detach = attach() }
	return guarded, func() { detach(); cancel(nil) }
}

// stopped returns why the agent is to stop; the cause of a context need not have
// a kind.
func stopped(ctx context.Context) error {
	return james.Errorf(james.KindInterrupted, "", "stopped: %w", context.Cause(ctx))
}

// BeforeApply is to be called when a plan is staged and nothing is changed yet;
// it fits txn.Options.BeforeApply. It refuses a plan that would replace the agent
// by one that does not run here, and one that comes too late as the agent is to
// stop; after it the plan is carried out to its end.
func (a *Agent) BeforeApply(ctx context.Context, plan *james.Plan, staged func(james.Path) (file string, ok bool)) error {
	if a.o.Self != nil {
		if err := a.o.Self.check(ctx, staged); err != nil {
			return err
		}
	}
	a.sup.status("applying revision %d", plan.Revision)
	return a.commit()
}

// conclude remembers how a plan ended, and when it is tried again if it failed.
func (a *Agent) conclude(report *james.Report) {
	report.Attempts = a.memory.attempts(try{report.Plan, report.Revision}) + 1
	if report.Result == james.Committed {
		a.memory.Failure, a.memory.Revision = nil, report.Revision
		a.done = try{report.Plan, report.Revision}
		a.fetch.Begin(nil)
	} else {
		wait := a.pause(report)
		report.RetryAt = a.o.Now().Add(wait).UTC()
		a.memory.Failure = &Failure{Plan: report.Plan, Revision: report.Revision, Attempts: report.Attempts, RetryAt: report.RetryAt}
	}
	a.verifySoon()
	a.memory.Waiting = nil
	a.memory.Apps = a.o.Installer.Apps()
	_, a.memory.Committed = a.o.Installer.Committed()
	a.memory.add(report)
	a.remember()
	a.tell(report)
}

// pause returns how long a failed plan is not tried again. What failed for the
// want of a server is tried again as often as one that does not answer; what only
// a crash cut off, at once the first time, as that was most likely the power.
func (a *Agent) pause(r *james.Report) time.Duration {
	switch {
	case r.Result == james.Refused && a.fetch.Unreachable():
		return backoff.Backoff{First: a.o.RetryFirst, Limit: min(a.o.RetryLimit, backoff.LinkLimit), Rand: a.o.Rand}.After(r.Attempts)
	case r.Recovered && r.Result != james.Broken && r.Kind == james.KindInterrupted:
		if r.Attempts == 1 {
			return 0
		}
		return a.retry.After(r.Attempts - 1)
	}
	return a.retry.After(r.Attempts)
}

// tell logs how a plan ended.
func (a *Agent) tell(r *james.Report) {
	log := a.o.Log.WithFields(logrus.Fields{"plan": r.Plan.Short(), "revision": r.Revision, "result": r.Result, "took": r.Ended.Sub(r.Started).Round(time.Millisecond)})
	if r.Recovered {
		log = log.WithField("recovered", true)
	}
	if r.Result == james.Committed {
		a.sup.status("as desired, revision %d", r.Revision)
		log.Info("plan carried out")
		return
	}
	a.sup.status("revision %d failed: %s", r.Revision, r.Error)
	log = log.WithFields(logrus.Fields{"error": r.Error, "kind": r.Kind, "attempt": r.Attempts, "retry_at": r.RetryAt.Format(time.RFC3339)})
	if r.App != "" {
		log = log.WithField("app", r.App)
	}
	if r.Script != "" {
		log = log.WithFields(logrus.Fields{"script": r.Script, "output": r.Output})
	}
	log.Warn("plan failed")
}
