package fleet

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/trusch/jamesd/internal/resolve"
	"github.com/trusch/jamesd/internal/server/store"
	"github.com/trusch/jamesd/pkg/james"
)

// MaxDesired bounds the apps of a desired state, in bytes of JSON, so that a row
// with its history stays within what stores take.
const MaxDesired = store.MaxRow / (james.MaxHistory + 2)

// Desired returns the device's desired state with its history. It fails with
// james.KindNotFound where there is none.
func (f *Fleet) Desired(ctx context.Context, id string) (james.Desired, error) {
	if err := james.CheckDeviceID(id); err != nil {
		return james.Desired{}, err
	}
	d, err := f.o.Store.Desired().Get(ctx, id)
	if james.KindOf(err) == james.KindNotFound || err == nil && d.Unset {
		return james.Desired{}, noDesired(id)
	}
	return d, err
}

func noDesired(id string) error {
	return james.Errorf(james.KindNotFound, "device "+id, "has no desired state")
}

// SetDesired makes the apps of req.State what the device is to have, its names to
// purge those that go with their configuration files, and its schedule the one of
// the plans to come; its system tags are a description and change nothing. A state
// that the device has already keeps its revision.
//
// It fails with james.KindInvalid for a malformed state, and unless req.Force is
// set with james.KindNotFound for a device that has never polled, and with
// james.KindInvalid or james.KindConflict where an app has no packet or several.
func (f *Fleet) SetDesired(ctx context.Context, by string, req james.SetDesiredRequest) (james.SetDesiredResponse, error) {
	apps, err := wantedApps(&req.State)
	if err != nil {
		return james.SetDesiredResponse{}, err
	}
	purge := sortedUnique(req.State.Purge)
	if err := f.refresh(ctx); err != nil { // what is wanted may be new, from another jamesd
		return james.SetDesiredResponse{}, err
	}
	id := req.State.ID
	warnings, err := f.examine(&req.State, req.Force)
	if err != nil {
		return james.SetDesiredResponse{}, err
	}
	resp := james.SetDesiredResponse{Warnings: warnings}
	saved, err := f.saveDesired(ctx, id, func(old *james.Desired) (*james.Desired, error) {
		resp.Changed = old == nil || old.Unset || !sameApps(old.Apps, apps) || !slices.Equal(old.Purge, purge) || old.Schedule != req.State.Schedule
		if !resp.Changed {
			return old, nil
		}
		next := old.Next(id, apps, by, f.now())
		next.Purge, next.Schedule = purge, req.State.Schedule
		return next, nil
	})
	if err != nil {
		return james.SetDesiredResponse{}, err
	}
	resp.Desired = *saved
	if resp.Changed {
		f.event(ctx, james.Event{Kind: james.EventDesiredSet, Actor: by, Device: id,
			Text: fmt.Sprintf("revision %d of the desired state of %s was set: %s%s%s", saved.Revision, id, appsText(apps), purgeText(purge), scheduleText(saved.Schedule))})
	}
	return resp, nil
}

// wantedApps returns the apps of a valid state, without the digests that only
// installed apps have.
func wantedApps(state *james.State) ([]james.App, error) {
	if err := state.Validate(); err != nil {
		return nil, err
	}
	apps := make([]james.App, len(state.Apps))
	for i, a := range state.Apps {
		apps[i] = james.App{Name: a.Name, Tags: a.Tags}
	}
	raw, err := json.Marshal([]any{apps, state.Purge})
	if err != nil {
		return nil, james.Errorf(james.KindInternal, "desired state of "+state.ID, "%w", err)
	}
	if len(raw) > MaxDesired {
		return nil, james.Errorf(james.KindInvalid, "desired state of "+state.ID, "has %d bytes, the limit is %d", len(raw), MaxDesired)
	}
	return apps, nil
}

// examine returns what an operator should know of a state before it is stored,
// or the reason not to store it.
func (f *Fleet) examine(state *james.State, force bool) (warnings []string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	tags := state.SystemTags
	if d := f.cat.devices[state.ID]; d != nil && d.reported != nil {
		if tags = d.systemTags(); !state.SystemTags.IsZero() && !tags.Equal(state.SystemTags) {
			warnings = append(warnings, fmt.Sprintf("%s reports the system tags %s; those of the state (%s) were not used",
				state.ID, tagsText(tags), state.SystemTags))
		}
	} else {
		if !force {
			return nil, james.Errorf(james.KindNotFound, "device "+state.ID, "has never polled").
				WithHint("Check the id; --force stores the state all the same, for when the device comes.")
		}
		warnings = append(warnings, state.ID+" has never polled; the state waits for it")
	}
	warnings = append(warnings, f.notThere(state)...)
	problems := f.problems(state.Apps, tags)
	if len(problems) > 0 && !force {
		return nil, refuse(state.ID, problems)
	}
	for _, p := range problems {
		warnings = append(warnings, fmt.Sprintf("%s is %s: %s", p.App.Name, p.Kind, p.Detail))
	}
	return warnings, nil
}

// notThere returns a warning for each app that is to be purged and is not
// installed on a device that has polled; Fleet.mu is held.
func (f *Fleet) notThere(state *james.State) (warnings []string) {
	d := f.cat.devices[state.ID]
	if d == nil || d.reported == nil {
		return nil
	}
	for _, name := range state.Purge {
		if !slices.ContainsFunc(d.reported.Apps, func(a james.App) bool { return a.Name == name }) {
			warnings = append(warnings, fmt.Sprintf("%s is not installed on %s, so nothing is purged; configuration files that it left are removed when it is installed once more and then purged",
				name, state.ID))
		}
	}
	return warnings
}

// problems returns those of the apps that do not resolve; Fleet.mu is held.
func (f *Fleet) problems(apps []james.App, system james.TagSet) []james.Problem {
	var out []james.Problem
	for _, app := range apps {
		if _, p := resolve.Find(&f.cat.names, app, system); p != nil {
			out = append(out, *p)
		}
	}
	return out
}

// refuse returns the problems as an error: a conflict where all are ambiguous,
// so that the operator has to choose, and invalid otherwise.
func refuse(id string, list []james.Problem) error {
	kind := james.KindConflict
	for _, p := range list {
		if p.Kind != james.Ambiguous {
			kind = james.KindInvalid
		}
	}
	return james.Errorf(kind, "desired state of "+id, "%s", problems(list)).
		WithHint("explain shows every packet and the tag that rules it out; --force stores the state all the same.")
}

// appsText names the first apps.
func appsText(apps []james.App) string {
	var names []string
	for i, a := range apps {
		if i == maxSteps && len(apps) > maxSteps+1 {
			names = append(names, fmt.Sprintf("and %d more", len(apps)-maxSteps))
			break
		}
		names = append(names, a.String())
	}
	if len(names) == 0 {
		return "nothing is to be installed"
	}
	return strings.Join(names, "; ")
}

// purgeText names the first apps that are to go with their configuration files.
func purgeText(names []string) string {
	if len(names) == 0 {
		return ""
	}
	more := ""
	if len(names) > maxSteps+1 {
		more = fmt.Sprintf(" and %d more", len(names)-maxSteps)
		names = names[:maxSteps]
	}
	return "; to be purged: " + strings.Join(names, ", ") + more
}

// scheduleText says when it may be carried out, where the desired state says so.
func scheduleText(s james.Schedule) string {
	if text := s.Describe(); text != "" {
		return "; " + text
	}
	return ""
}

// sortedUnique returns the names sorted and each once, nil for none.
func sortedUnique(names []string) []string {
	if len(names) == 0 {
		return nil
	}
	return slices.Compact(slices.Sorted(slices.Values(names)))
}

// DeleteDesired leaves the device alone from now on, as it is. It fails with
// james.KindNotFound where it has no desired state.
func (f *Fleet) DeleteDesired(ctx context.Context, by, id string) error {
	if err := james.CheckDeviceID(id); err != nil {
		return err
	}
	saved, err := f.saveDesired(ctx, id, func(old *james.Desired) (*james.Desired, error) {
		if old == nil || old.Unset {
			return nil, noDesired(id)
		}
		next := old.Next(id, nil, by, f.now())
		next.Unset = true
		return next, nil
	})
	if err != nil {
		return err
	}
	f.event(ctx, james.Event{Kind: james.EventDesiredDeleted, Actor: by, Device: id,
		Text: fmt.Sprintf("the desired state of %s was deleted, as revision %d", id, saved.Revision)})
	return nil
}

// Plan returns what the device has to do, and how each app of its desired state
// resolves. It fails with james.KindNotFound for a device that has never polled,
// as its system tags are not known.
func (f *Fleet) Plan(id string) (james.PlanResponse, error) {
	if _, err := f.reported(context.Background(), id); err != nil {
		return james.PlanResponse{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	d := f.cat.devices[id]
	if d == nil {
		return james.PlanResponse{}, neverPolled(id) // deleted since
	}
	resp := james.PlanResponse{Plan: *f.cat.planOf(d), Explanations: []james.Explanation{}}
	for _, app := range d.wanted() {
		resp.Explanations = append(resp.Explanations, resolve.Explain(&f.cat.names, app, d.systemTags()))
	}
	return resp, nil
}
