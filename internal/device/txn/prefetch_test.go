package txn_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trusch/jamesd/internal/device/disk"
	"github.com/trusch/jamesd/internal/device/disk/mounttest"
	"github.com/trusch/jamesd/internal/device/txn"
	"github.com/trusch/jamesd/pkg/james"
)

// prefetch has contents fetched, and fails if anything but those is changed.
func (w *world) prefetch(ctx context.Context, steps ...james.Step) error {
	w.t.Helper()
	before, state := w.tree(true), treeOf(w.t, w.state, false)
	plan := newPlan(steps)
	err := w.in.Prefetch(ctx, &plan, w.packets)
	if d := diff(before, w.tree(true)) + diff(state, treeOf(w.t, w.state, false)); d != "" {
		w.t.Errorf("the device has changed:\n%s", d)
	}
	var no *txn.Refusal
	if err != nil && (!errors.As(err, &no) || no.Report.Plan != plan.ID || no.Report.Result != james.Refused || no.Report.Kind != james.KindOf(err) || no.Report.Error != err.Error()) {
		w.t.Errorf("the refusal is %#v", err)
	}
	return err
}

func TestPrefetch(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.mustStart()
	v1 := w.pack(t, "a v1", nil, file("opt/same", "it stays"), file("opt/edited", "was edited"), file("opt/x", "1"))
	v2 := w.pack(t, "a v2", nil, file("opt/same", "it stays"), file("opt/moved", "was edited"), file("opt/x", "2"), file("opt/y", "2"), file("opt/e", ""))
	w.must(install(v1))
	w.write("opt/edited", "was Edited")
	w.must(install(w.pack(t, "b v1", nil, file("opt/later", "later"))))
	w.orders, w.asked = nil, 0
	for range 2 {
		if err := w.prefetch(t.Context(), upgrade(v1, v2)); err != nil {
			t.Fatal(err)
		}
	}
	if got := strings.Join(w.ordered()[:2], " "); w.asked != 1 || got != "a:opt/moved a:opt/x" || len(w.stored()) != 2 {
		t.Errorf("asked %d times, ordered %s, stored %q", w.asked, got, w.stored())
	}
	if got := w.orders[0].Have; len(got) != 1 || got[0].App.Digest != v1.Digest {
		t.Errorf("have is %v", got)
	}
	w.close()
	w.mustStart()
	w.archives = nil // nothing more is to be had
	w.must(upgrade(v1, v2))
	if w.asked != 1 || len(w.stored()) != 0 || w.read("opt/moved")+w.read("opt/y") != "was edited2" {
		t.Errorf("asked %d times, stored %q, there is %s", w.asked, w.stored(), w.names())
	}
	if err := w.prefetch(t.Context(), remove(v2)); err != nil {
		t.Error(err)
	}
	if err := w.prefetch(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestPrefetchRefuses has plans that Apply refuses: nothing is fetched for those.
func TestPrefetchRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		plan func(w *world) []james.Step
		kind james.Kind
		says string
		app  string
	}{
		{"not installed", func(w *world) []james.Step { return []james.Step{remove(w.pack(w.t, "no v1", nil))} }, james.KindConflict, "is not installed", ""},
		{"another's path", func(w *world) []james.Step {
			return []james.Step{install(w.pack(w.t, "b v1", nil, file("opt/a", "b"), file("opt/b", "b")))}
		}, james.KindConflict, "cannot install b v1", "b"},
		{"no space", func(w *world) []james.Step {
			return []james.Step{install(w.pack(w.t, "b v1", nil, file("opt/b", noise(9<<20))))}
		}, james.KindUnavailable, "not enough space", ""},
		{"no space for what is edited", func(w *world) []james.Step {
			w.must(install(w.pack(w.t, "big v1", nil, file("opt/big", noise(2<<20)))))
			w.write("opt/big", noise(2<<20-8)+"edited!!")
			w.do(os.WriteFile(filepath.Join(w.source, "ballast"), []byte(noise(1<<20)), 0o600))
			w.orders = nil
			return []james.Step{install(w.pack(w.t, "b v1", nil, file("opt/b", noise(2<<20))))}
		}, james.KindUnavailable, "/source has", ""},
		{"no such archive", func(w *world) []james.Step {
			p := w.pack(w.t, "b v1", nil, file("opt/b", "b"))
			w.spoil = func(io.Reader) io.Reader { return strings.NewReader("") }
			return []james.Step{install(p)}
		}, james.KindCorrupt, "cannot install b v1", "b"},
		{"no such archive, the second of two", func(w *world) []james.Step {
			steps := []james.Step{install(w.pack(w.t, "b v1", nil, file("opt/b", "b"))), install(w.pack(w.t, "c v1", nil, file("opt/c", "c")))}
			before := w.asked
			w.spoil = func(r io.Reader) io.Reader {
				if w.asked == before+2 {
					return strings.NewReader("")
				}
				return r
			}
			return steps
		}, james.KindCorrupt, "cannot install c v1", "c"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			mounttest.Tmpfs(t, w.root, "size=8m")
			w.source = filepath.Join(filepath.Dir(w.root), "source")
			mounttest.Tmpfs(t, w.source, "size=2600k")
			w.mustStart()
			w.must(install(w.pack(t, "a v1", nil, file("opt/a", "a"))))
			w.orders = nil
			steps := c.plan(w)
			err := w.prefetch(t.Context(), steps...)
			var no *txn.Refusal
			if !errors.As(err, &no) || james.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.says) || no.Report.App != c.app {
				t.Fatalf("%v", err)
			}
			if len(w.orders) > 0 && w.spoil == nil {
				t.Error("it was fetched all the same")
			}
		})
	}
}

// TestPrefetchIsStopped ends it while contents come, and has another transaction
// take place meanwhile.
func TestPrefetchIsStopped(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.mustStart()
	b := w.pack(t, "b v1", nil, file("opt/b", ""))
	a := w.pack(t, "a v1", nil, file("opt/a", noise(1<<20)))
	ctx, cancel := context.WithCancel(t.Context())
	w.spoil = func(r io.Reader) io.Reader {
		plan := newPlan([]james.Step{install(b)})
		if r, err := w.in.Apply(t.Context(), &plan, w.packets); err != nil || r.Result != james.Committed {
			t.Errorf("while contents come: %+v, %v", r, err)
		}
		return &halfway{r: r, at: 1 << 19, act: cancel}
	}
	plan := newPlan([]james.Step{install(a)})
	if err := w.in.Prefetch(ctx, &plan, w.packets); james.KindOf(err) != james.KindInterrupted {
		t.Errorf("%v", err)
	}
	w.checkClean()
	w.spoil = nil
	w.must(install(a))
}

// TestPrefetchSurvives ends the device at every operation of it: there is nothing
// to recover then, and the plan can be carried out.
func TestPrefetchSurvives(t *testing.T) {
	t.Parallel()
	for n := int64(1); ; n++ {
		w := newWorld(t)
		w.mustStart()
		v1 := w.pack(t, "a v1", nil, file("opt/a", "1"), file("opt/b", "1 as well"))
		v2 := w.pack(t, "a v2", nil, file("opt/a", "2"), file("opt/b", "2 as well"), file("opt/c", "1"))
		w.must(install(v1))
		w.age()
		before, dead := w.tree(true), false
		die := dieAt(n, n%2 == 0)
		w.hook = func(before bool, op disk.Op) error {
			err := die(before, op)
			dead = dead || err != nil
			return err
		}
		plan := newPlan([]james.Step{upgrade(v1, v2)})
		err := w.in.Prefetch(t.Context(), &plan, w.packets)
		if w.hook = nil; (err != nil) != dead {
			t.Fatalf("operation %d: %v", n, err)
		}
		w.mustStart()
		w.checkClean()
		if d := diff(before, w.tree(true)); d != "" {
			t.Fatalf("operation %d:\n%s", n, d)
		}
		w.must(upgrade(v1, v2))
		w.close()
		if !dead {
			if n < 10 {
				t.Errorf("it takes %d operations only", n)
			}
			return
		}
	}
}

// TestPrefetchEndsWhatIsPending comes after a transaction that was cut off.
func TestPrefetchEndsWhatIsPending(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.mustStart()
	w.must(install(w.pack(t, "b v1", nil, file("opt/b", "b"))))
	before := w.tree(true)
	a := w.pack(t, "a v1", nil, file("opt/a", "a"))
	plan := newPlan([]james.Step{install(a)})
	w.hook = dieAfter(func(op disk.Op) bool { return op.Name == "rename" })
	w.in.Apply(t.Context(), &plan, w.packets)
	w.hook = nil
	if !w.in.Unfinished() {
		t.Fatal("nothing was cut off")
	}
	if err := w.in.Prefetch(t.Context(), &plan, w.packets); err != nil {
		t.Fatal(err)
	}
	if d := diff(before, w.tree(true)); d != "" || w.in.Unfinished() {
		t.Errorf("it is not ended:\n%s", d)
	}
	if _, err := os.Stat(filepath.Join(w.root, "opt/a")); err == nil {
		t.Error("it is installed")
	}
}
