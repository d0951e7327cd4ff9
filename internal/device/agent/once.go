package agent

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/trusch/jamesd/pkg/james"
)

// maxPlans is how many plans Once carries out at most: each was the last one
// when it began.
const maxPlans = 5

// PlanError is a plan that was tried and failed.
type PlanError struct{ Report james.Report }

// Error returns what failed and where, what became of the device, and the end of
// a script's output.
func (e *PlanError) Error() string {
	r := e.Report
	text := r.Summary()
	if out := strings.TrimSpace(r.Output); out != "" {
		text += "\n" + out
	}
	return text
}

// Undone reports whether the device was changed and is as it was before.
func (e *PlanError) Undone() bool { return e.Report.Result == james.RolledBack }

// Once polls, carries out what the server asks for, and polls again to see that
// the device is in the desired state; without one it is. A plan that is known to
// fail is tried all the same: whoever calls Once wants it now. It fails with a
// *PlanError where a plan failed, with KindConflict where the desired state
// cannot be resolved or a window is closed, and otherwise as Server does.
func (a *Agent) Once(ctx context.Context) error {
	defer a.halt()
	if err := a.settle(ctx); err != nil {
		return err
	}
	for range maxPlans {
		if err := a.deliver(ctx); err != nil {
			return err
		}
		a.verify(ctx)
		answer, err := a.poll(ctx, try{}, 0)
		if err != nil {
			return err
		}
		plan := answer.Plan
		switch {
		case plan == nil || plan.Empty():
			a.idle(answer, try{})
			return nil
		case len(plan.Steps) == 0:
			return unresolved(plan)
		}
		report, err := a.carryOut(ctx, plan)
		switch {
		case err != nil:
			return err
		case report.Result != james.Committed:
			return errors.Join(&PlanError{*report}, a.deliver(ctx))
		}
	}
	return james.Errorf(james.KindConflict, "desired state", "it changes faster than it can be carried out")
}

// carryOut fetches what the plan needs and has it applied. It fails where it has to
// wait for a time at which it may be, once all is done that may be done now.
func (a *Agent) carryOut(ctx context.Context, plan *james.Plan) (*james.Report, error) {
	a.take(plan)
	for j := a.job; ; {
		w := a.waits(j)
		switch {
		case ctx.Err() != nil:
			return nil, james.Errorf(james.KindInterrupted, "", "stopped before anything was changed: %w", context.Cause(ctx))
		case a.busy() && j.fetching.over():
			if err := a.collect(); err != nil && ctx.Err() == nil {
				return a.failed(err), nil
			}
		case w != nil:
			return nil, a.notNow(ctx, w)
		case j.ready:
			a.job = nil
			return a.attempt(ctx, plan)
		case !a.busy():
			a.begin(ctx)
		default:
			_ = a.await(ctx, max(time.Second, min(a.untilTurn(), glance))) // looked at above
		}
	}
}

// notNow tells the server, and returns as an error, what the plan waits for.
func (a *Agent) notNow(ctx context.Context, w *james.Waiting) error {
	a.halt()
	a.wait(w)
	_, err := a.poll(ctx, try{w.Plan, w.Revision}, 0)
	waits := james.Errorf(james.KindConflict, fmt.Sprintf("revision %d", w.Revision), "is %s", w).
		WithHint("run it again then; \"urgent: true\", \"download: now\" and \"apply: now\" in the desired state win over the settings of the device")
	return errors.Join(waits, err)
}

// unresolved returns a plan's problems as one error.
func unresolved(plan *james.Plan) error {
	var list []string
	for _, p := range plan.Problems {
		list = append(list, fmt.Sprintf("%s is %s: %s", p.App, p.Kind, p.Detail))
	}
	return james.Errorf(james.KindConflict, fmt.Sprintf("revision %d", plan.Revision), "%s", strings.Join(list, "; "))
}
