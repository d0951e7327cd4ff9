package agent

import (
	"context"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/trusch/jamesd/pkg/james"
)

// Run polls until ctx is cancelled or a plan has changed the agent's own
// executable, and returns what has become of that. A download is stopped by ctx
// at once; a transaction that has begun to change the device is finished.
func (a *Agent) Run(ctx context.Context) Fate {
	a.sup.loop.expect(a.o.StepLimit)
	defer a.halt()
	defer a.sup.feed(a.o.Watchdog)()
	a.o.Notify("READY=1")
	a.o.Log.WithFields(logrus.Fields{"systemtags": a.tags.String(), "apps": len(a.o.Installer.Apps()), "hold": a.o.Hold}).Info("polling")
	for ctx.Err() == nil {
		wait := a.round(ctx)
		if fate, _ := a.o.Self.Fate(); fate != Kept && a.mayLeave(ctx, fate) && ctx.Err() == nil {
			return fate // but not when told to stop: whoever starts jamesc again starts that one
		}
		if a.nap(ctx, wait) != nil {
			break
		}
	}
	return Kept
}

// round goes once through the loop and returns how long to wait before the next
// time.
func (a *Agent) round(ctx context.Context) time.Duration {
	started := a.o.Now()
	if err := a.settle(ctx); err != nil {
		return a.unsettled(ctx, err)
	}
	if a.work(ctx) {
		return 0
	}
	if err := a.deliver(ctx); err != nil {
		return a.lost(ctx, err)
	}
	a.verify(ctx)
	known := a.known()
	polling, polled := a.untilFetched(ctx)
	answer, err := a.poll(polling, known, a.hold())
	polled()
	switch {
	case err != nil && a.due():
		return 0
	case err != nil:
		return a.lost(ctx, err)
	}
	switch plan := answer.Plan; {
	case plan == nil || plan.Empty():
		a.idle(answer, known)
	case len(plan.Steps) == 0:
		a.drop("nothing of it can be done")
		if a.stuck != (try{plan.ID, plan.Revision}) {
			a.unsolved(plan)
			return 0
		}
	case !a.mayTry(plan):
		if a.job != nil && a.job.plan.ID != plan.ID {
			a.drop("another plan is wanted")
		}
	case a.take(plan):
		return 0
	}
	return a.rest(started)
}

// mayLeave reports whether the agent can end as its executable has changed. What
// comes after it tells the server how it went; where nothing does, it has to tell
// that itself, and what is installed then.
func (a *Agent) mayLeave(ctx context.Context, fate Fate) bool {
	err := a.deliver(ctx)
	if err == nil && fate == Removed {
		_, err = a.poll(ctx, a.known(), 0)
	}
	return err == nil || fate == Replaced
}

// lost waits for a server that does not answer.
func (a *Agent) lost(ctx context.Context, err error) time.Duration {
	if ctx.Err() != nil {
		return 0
	}
	a.sup.status("no answer from the server: %v", err)
	return a.link.lost(err)
}

// idle notes that the server has nothing for the device to do. If it was told
// which plan is known, that may mean no more than that there is no other; with
// a revision it means that the device is as it should be.
func (a *Agent) idle(answer james.PollResponse, known try) {
	if answer.Revision == 0 && known != (try{}) && !answer.Dropped {
		return
	}
	a.drop("it is not wanted any more")
	a.stuck, a.done = try{}, try{}
	a.fetch.Begin(nil)
	a.sup.status("as desired, revision %d", answer.Revision)
	if a.memory.Failure == nil && a.memory.Waiting == nil && (answer.Revision == 0 || answer.Revision == a.memory.Revision) {
		return
	}
	a.memory.Failure, a.memory.Waiting = nil, nil
	if answer.Revision != 0 {
		a.memory.Revision = answer.Revision
	}
	a.remember()
	a.o.Log.WithField("revision", a.memory.Revision).Info("as desired")
}

// unsolved notes a plan that nothing can be done about.
func (a *Agent) unsolved(plan *james.Plan) {
	a.stuck = try{plan.ID, plan.Revision}
	a.sup.status("revision %d cannot be resolved: %s", plan.Revision, plan.Problems[0].Detail)
	for _, p := range plan.Problems {
		a.o.Log.WithFields(logrus.Fields{"revision": plan.Revision, "app": p.App.String(), "kind": p.Kind, "detail": p.Detail}).Warn("nothing can be done for an app")
	}
}

// known returns the plan that the server need not send again now.
func (a *Agent) known() try {
	if j := a.job; j != nil {
		return try{j.plan.ID, j.plan.Revision}
	}
	if f := a.memory.Failure; f.wait(a.o.Now(), a.o.RetryLimit) > 0 {
		return try{f.Plan, f.Revision}
	}
	return a.stuck
}

// hold returns how long the next poll may be held, in whole seconds: not beyond
// the interval nor the time at which a window opens or closes, a failed plan is due,
// or the next look at the installed files.
func (a *Agent) hold() time.Duration {
	interval := a.interval
	if !a.turn.IsZero() {
		interval += a.interval/4 + time.Second // the server ends it at the device's turn
	}
	d := min(a.o.Hold, interval, james.MaxWait, a.untilVerify(), a.untilTurn())
	if due := a.memory.Failure.wait(a.o.Now(), a.o.RetryLimit); due > 0 && a.job == nil {
		d = min(d, due)
	}
	return (d + time.Second - 1).Truncate(time.Second)
}

// leastRound is the least time between the starts of two polls that found nothing to
// do, whatever the server says.
const leastRound = time.Second

// rest returns how long to wait until the next poll is due, a failed plan, or the
// next look at the installed files.
func (a *Agent) rest(started time.Time) time.Duration {
	now := a.o.Now()
	d := a.interval - now.Sub(started)
	if !a.turn.IsZero() {
		d = max(a.turn.Sub(now), leastRound-now.Sub(started))
	}
	d = min(d, a.untilVerify())
	if due := a.memory.Failure.wait(a.o.Now(), a.o.RetryLimit); due > 0 && a.job == nil {
		d = min(d, due)
	}
	return max(d, 0)
}

// glance is how often somebody who waits for a window looks at the clock, which may
// be set.
const glance = time.Minute

// nap waits for d, or until the job can be moved on.
func (a *Agent) nap(ctx context.Context, d time.Duration) error {
	for d > 0 && !a.due() {
		slice := d
		if a.job != nil {
			slice = max(time.Millisecond, min(d, a.untilTurn(), glance))
		}
		if err := a.await(ctx, slice); err != nil {
			return err
		}
		d -= slice
	}
	return ctx.Err()
}
