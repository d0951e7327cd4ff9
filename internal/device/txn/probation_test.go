package txn_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trusch/jamesd/internal/device/disk"
	"github.com/trusch/jamesd/internal/device/txn"
	"github.com/trusch/jamesd/pkg/james"
)

// healthy returns all scripts, which note their calls, with a health check that
// succeeds under the condition.
func healthy(condition string) map[james.ScriptName]string {
	all := logging()
	all[james.HealthCheck] = `echo "$JAMES_PACKET-$JAMES_TAGS health $1 try $JAMES_TRY${JAMES_RERUN:+ again}" >> "$JAMES_ROOT/../log"
` + condition + ` || { echo "try $JAMES_TRY: no answer"; exit 1; }
`
	return all
}

// naps notes how long it is slept, and sleeps not at all.
type naps struct{ slept []time.Duration }

func (n *naps) sleep(ctx context.Context, d time.Duration) error {
	n.slept = append(n.slept, d)
	return ctx.Err()
}

func TestHealthCheck(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, condition string
		limits          *james.Health
		fails           string // what the report says, "" where it does not fail
		output          string
		tries           int
		slept           []time.Duration
	}{
		{"passes", "true", nil, "", "", 1, nil},
		{"passes on the third try", "[ $JAMES_TRY = 3 ]", &james.Health{Retries: 5, Interval: 7}, "", "", 3, []time.Duration{7 * time.Second, 7 * time.Second}},
		{"fails", "false", nil, "script health of a v2: exit status 1 (try 1: no answer)", "try 1: no answer\n", 1, nil},
		{"fails three times", "false", &james.Health{Retries: 2},
			"exit status 1 (try 3: no answer); that was the last of 3 tries", "try 3: no answer\n", 3, []time.Duration{5 * time.Second, 5 * time.Second}},
		{"sees the new files", "[ $(cat bin/a) = 2 ] && [ ! -e bin/gone ]", nil, "", "", 1, nil},
		{"hangs", "exec sleep 600", &james.Health{Timeout: 1}, "was stopped after 1s, its time limit", "", 1, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			var n naps
			w.opts.Sleep = n.sleep
			w.mustStart()
			v1 := w.pack(t, "a v1", logging(), file("bin/a", "1"), file("bin/gone", "1"))
			w.must(install(v1))
			os.Remove(filepath.Join(w.root, "../log"))
			before := w.tree(true)
			w.packets.health = c.limits
			r := w.apply(upgrade(v1, w.pack(t, "a v2", healthy(c.condition), file("bin/a", "2"))))
			w.checkClean()
			log := []string{"a-v1 prerm upgrade", "a-v1 postrm upgrade", "a-v2 preinst upgrade", "a-v2 postinst upgrade"}
			for try := range c.tries {
				log = append(log, fmt.Sprintf("a-v2 health upgrade try %d", try+1))
			}
			if c.fails != "" {
				log = append(log, "a-v2 prerm restore", "a-v2 postrm restore", "a-v1 preinst restore", "a-v1 postinst restore")
			}
			if got := w.log(); !slices.Equal(got, log) {
				t.Errorf("called\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(log, "\n"))
			}
			if !slices.Equal(n.slept, c.slept) {
				t.Errorf("slept %v, want %v", n.slept, c.slept)
			}
			if c.fails == "" {
				if r.Result != james.Committed || r.Error != "" {
					t.Errorf("%+v", r)
				}
				return
			}
			if r.Result != james.RolledBack || r.App != "a" || r.Script != james.HealthCheck || r.Output != c.output ||
				!strings.HasPrefix(r.Error, "cannot upgrade a v2: ") || !strings.Contains(r.Error, c.fails) {
				t.Errorf("%+v", r)
			}
			if d := diff(before, w.tree(true)); d != "" {
				t.Errorf("not as before:\n%s", d)
			}
		})
	}
}

// TestHealthChecksInOrder has a plan with several: they run in its order when
// everything is in place, none of what goes and none that was there before.
func TestHealthChecksInOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.mustStart()
	check := func(condition string) map[james.ScriptName]string {
		return map[james.ScriptName]string{james.HealthCheck: healthy(condition)[james.HealthCheck]}
	}
	old := w.pack(t, "old v1", check("true"), file("old", "1"))
	stays := w.pack(t, "stays v1", check("true"), file("stays", "1"))
	b1 := w.pack(t, "b v1", check("true"), file("b", "1"))
	w.must(install(old), install(stays), install(b1))
	os.Remove(filepath.Join(w.root, "../log"))
	all := "[ $(cat b c d) = 211 ] && [ ! -e old ]"
	plan := []james.Step{remove(old), upgrade(b1, w.pack(t, "b v2", check(all), file("b", "2"))),
		install(w.pack(t, "c v1", nil, file("c", "1"))), install(w.pack(t, "d v1", check(all+" && false"), file("d", "1")))}
	r := w.apply(plan...)
	if r.Result != james.RolledBack || r.App != "d" {
		t.Errorf("%+v", r)
	}
	if got := w.log(); !slices.Equal(got, []string{"b-v2 health upgrade try 1", "d-v1 health install try 1"}) {
		t.Errorf("called %q", got)
	}
	if got := w.names(); got != "b old stays" {
		t.Errorf("there is %s", got)
	}
}

// TestConfirm has the agent asked about a change.
func TestConfirm(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name           string
		scripts        map[james.ScriptName]string
		answer         error
		result         james.Result
		asked, trialed int
	}{
		{"yes", nil, nil, james.Committed, 1, 1},
		{"no", nil, james.Errorf(james.KindUnavailable, "server", "is gone"), james.RolledBack, 1, 1},
		{"not after a failed script", map[james.ScriptName]string{james.Postinst: "exit 1"}, nil, james.RolledBack, 0, 0},
		{"not after a failed health check", map[james.ScriptName]string{james.HealthCheck: "exit 1"}, nil, james.RolledBack, 0, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.put("x")
			asked, trialed := 0, 0
			var id james.Digest
			w.opts.Confirm = func(_ context.Context, plan *james.Plan) error {
				asked, id = asked+1, plan.ID
				if w.read("a") != "1" || w.apps() != "[]" {
					t.Errorf("asked with %s, %s", w.names(), w.apps())
				}
				return c.answer
			}
			w.opts.OnProbation = func(plan *james.Plan, checks time.Duration) {
				trialed++
				if want := c.scripts[james.HealthCheck] != ""; (checks > time.Minute) != want {
					t.Errorf("the checks take up to %s", checks)
				}
			}
			w.mustStart()
			before := w.tree(true)
			r := w.apply(install(w.pack(t, "a v1", c.scripts, file("a", "1"))))
			w.checkClean()
			if r.Result != c.result || asked != c.asked || trialed != c.trialed || asked > 0 && id != r.Plan {
				t.Errorf("asked %d times, %d times on probation: %+v", asked, trialed, r)
			}
			if c.answer != nil && (r.Kind != james.KindUnavailable || r.Error != "server: is gone" || r.App != "") {
				t.Errorf("%+v", r)
			}
			if d := diff(before, w.tree(true)); (d == "") != (r.Result == james.RolledBack) {
				t.Errorf("%s, and it differs so:\n%s", r.Result, d)
			}
		})
	}
}

// TestProbationCostsNothing has plans with and without something to be proved.
func TestProbationCostsNothing(t *testing.T) {
	t.Parallel()
	fsyncs := func(confirm bool, scripts map[james.ScriptName]string) int {
		w := newWorld(t)
		if confirm {
			w.opts.Confirm = func(context.Context, *james.Plan) error { return nil }
		}
		w.mustStart()
		n := 0
		w.hook = func(before bool, op disk.Op) error {
			if before && strings.Contains(op.Name, "sync") {
				n++
			}
			return nil
		}
		w.must(install(w.pack(t, "a v1", scripts, file("a", "1"))))
		return n
	}
	plain := fsyncs(false, nil)
	if got := fsyncs(true, nil); got != plain+1 {
		t.Errorf("%d fsyncs with a confirmation, %d without", got, plain)
	}
	if got := fsyncs(false, map[james.ScriptName]string{james.HealthCheck: "true"}); got != plain+1 {
		t.Errorf("%d fsyncs with a health check, %d without", got, plain)
	}
}

// TestStoppedOnProbation has the device stop again and again while a change is on
// probation.
func TestStoppedOnProbation(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		stops  int
		cancel bool // in order, and not by a crash
		result james.Result
		at     string // where: "check", "pause" or "confirm"
	}{
		{"a crash", 1, false, james.Committed, "confirm"},
		{"two crashes", 2, false, james.Committed, "confirm"},
		{"three crashes", 3, false, james.RolledBack, "confirm"},
		{"a stop in the check", 1, true, james.Committed, "check"},
		{"a stop between two tries", 2, true, james.Committed, "pause"},
		{"a stop before the confirmation", 2, true, james.Committed, "confirm"},
		{"three stops", 3, true, james.RolledBack, "check"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			left := 0
			var stop func()
			at := func(where string) {
				if c.at == where && left > 0 {
					left--
					stop()
				}
			}
			w.opts.OnProbation = func(*james.Plan, time.Duration) { at("check") }
			w.opts.Sleep = func(ctx context.Context, _ time.Duration) error { at("pause"); return ctx.Err() }
			w.opts.Confirm = func(ctx context.Context, _ *james.Plan) error {
				at("confirm")
				return ctx.Err()
			}
			w.mustStart()
			v1 := w.pack(t, "a v1", logging(), file("a", "1"))
			w.must(install(v1))
			left = c.stops
			w.packets.health = &james.Health{Retries: 1}
			v2 := w.pack(t, "a v2", healthy("[ $JAMES_TRY = 2 ]"), file("a", "2"))
			before := w.tree(true)
			plan := james.NewPlan(1, []james.Step{upgrade(v1, v2)}, nil)
			begin := func(run func(ctx context.Context) (*james.Report, error)) (*james.Report, error) {
				ctx, cancel := context.WithCancelCause(context.Background())
				defer cancel(nil)
				stop = func() { cancel(errors.New("told to stop")) }
				if !c.cancel {
					stop = func() {
						cancel(nil) // whatever is done now has no effect
						w.hook = func(bool, disk.Op) error { return errDead }
					}
				}
				return run(ctx)
			}
			r, err := begin(func(ctx context.Context) (*james.Report, error) { return w.in.Apply(ctx, &plan, w.packets) })
			for n := range c.stops {
				if r != nil || !errors.Is(err, txn.ErrOnProbation) || james.KindOf(err) != james.KindInterrupted {
					t.Fatalf("stop %d: %+v, %v", n+1, r, err)
				}
				if c.cancel && !strings.Contains(err.Error(), "told to stop") {
					t.Errorf("says %v", err)
				}
				if w.read("a") != "2" || w.apps() != "[a v1]" {
					t.Fatalf("stop %d: there is %s, installed is %s", n+1, w.read("a"), w.apps())
				}
				w.hook = nil
				if err := w.open(); err != nil {
					t.Fatal(err)
				}
				r, err = begin(w.in.Recover)
			}
			if err != nil || r == nil || r.Result != c.result || !r.Recovered || r.Plan != plan.ID {
				t.Fatalf("%+v, %v", r, err)
			}
			w.checkClean()
			log := w.log()
			if again := slices.ContainsFunc(log, func(l string) bool { return strings.HasPrefix(l, "a-v2 health") && strings.HasSuffix(l, " again") }); !again && c.stops < 3 {
				t.Errorf("nobody was told that it is not the first time: %q", log)
			}
			if c.result == james.Committed {
				if w.read("a") != "2" || w.apps() != "[a v2]" {
					t.Errorf("there is %s, installed is %s", w.read("a"), w.apps())
				}
				return
			}
			if r.Kind != james.KindConflict || !strings.Contains(r.Error, "stopped 3 times while the change was on probation") {
				t.Errorf("%+v", r)
			}
			if d := diff(before, w.tree(true)); d != "" {
				t.Errorf("not as before:\n%s", d)
			}
			if tail := strings.Join(log[len(log)-4:], ", "); tail != "a-v2 prerm restore, a-v2 postrm restore, a-v1 preinst restore, a-v1 postinst restore" {
				t.Errorf("undone by %s", tail)
			}
		})
	}
}

// TestProbationIsNotForgotten has the next plan come before the agent is started
// again.
func TestProbationIsNotForgotten(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx, cancel := context.WithCancel(context.Background())
	w.opts.Confirm = func(ctx context.Context, _ *james.Plan) error { cancel(); return ctx.Err() }
	w.mustStart()
	a, b := w.pack(t, "a v1", nil, file("a", "1")), w.pack(t, "b v1", nil, file("b", "1"))
	plan := james.NewPlan(1, []james.Step{install(a)}, nil)
	if _, err := w.in.Apply(ctx, &plan, w.packets); !errors.Is(err, txn.ErrOnProbation) {
		t.Fatal(err)
	}
	w.must(install(b))
	if w.apps() != "[a v1 b v1]" {
		t.Errorf("installed is %s", w.apps())
	}
}

// TestProbationWithoutInventory has the inventory of after gone: what is not
// known cannot be committed.
func TestProbationWithoutInventory(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.put("theirs")
	ctx, cancel := context.WithCancel(context.Background())
	w.opts.Confirm = func(ctx context.Context, _ *james.Plan) error { cancel(); return ctx.Err() }
	w.mustStart()
	before := w.tree(true)
	plan := james.NewPlan(1, []james.Step{install(w.pack(t, "a v1", nil, file("a", "1")))}, nil)
	if _, err := w.in.Apply(ctx, &plan, w.packets); !errors.Is(err, txn.ErrOnProbation) {
		t.Fatal(err)
	}
	for _, name := range []string{"next.json", "next.backup.json"} {
		if err := os.Remove(filepath.Join(w.state, name)); err != nil {
			t.Fatal(err)
		}
	}
	r, err := w.start()
	if err != nil || r.Result != james.RolledBack || r.Kind != james.KindCorrupt {
		t.Fatalf("%+v, %v", r, err)
	}
	if d := diff(before, w.tree(true)); d != "" {
		t.Error(d)
	}
	w.checkClean()
}
