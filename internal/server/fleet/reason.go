package fleet

import (
	"fmt"
	"strings"
	"time"

	"github.com/trusch/jamesd/pkg/james"
)

// condition says in a word how a device stands. What needs somebody to act comes
// first: a transaction that failed, apps that cannot be resolved, and only then how far
// the device is with it, or what it waits for. plan is nil for a device that has no
// desired state or never polled, p where it is not known to be at it.
func condition(d *device, plan *james.Plan, p *james.Progress) james.Condition {
	if d.reported == nil {
		return james.ConditionNeverPolled
	}
	last := d.reported.Report
	switch {
	case last != nil && last.Result == james.Broken:
		return james.ConditionBroken
	case plan == nil:
		return james.ConditionUnmanaged
	case plan.Empty():
		return james.ConditionInSync
	case last != nil && last.Result != james.Committed && last.Plan == plan.ID && last.Revision == plan.Revision:
		return james.ConditionFailed
	case len(plan.Problems) > 0:
		return james.ConditionUnresolved
	case p != nil:
		return james.ConditionWorking
	case d.waits(plan) != nil:
		return james.ConditionWaiting
	}
	return james.ConditionPending
}

// reason says in a sentence why a device is not what it should be, "" where it
// is. The arguments are those of condition, and what that says.
func reason(d *device, plan *james.Plan, p *james.Progress, c james.Condition) string {
	switch c {
	case james.ConditionNeverPolled:
		return "has never polled"
	case james.ConditionBroken:
		last := d.reported.Report
		return "the last transaction failed and could not be undone, somebody must look at the device: " + last.Cause() + retry(last)
	case james.ConditionFailed:
		return failed(d.reported.Report, plan) + doing(d, plan, p, "; ")
	case james.ConditionUnresolved:
		return problems(plan.Problems) + doing(d, plan, p, "; ")
	case james.ConditionWorking, james.ConditionWaiting:
		return doing(d, plan, p, "") + ": " + stepsText(plan.Steps)
	case james.ConditionPending:
		return "not yet applied: " + stepsText(plan.Steps)
	}
	return ""
}

// doing says after before what the device does with the plan or waits for, if that is
// known.
func doing(d *device, plan *james.Plan, p *james.Progress, before string) string {
	if p != nil {
		return before + p.String()
	}
	if w := d.waits(plan); w != nil {
		return before + w.String()
	}
	return ""
}

func failed(r *james.Report, plan *james.Plan) string {
	what, why := stepsText(plan.Steps), r.Cause()
	if _, cause, ok := strings.Cut(why, ": "); ok && len(plan.Steps) == 1 && strings.HasPrefix(why, "cannot ") {
		why = cause // which step it was has been said
	}
	if r.Result == james.Refused {
		return fmt.Sprintf("%s was refused: %s; nothing was changed%s", what, why, retry(r))
	}
	return fmt.Sprintf("%s failed: %s; the old state is back%s", what, why, retry(r))
}

func retry(r *james.Report) string {
	var out string
	if r.Attempts > 1 {
		out = fmt.Sprintf("; %d tries so far", r.Attempts)
	}
	if !r.RetryAt.IsZero() {
		out += "; next try at " + r.RetryAt.UTC().Format(time.DateTime) + " UTC"
	}
	return out
}

// problems names the first one.
func problems(list []james.Problem) string {
	out := fmt.Sprintf("%s is %s: %s", list[0].App.Name, list[0].Kind, list[0].Detail)
	if more := len(list) - 1; more > 0 {
		out += fmt.Sprintf("; and so are %d more", more)
	}
	return out
}

// maxSteps bounds how many steps a text names.
const maxSteps = 3

// stepsText names what a plan does: "upgrade openvpn v0.9.9 -> v1.0.0".
func stepsText(steps []james.Step) string {
	var out []string
	for i := range steps {
		if i == maxSteps && len(steps) > maxSteps+1 {
			out = append(out, fmt.Sprintf("and %d more", len(steps)-maxSteps))
			break
		}
		out = append(out, stepText(&steps[i]))
	}
	return strings.Join(out, ", ")
}

func stepText(s *james.Step) string {
	head := string(s.Action()) + " " + s.Name()
	switch {
	case s.New == nil && s.Purge:
		return head + " with its configuration"
	case s.New == nil:
		return head
	case s.Old == nil:
		return strings.TrimSpace(head + " " + s.New.Tags.String())
	case s.Old.Tags.Equal(s.New.Tags):
		return head + " to other content of the same tags"
	}
	return fmt.Sprintf("%s %s -> %s", head, tagsText(s.Old.Tags.Minus(s.New.Tags)), tagsText(s.New.Tags.Minus(s.Old.Tags)))
}

// tagsText returns the tags, or a word where there are none.
func tagsText(tags james.TagSet) string {
	if tags.IsZero() {
		return "(none)"
	}
	return tags.String()
}
