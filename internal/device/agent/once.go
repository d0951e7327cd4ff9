package agent

import (
	"context"
	"errors"
	"fmt"
	"strings"

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
// cannot be resolved, and otherwise as Server does.
func (a *Agent) Once(ctx context.Context) error {
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
		report, err := a.attempt(ctx, plan)
		switch {
		case err != nil:
			return err
		case report.Result != james.Committed:
			return errors.Join(&PlanError{*report}, a.deliver(ctx))
		}
	}
	return james.Errorf(james.KindConflict, "desired state", "it changes faster than it can be carried out")
}

// unresolved returns a plan's problems as one error.
func unresolved(plan *james.Plan) error {
	var list []string
	for _, p := range plan.Problems {
		list = append(list, fmt.Sprintf("%s is %s: %s", p.App, p.Kind, p.Detail))
	}
	return james.Errorf(james.KindConflict, fmt.Sprintf("revision %d", plan.Revision), "%s", strings.Join(list, "; "))
}
