package txn_test

import (
	"context"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/trusch/jamesd/internal/device/disk"
	"github.com/trusch/jamesd/pkg/james"
)

// someScenarios are plans for tests that try each at many points.
func someScenarios(more ...scenario) []scenario {
	for _, s := range scenarios {
		switch s.name {
		case "install", "upgrade", "everything at once", "no syncfs":
			more = append(more, s)
		}
	}
	return more
}

// points are the operations of ops at which something is tried: every fourth, a
// different one for each seed, or all where JAMES_TEST_EVERY_POINT is set.
func points(ops int64, seed int) []int64 {
	first, step := int64(seed%4)+1, int64(4)
	if os.Getenv("JAMES_TEST_EVERY_POINT") != "" {
		first, step = 1, 1
	}
	var all []int64
	for n := first; n <= ops; n += step {
		all = append(all, n)
	}
	return all
}

// trial is a scenario that is set up and not begun.
type trial struct {
	*world
	plan   james.Plan
	before map[string]string // the tree
}

// outcome is what a scenario ends as when nothing goes wrong, and how many
// operations it takes.
type outcome struct {
	after map[string]string
	apps  string
	ops   int64
}

func newTrial(t testing.TB, s scenario) *trial {
	t.Helper()
	w := newWorld(t)
	base := filepath.Join(scratch(t), "w")
	w.root, w.state, w.each = base+"/root", base+"/state", s.each
	if err := os.MkdirAll(w.root, 0o755); err != nil {
		t.Fatal(err)
	}
	w.mustStart()
	steps := s.setUp(w)
	w.age()
	os.Remove(filepath.Join(base, "log"))
	return &trial{world: w, plan: james.NewPlan(1, steps, nil), before: w.tree(true)}
}

func (tr *trial) run() (*james.Report, error) {
	return tr.in.Apply(context.Background(), &tr.plan, tr.packets)
}

// reference carries the scenario out undisturbed.
func reference(t testing.TB, s scenario) outcome {
	t.Helper()
	tr := newTrial(t, s)
	var ops atomic.Int64
	tr.hook = func(before bool, op disk.Op) error {
		if before {
			ops.Add(1)
		}
		return nil
	}
	r, err := tr.run()
	if err != nil || r.Result != james.Committed {
		t.Fatalf("%+v, %v", r, err)
	}
	tr.checkClean()
	return outcome{tr.tree(false), tr.apps(), ops.Load()}
}

// check fails unless the device is as before or as after; it returns which.
func (tr *trial) check(when string, want outcome, r *james.Report) james.Result {
	tr.t.Helper()
	tr.checkClean()
	if tr.apps() == want.apps {
		if d := diff(want.after, tr.tree(false)); d != "" {
			tr.t.Fatalf("%s: the apps are as after, the tree is not (%+v):\n%s", when, r, d)
		}
		return james.Committed
	}
	if d := diff(tr.before, tr.tree(true)); d != "" {
		tr.t.Fatalf("%s: the apps are as before, the tree is not (%+v):\n%s", when, r, d)
	}
	return james.RolledBack
}

// revive starts the device again after its end and checks what it is.
func (tr *trial) revive(when string, want outcome) james.Result {
	tr.t.Helper()
	tr.hook = nil
	r, err := tr.start()
	if err != nil {
		tr.t.Fatalf("%s: start: %v", when, err)
	}
	if r != nil && (!r.Recovered || r.Plan != tr.plan.ID || r.Result == james.Broken) {
		tr.t.Fatalf("%s: the report is %+v", when, r)
	}
	got := tr.check(when, want, r)
	if r != nil && (r.Result == james.Committed) != (got == james.Committed) {
		tr.t.Fatalf("%s: the device is %s, the report says %+v", when, got, r)
	}
	if r2, err := tr.start(); r2 != nil || err != nil {
		tr.t.Fatalf("%s: a second start: %+v, %v", when, r2, err)
	}
	tr.close()
	return got
}
