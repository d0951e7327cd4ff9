package txn_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/trusch/jamesd/internal/device/disk"
	"github.com/trusch/jamesd/pkg/james"
)

// spoiled returns a hook that has the state directory's file system refuse what
// it refuses with that error, from the n-th operation on.
func (tr *trial) spoiled(errno syscall.Errno, n int64, count *atomic.Int64) disk.Hook {
	return func(before bool, op disk.Op) error {
		if !before || count.Add(1) < n || !strings.HasPrefix(op.Path, tr.state) {
			return nil
		}
		switch errno {
		case syscall.ENOSPC:
			if !takesRoom[op.Name] {
				return nil
			}
		case syscall.EROFS:
			if op.Name == "fsync" || op.Name == "syncfs" {
				return nil
			}
		}
		return errno
	}
}

// TestStateDirectoryFails has the state directory's file system fill up, break or
// turn read-only at an operation and stay so: what is on the others is undone all
// the same. Then the device starts with a sound one.
func TestStateDirectoryFails(t *testing.T) {
	t.Parallel()
	for _, errno := range []syscall.Errno{syscall.ENOSPC, syscall.EIO, syscall.EROFS} {
		for _, s := range fewScenarios() {
			t.Run(fmt.Sprintf("%v, %s", errno, s.name), func(t *testing.T) {
				t.Parallel()
				want := reference(t, s)
				for _, n := range fewPoints(want.ops, len(s.name)+int(errno)) {
					when := fmt.Sprintf("%v from operation %d", errno, n)
					tr := newTrial(t, s)
					var count atomic.Int64
					tr.hook = tr.spoiled(errno, n, &count)
					r, err := tr.run()
					if err != nil {
						t.Fatalf("%s: %v", when, err)
					}
					tr.checkTree(when, want, r)
					if errno == syscall.ENOSPC {
						tr.check(when, want, r)
					}
					tr.revive(when, want)
				}
			})
		}
	}
}

// checkTree fails unless the tree is as the report says, whatever is left for
// cleaning up.
func (tr *trial) checkTree(when string, want outcome, r *james.Report) {
	tr.t.Helper()
	switch r.Result {
	case james.Committed:
		if d := diff(withoutTop(want.after), withoutTop(tr.tree(false))); d != "" {
			tr.t.Fatalf("%s: committed, but (%+v)\n%s", when, r, d)
		}
	case james.Broken:
		if !strings.Contains(r.Error, "commit record") {
			tr.t.Fatalf("%s: %+v", when, r)
		}
	default:
		if d := diff(withoutTop(tr.before), withoutTop(tr.tree(true))); d != "" {
			tr.t.Fatalf("%s: %s, but (%+v)\n%s", when, r.Result, r, d)
		}
	}
}

// reviveLoosely is revive where the device may stop between the two steps of
// removing a work area that nobody knows, which leaves the time of the directory
// that it was in.
func (tr *trial) reviveLoosely(when string, want outcome) {
	tr.t.Helper()
	r, err := tr.start()
	if err != nil || r != nil && r.Result == james.Broken {
		tr.t.Fatalf("%s: %+v, %v", when, r, err)
	}
	tr.checkClean()
	asAfter, asBefore := diff(withoutTop(want.after), withoutTop(tr.tree(false))), diff(withoutTop(tr.before), withoutTop(tr.tree(true)))
	if tr.apps() == want.apps && asAfter != "" || tr.apps() != want.apps && asBefore != "" {
		tr.t.Fatalf("%s: %+v\nafter:\n%s\nbefore:\n%s", when, r, asAfter, asBefore)
	}
	tr.close()
}

// withoutTop returns a tree without the work area and without the directory that
// it is in, the time of which says when the area went.
func withoutTop(tree map[string]string) map[string]string {
	tree = maps.Clone(tree)
	maps.DeleteFunc(tree, func(path, _ string) bool {
		return path == "." || path == ".jamesc" || strings.HasPrefix(path, ".jamesc/")
	})
	return tree
}

// TestNothingIsDoneTwice has the state directory fail for good while undoing: a
// second plan in the same process waits until it is sound again, and no script is
// called once more for it.
func TestNothingIsDoneTwice(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.mustStart()
	failing := logging()
	failing[james.Postinst] += "\n[ $1 = restore ] || exit 7"
	v1 := w.pack(t, "a v1", logging(), file("bin/a", "v1"))
	v2 := w.pack(t, "a v2", failing, file("bin/a", "v2"))
	w.must(install(v1))
	os.Remove(filepath.Join(w.root, "../log"))
	before := w.tree(true)
	sick := false
	w.hook = func(before bool, op disk.Op) error {
		if sick = sick || len(w.log()) == 4; sick && strings.HasPrefix(op.Path, w.state) {
			return syscall.EIO
		}
		return nil
	}
	r := w.apply(upgrade(v1, v2))
	if r.Result != james.RolledBack || r.Script != james.Postinst || !strings.Contains(r.Error, "the journal could not be written") {
		t.Fatalf("%+v", r)
	}
	calls := len(w.log())
	plan := newPlan([]james.Step{remove(v1)})
	if r, err := w.in.Apply(t.Context(), &plan, w.packets); err != nil || r.Result != james.Refused || r.Kind != james.KindUnavailable {
		t.Fatalf("%+v, %v", r, err)
	}
	w.hook = nil
	if r, err := w.in.Recover(t.Context()); r != nil || err != nil {
		t.Fatalf("%+v, %v", r, err)
	}
	w.checkClean()
	if d := diff(before, w.tree(true)); d != "" {
		t.Error(d)
	}
	if n := len(w.log()); n != calls || n != 8 {
		t.Errorf("%d calls, then %d", calls, n)
	}
	w.must(remove(v1))
}

// TestCrashWithoutAJournal ends the device while it cleans up after undoing with a
// journal that cannot grow: the next start is not stuck.
func TestCrashWithoutAJournal(t *testing.T) {
	t.Parallel()
	for _, s := range fewScenarios()[:2] {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			want := reference(t, s)
			for _, n := range fewPoints(want.ops/3, len(s.name)) {
				n *= 3
				for m := 1 + n%3; ; m += 7 {
					when := fmt.Sprintf("full from operation %d, dead %d later", n, m)
					tr := newTrial(t, s)
					var count, dead atomic.Int64
					full, die := tr.spoiled(syscall.ENOSPC, n, &count), dieAt(m, true)
					tr.hook = func(before bool, op disk.Op) error {
						err := full(before, op)
						if count.Load() < n {
							return nil
						}
						if err2 := die(before, op); err2 != nil {
							dead.Add(1)
							return err2
						}
						return err
					}
					tr.run()
					tr.hook = nil
					tr.reviveLoosely(when, want)
					if dead.Load() == 0 {
						break
					}
				}
			}
		})
	}
}
