package resolve

import (
	"cmp"
	"slices"

	"github.com/trusch/jamesd/pkg/james"
)

// Plan returns what a device with those system tags and installed apps has to
// do to get into the desired state. The removals come first, sorted by name;
// then what is installed or upgraded, in the desired state's order. A removal of
// an app that the desired state names to be purged says so. The plan has the
// desired state's schedule.
//
// An app that has a problem makes no step, and what is installed of its name
// stays. Without a desired state, or with one that was unset, the device is left
// alone. Names are unique in installed and in the desired state. A plan without
// steps and problems costs at most one small allocation where installed is
// sorted by name.
func Plan(c *Catalogue, installed []james.App, desired *james.Desired, system james.TagSet) james.Plan {
	if desired == nil {
		return james.Plan{}
	}
	if desired.Unset {
		return james.NewPlan(desired.Revision, nil, nil)
	}
	has := byName(installed)
	steps := removals(has, desired)
	var problems []james.Problem
	for _, app := range desired.Apps {
		packet, problem := Find(c, app, system)
		if problem != nil {
			problems = append(problems, *problem)
			continue
		}
		i, ok := find(has, app.Name)
		switch {
		case !ok:
			steps = append(steps, james.Step{New: packet})
		case has[i].Digest != packet.Digest:
			steps = append(steps, james.Step{Old: clone(has[i]), New: packet})
		}
	}
	plan := james.NewPlan(desired.Revision, steps, problems)
	if !plan.Empty() {
		plan.Schedule = desired.Schedule
	}
	return plan
}

// removals returns the steps for the installed apps that nobody wants; has is
// sorted by name.
func removals(has []james.App, desired *james.Desired) []james.Step {
	wanted := desired.Apps
	keep := make([]bool, len(has))
	kept := 0
	for i := range wanted {
		if j, ok := find(has, wanted[i].Name); ok && !keep[j] {
			keep[j] = true
			kept++
		}
	}
	if kept == len(has) {
		return nil
	}
	steps := make([]james.Step, 0, len(has)-kept+len(wanted))
	for i, wanted := range keep {
		if !wanted {
			steps = append(steps, james.Step{Old: clone(has[i]), Purge: slices.Contains(desired.Purge, has[i].Name)})
		}
	}
	return steps
}

func clone(a james.App) *james.App { return &a }

// byName returns the apps sorted by name; it copies them only where they are not.
func byName(apps []james.App) []james.App {
	order := func(a, b james.App) int { return cmp.Compare(a.Name, b.Name) }
	if slices.IsSortedFunc(apps, order) {
		return apps
	}
	return slices.SortedFunc(slices.Values(apps), order)
}

// find returns the place of the app of that name among apps sorted by name.
func find(apps []james.App, name string) (int, bool) {
	return slices.BinarySearchFunc(apps, name, func(a james.App, name string) int { return cmp.Compare(a.Name, name) })
}
