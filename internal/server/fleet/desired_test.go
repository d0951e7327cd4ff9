package fleet_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trusch/jamesd/internal/server/fleet"
	"github.com/trusch/jamesd/internal/server/store"
	"github.com/trusch/jamesd/pkg/james"
)

func TestSetDesired(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.add("a v1,s")
	w.add("b v1")
	w.poll("d1", report("s", p))
	set := func(force bool, list ...james.App) james.SetDesiredResponse {
		t.Helper()
		req := james.SetDesiredRequest{State: james.State{ID: "d1", SystemTags: james.MustTags("s"), Apps: list}, Force: force}
		return must(w.SetDesired(t.Context(), "alice", req))
	}
	first := set(false, p.App()) // as get-state prints it, digest and all
	if !first.Changed || first.Desired.Revision != 1 || first.Desired.SetBy != "alice" || len(first.Warnings) != 0 ||
		first.Desired.Apps[0].Tags.String() != "s,v1" || !first.Desired.Apps[0].Digest.IsZero() {
		t.Errorf("first: %+v", first)
	}
	if again := set(false, app("a s,v1")); again.Changed || again.Desired.Revision != 1 {
		t.Errorf("the same again: %+v", again)
	}
	second := set(false, apps("b v1", "a v1")...)
	third := set(false, apps("a v1", "b v1")...) // the order is the order of installing
	if second.Desired.Revision != 2 || third.Desired.Revision != 3 || !third.Changed {
		t.Errorf("then revisions %d and %d", second.Desired.Revision, third.Desired.Revision)
	}

	got := must(w.Desired(t.Context(), "d1"))
	if got.Revision != 3 || len(got.History) != 2 || got.History[1].Revision != 1 {
		t.Errorf("with history: %+v", got)
	}
	check(t, w.DeleteDesired(t.Context(), "bob", "d1"))
	_, err := w.Desired(t.Context(), "d1")
	wantError(t, err, james.KindNotFound, "d1")
	wantError(t, w.DeleteDesired(t.Context(), "bob", "d1"), james.KindNotFound)
	if resp := w.poll("d1", report("s", p)); resp.Plan != nil || resp.Revision != 0 {
		t.Errorf("without a desired state the device is told %+v", resp)
	}
	if last := set(false, apps("a v1", "b v1")...); !last.Changed || last.Desired.Revision != 5 {
		t.Errorf("after it was deleted: %+v", last)
	}
	want := []string{"device-seen d1 - d1", "desired-set d1 - alice", "desired-set d1 - alice", "desired-set d1 - alice",
		"desired-deleted d1 - bob", "desired-set d1 - alice"}
	if got := w.events(); !slices.Equal(got[2:], want) {
		t.Errorf("events %q, want %q", got[2:], want)
	}
}

// TestPurge has an app to be purged count as a change of the desired state.
func TestPurge(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.add("a v1"), w.add("b v1")
	w.poll("d1", report("s", a, b))
	set := func(list []james.App, purge ...string) james.SetDesiredResponse {
		t.Helper()
		return must(w.SetDesired(t.Context(), "alice", james.SetDesiredRequest{State: james.State{ID: "d1", Apps: list, Purge: purge}}))
	}
	for _, c := range []struct {
		apps     []james.App
		purge    []string
		revision uint64
		warnings int
		reason   string
	}{
		{apps("a v1"), nil, 1, 0, "not yet applied: remove b"},
		{apps("a v1"), []string{"b"}, 2, 0, "not yet applied: remove b with its configuration"},
		{apps("a v1"), []string{"b"}, 2, 0, "not yet applied: remove b with its configuration"},
		{apps("a v1"), []string{"c", "b"}, 3, 1, "not yet applied: remove b with its configuration"},
		{apps("a v1"), []string{"b", "c"}, 3, 1, "not yet applied: remove b with its configuration"},
		{apps("a v1", "b v1"), nil, 4, 0, ""},
	} {
		resp := set(c.apps, c.purge...)
		if resp.Desired.Revision != c.revision || len(resp.Warnings) != c.warnings {
			t.Errorf("purge %q: revision %d, warnings %q", c.purge, resp.Desired.Revision, resp.Warnings)
		}
		if got := w.device("d1").Reason; got != c.reason {
			t.Errorf("purge %q: reason %q, want %q", c.purge, got, c.reason)
		}
		if c.warnings > 0 && !strings.Contains(resp.Warnings[0], "c is not installed on d1") {
			t.Errorf("warnings %q", resp.Warnings)
		}
	}
	got := must(w.Desired(t.Context(), "d1"))
	if got.Purge != nil || !slices.Equal(got.History[0].Purge, []string{"b", "c"}) || !slices.Equal(got.History[1].Purge, []string{"b"}) {
		t.Errorf("the history is %+v", got.History)
	}
	_, err := w.SetDesired(t.Context(), "alice", james.SetDesiredRequest{State: james.State{ID: "d1", Apps: apps("a v1"), Purge: []string{"a"}}})
	wantError(t, err, james.KindInvalid, "a is wanted too")
	if resp, err := w.SetDesired(t.Context(), "alice", james.SetDesiredRequest{State: james.State{ID: "d9", Purge: []string{"b"}}, Force: true}); err != nil || len(resp.Warnings) != 1 {
		t.Errorf("a device that never polled: %+v, %v", resp.Warnings, err)
	}
}

// TestSchedule has a schedule count as a change of the desired state, be kept in its
// history, and arrive in the plan, also where a device knows that plan already.
func TestSchedule(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add("a v1")
	r := report("s")
	w.poll("d1", r)
	night := james.Schedule{Apply: james.MustWindow("02:00-04:00")}
	now := james.Schedule{Apply: james.OpenWindow, Urgent: true}
	for n, schedule := range []james.Schedule{{}, night, night, now} {
		resp := must(w.SetDesired(t.Context(), "alice", james.SetDesiredRequest{State: james.State{ID: "d1", Apps: apps("a v1"), Schedule: schedule}}))
		if resp.Desired.Revision != []uint64{1, 2, 2, 3}[n] || resp.Desired.Schedule != schedule {
			t.Errorf("%d: revision %d with %+v", n, resp.Desired.Revision, resp.Desired.Schedule)
		}
	}
	got := must(w.Desired(t.Context(), "d1"))
	if got.Schedule != now || got.History[0].Schedule != night || got.History[1].Schedule != (james.Schedule{}) {
		t.Errorf("the history is %+v", got)
	}
	plan := w.poll("d1", r).Plan
	if plan == nil || plan.Schedule != now {
		t.Fatalf("the plan is %+v", plan)
	}
	if known := must(w.Poll(t.Context(), "d1", james.PollRequest{Report: r, Known: plan.ID, KnownRevision: 2})); known.Plan == nil {
		t.Error("a device that knows the plan of another revision does not get the new schedule")
	}
	events := must(w.Events(t.Context(), 0, 0, 0))
	if text := events[len(events)-1].Text; !strings.HasSuffix(text, ": a v1; apply now, urgent") {
		t.Errorf("the event says %q", text)
	}
}

func TestSetDesiredRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add("a v1,s1")
	w.add("a v1,s2")
	w.add("b v1,x")
	w.poll("d1", report("s1,s2"))
	many := make([]james.App, 999)
	long := strings.Repeat("x", 120)
	for i := range many {
		many[i] = app(fmt.Sprintf("n%d %s1,%s2,%s3", i, long, long, long))
	}
	tests := []struct {
		name  string
		state james.State
		kind  james.Kind
		parts []string
	}{
		{"no id", james.State{}, james.KindInvalid, []string{"device id"}},
		{"an app twice", james.State{ID: "d1", Apps: apps("a v1", "a v2")}, james.KindInvalid, []string{"twice"}},
		{"too large", james.State{ID: "d1", Apps: many}, james.KindInvalid, []string{"limit"}},
		{"an unknown device", james.State{ID: "d9"}, james.KindNotFound, []string{"d9", "never polled", "--force"}},
		{"an unknown packet", james.State{ID: "d1", Apps: apps("c v1")}, james.KindInvalid, []string{"no packet named c", "explain", "--force"}},
		{"no packet that fits", james.State{ID: "d1", Apps: apps("b v1")}, james.KindInvalid, []string{"b v1,x", "tag x"}},
		{"several packets that fit", james.State{ID: "d1", Apps: apps("a v1")}, james.KindConflict, []string{"a is ambiguous", "s1,v1", "s2,v1"}},
		{"both", james.State{ID: "d1", Apps: apps("a v1", "b v1")}, james.KindInvalid, []string{"a is ambiguous", "1 more"}},
		{"a device described better than it is", james.State{ID: "d1", SystemTags: james.MustTags("s1,s2,x"), Apps: apps("b v1")},
			james.KindInvalid, []string{"tag x"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, err := w.SetDesired(t.Context(), "alice", james.SetDesiredRequest{State: test.state})
			wantError(t, err, test.kind, test.parts...)
			if test.state.ID != "" {
				_, err := w.Desired(t.Context(), test.state.ID)
				wantError(t, err, james.KindNotFound)
			}
		})
	}
}

func TestSetDesiredWarns(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add("a v1,s1")
	w.add("a v1,s2")
	w.poll("d1", report("s1,s2"))
	tests := []struct {
		name  string
		state james.State
		force bool
		parts []string // one per warning
	}{
		{"nothing to say", james.State{ID: "d1", SystemTags: james.MustTags("s2,s1"), Apps: apps("a v1,s1")}, false, nil},
		{"no system tags", james.State{ID: "d1", Apps: apps("a v1,s1")}, false, nil},
		{"other system tags", james.State{ID: "d1", SystemTags: james.MustTags("s1"), Apps: apps("a v1,s1")}, false, []string{"s1,s2"}},
		{"forced", james.State{ID: "d1", Apps: apps("a v1", "b")}, true, []string{"a is ambiguous", "b is unresolved"}},
		{"forced for a device that comes later", james.State{ID: "d2", SystemTags: james.MustTags("s1"), Apps: apps("a v1")}, true, []string{"never polled"}},
	}
	for _, test := range tests {
		resp, err := w.SetDesired(t.Context(), "alice", james.SetDesiredRequest{State: test.state, Force: test.force})
		if err != nil || len(resp.Warnings) != len(test.parts) {
			t.Errorf("%s: %q, %v", test.name, resp.Warnings, err)
			continue
		}
		for i, part := range test.parts {
			if !strings.Contains(resp.Warnings[i], part) {
				t.Errorf("%s: the warning %q does not contain %q", test.name, resp.Warnings[i], part)
			}
		}
	}
	if got := steps(w.poll("d2", report("s1"))); !slices.Equal(got, []string{"install a"}) {
		t.Errorf("when it comes it is told to %v", got)
	}
}

// TestLargestDesiredFitsItsRow fills a history with desired states that are as
// large as they may be.
func TestLargestDesiredFitsItsRow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := app(fmt.Sprintf("name-000 %s,%s,%s", strings.Repeat("x", 110), strings.Repeat("y", 110), strings.Repeat("z", 110)))
	list := make([]james.App, fleet.MaxDesired/(len(must(json.Marshal(one)))+1))
	for i := range list {
		list[i] = james.App{Name: fmt.Sprintf("name-%03d", i), Tags: one.Tags}
	}
	must(w.SetDesired(t.Context(), "alice", james.SetDesiredRequest{State: james.State{ID: "d1", Apps: list}, Force: true}))
	full := must(w.Desired(t.Context(), "d1"))
	for range james.MaxHistory + 1 {
		full = *full.Next("d1", list, strings.Repeat("x", 64), time.Now())
	}
	if size := len(must(json.Marshal(full))); size > store.MaxRow || size < store.MaxRow*9/10 {
		t.Errorf("a full history takes %d bytes of the %d that a row may have", size, store.MaxRow)
	}
	_, err := w.SetDesired(t.Context(), "alice", james.SetDesiredRequest{State: james.State{ID: "d1", Apps: append(list, list[0])}, Force: true})
	wantError(t, err, james.KindInvalid)
}

func TestPlanExplains(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add("a v1,s")
	w.add("a v1,t")
	_, err := w.Plan("d1")
	wantError(t, err, james.KindNotFound, "never polled")
	w.poll("d1", report("s"))
	if got := must(w.Plan("d1")); !got.Plan.Empty() || len(got.Explanations) != 0 {
		t.Errorf("without a desired state: %+v", got)
	}
	w.want("d1", "a v1")
	got := must(w.Plan("d1"))
	if len(got.Plan.Steps) != 1 || len(got.Explanations) != 1 {
		t.Fatalf("the plan is %+v", got)
	}
	c := got.Explanations[0].Candidates
	if len(c) != 2 || !c[0].Chosen || c[1].Missing.String() != "t" {
		t.Errorf("the candidates are %+v", c)
	}
}
