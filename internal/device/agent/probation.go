package agent

import (
	"context"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/trusch/jamesd/internal/backoff"
	"github.com/trusch/jamesd/pkg/james"
)

// reachFirst and reachLimit bound the delay between two tries to reach the server
// after a change.
const reachFirst, reachLimit = 500 * time.Millisecond, 10 * time.Second

// OnProbation is to be called when a change is done and has to prove itself; it
// fits txn.Options.OnProbation. From here on the agent can stop: what is on
// probation stays so until the next start.
func (a *Agent) OnProbation(plan *james.Plan, checks time.Duration) {
	a.sup.loop.expect(checks + a.o.Probation + max(a.limit, a.o.StepLimit))
	a.sup.status("revision %d is on probation", plan.Revision)
	a.o.Log.WithFields(logrus.Fields{"plan": plan.ID.Short(), "revision": plan.Revision}).Info("the change is on probation")
	a.yield()
}

// Confirm fits txn.Options.Confirm, for an agent with Options.Probation: it
// fails, with KindUnavailable, unless the server is reached in that time, as a
// device that cannot be reached any more cannot be helped.
func (a *Agent) Confirm(ctx context.Context, plan *james.Plan) error {
	limited, cancel := context.WithTimeoutCause(ctx, a.o.Probation,
		james.Errorf(james.KindUnavailable, "server", "no answer within %s", a.o.Probation))
	defer cancel()
	pause := backoff.Backoff{First: reachFirst, Limit: reachLimit, Rand: a.o.Rand}
	log := a.o.Log.WithFields(logrus.Fields{"plan": plan.ID.Short(), "revision": plan.Revision})
	var last error
	for n := 1; ; n++ {
		err := a.reach(limited, plan)
		if err == nil {
			log.WithField("try", n).Info("the server is reached after the change")
			return nil
		}
		if last == nil || limited.Err() == nil {
			last = err
		}
		log.WithError(last).WithField("try", n).Warn("the server is not reached after the change")
		if backoff.Sleep(limited, pause.After(n)) == nil {
			continue
		}
		if ctx.Err() != nil {
			return stopped(ctx)
		}
		return james.Errorf(james.KindUnavailable, "server", "was not reached over a new connection within %s of the change: %w", a.o.Probation, last)
	}
}

// reach polls without wanting anything: whatever the server answers, it is there
// and knows the device.
func (a *Agent) reach(ctx context.Context, plan *james.Plan) error {
	report := a.report()
	return a.o.Reach(ctx, james.PollRequest{Same: report.Digest(), Known: plan.ID, KnownRevision: plan.Revision})
}
