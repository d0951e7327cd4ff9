package txn_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/trusch/jamesd/internal/device/disk"
	"github.com/trusch/jamesd/pkg/james"
)

// errDead is what every operation gets after the device's end.
var errDead = errors.New("the device is off")

// scenario is a plan on a device that is to survive anything.
type scenario struct {
	name  string
	each  bool                        // fsync every file by itself
	setUp func(w *world) []james.Step // makes the device as it is before and returns the plan
}

// logging are scripts that note their calls beside the root.
func logging(names ...james.ScriptName) map[james.ScriptName]string {
	if len(names) == 0 {
		names = james.ScriptNames()
	}
	all := map[james.ScriptName]string{}
	for _, name := range names {
		all[name] = fmt.Sprintf(`echo "$JAMES_PACKET-$JAMES_TAGS %s $1${JAMES_RERUN:+ again}" >> "$JAMES_ROOT/../log"`, name)
	}
	return all
}

var scenarios = []scenario{{
	name: "install",
	setUp: func(w *world) []james.Step {
		w.put("usr/bin/unmanaged", "usr/lib/", "lib>usr/lib", "etc/theirs.conf=u", "srv/empty/")
		return []james.Step{install(w.pack(w.t, "a v1", logging(),
			dir("usr/bin"), file("usr/bin/unmanaged", "ours").mode(0o4755), hardlink("opt/new/hard", "usr/bin/unmanaged"),
			file("lib/a/liba.so", strings.Repeat("lib", 5000)), symlink("lib/a/link", "liba.so"), dir("var/a").mode(0o1777),
			file("etc/theirs.conf", "p"), file("etc/ours.conf", "p"), file("srv/empty", "a file"), fifo("run/fifo")))}
	},
}, {
	name: "upgrade",
	setUp: func(w *world) []james.Step {
		w.put("d/unmanaged", "keep/x")
		v1 := w.pack(w.t, "a v1", logging(), file("f2d", "f"), file("d2l/x", "x").mode(0o600), dir("d2l/y").mode(0o2711), file("d2l/y/z", "z"),
			symlink("l2f", "d2l"), file("etc/edited", "1"), file("etc/plain", "1"), file("etc/deleted", "1"), file("bin/a", "1"), hardlink("bin/b", "bin/a"),
			dir("m").mode(0o700), file("gone/deep/er", "1"), file("touched", "1"))
		v2 := w.pack(w.t, "a v2", logging(), file("f2d/in/side", "s"), symlink("d2l", "d"), file("l2f", "2"),
			file("etc/edited", "2"), file("etc/plain", "2"), file("etc/deleted", "2"), file("bin/a", "2"), file("bin/b", "22"),
			dir("m").mode(0o755), file("d/unmanaged", "ours"), file("d/new", "n"))
		w.must(install(v1))
		w.write("etc/edited", "e")
		os.Remove(filepath.Join(w.root, "etc/deleted"))
		os.Remove(filepath.Join(w.root, "touched"))
		w.put("d2l-near/x")
		w.age()
		return []james.Step{upgrade(v1, v2)}
	},
}, {
	name: "everything at once",
	setUp: func(w *world) []james.Step {
		w.put("usr/share/theirs")
		old := w.pack(w.t, "old v1", logging(james.Prerm), file("usr/share/old/a", "a"), file("usr/share/common", "old"), file("bin/tool", "old"))
		up1 := w.pack(w.t, "up v1", logging(), file("usr/share/up", "1"), dir("usr/share/dir"))
		up2 := w.pack(w.t, "up v2", logging(james.Postinst, james.Postrm), file("usr/share/up", "2"), file("bin/tool", "up"))
		new := w.pack(w.t, "new v1", nil, file("usr/share/common", "new"), file("usr/share/new/x", "n"))
		w.must(install(old), install(up1))
		w.age()
		return []james.Step{remove(old), upgrade(up1, up2), install(new)}
	},
}, {
	name: "no syncfs",
	each: true,
	setUp: func(w *world) []james.Step {
		w.put("d/theirs", "usr/")
		v1 := w.pack(w.t, "a v1", nil, file("d/x", "1"), symlink("d/l", "x"), fifo("d/f"), file("etc/c", "1"), dir("e"))
		v2 := w.pack(w.t, "a v2", logging(), file("d/x", "2"), symlink("d/l", "y"), fifo("d/g"), file("etc/c", "2"), file("e/n", "2"), hardlink("usr/x", "d/x"))
		w.must(install(v1))
		w.write("etc/c", "edited")
		w.age()
		return []james.Step{upgrade(v1, v2)}
	},
}}

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

// scratch is where roots are made whose survival is tried many times over: in
// memory where there is a file system for that.
func scratch(t testing.TB) string {
	dir, err := os.MkdirTemp("/dev/shm", "jamesc-test")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
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

// dieAt returns a hook that ends everything before or after the n-th operation.
func dieAt(n int64, after bool) disk.Hook {
	var count atomic.Int64
	return func(before bool, op disk.Op) error {
		at := count.Load()
		if before {
			at = count.Add(1)
		}
		if at > n || at == n && before != after {
			return errDead
		}
		return nil
	}
}

// TestCrashAtEveryOperation ends the device before and after every operation of
// every scenario and starts it again.
func TestCrashAtEveryOperation(t *testing.T) {
	t.Parallel()
	for _, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			want := reference(t, s)
			if want.ops < 30 {
				t.Fatalf("the scenario has %d operations only", want.ops)
			}
			results := map[james.Result]int{}
			for k, after := range []bool{false, true} {
				for _, n := range points(want.ops, 2*k+len(s.name)) {
					when := fmt.Sprintf("operation %d, after it %t", n, after)
					tr := newTrial(t, s)
					tr.hook = dieAt(n, after)
					tr.run()
					results[tr.revive(when, want)]++
				}
			}
			if results[james.Committed] == 0 || results[james.RolledBack] == 0 {
				t.Errorf("results %v", results)
			}
			t.Logf("%d operations: %v", want.ops, results)
		})
	}
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

// TestCrashInRecovery ends the device at every operation of a recovery that
// follows a crash in the middle, and starts it a third time.
func TestCrashInRecovery(t *testing.T) {
	t.Parallel()
	for _, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			want := reference(t, s)
			tries := points(4*9, len(s.name))
			for _, k := range tries {
				n := want.ops * k / int64(4*9)
				for m, more := 1+k%2, true; more; m += 3 {
					when := fmt.Sprintf("operation %d, and %d of the recovery", n, m)
					tr := newTrial(t, s)
					tr.hook = dieAt(n, true)
					tr.run()
					tr.hook = nil
					if err := tr.open(); err != nil {
						t.Fatal(err)
					}
					tr.hook = dieAt(m, m%4 == 1)
					r, err := tr.in.Recover(context.Background())
					more = err != nil || r == nil || r.Result == james.Broken || len(must(os.ReadFile(filepath.Join(tr.state, "journal")))) > 0
					if r == nil && err == nil {
						more = false // it never began
					}
					tr.revive(when, want)
				}
			}
		})
	}
}

// TestErrorAtEveryOperation fails every operation once, with the errors of a
// full, a broken and a read-only disk and of a process with too many files.
func TestErrorAtEveryOperation(t *testing.T) {
	t.Parallel()
	errnos := []syscall.Errno{syscall.ENOSPC, syscall.EIO, syscall.EROFS, syscall.EMFILE, syscall.ENOMEM}
	for _, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			want := reference(t, s)
			for _, n := range points(want.ops, len(s.name)+1) {
				errno := errnos[n%int64(len(errnos))]
				when := fmt.Sprintf("%v at operation %d", errno, n)
				tr := newTrial(t, s)
				var count atomic.Int64
				var failed disk.Op
				tr.hook = func(before bool, op disk.Op) error {
					if before && count.Add(1) == n {
						failed = op
						return errno
					}
					return nil
				}
				r, err := tr.run()
				if err != nil || r.Result == james.Broken {
					t.Fatalf("%s (%+v): %+v, %v", when, failed, r, err)
				}
				if r.Result != james.Committed && !strings.Contains(r.Error, errno.Error()) {
					t.Fatalf("%s (%+v): the report does not say so: %s", when, failed, r.Error)
				}
				got := tr.revive(when, want)
				if (r.Result == james.Committed) != (got == james.Committed) {
					t.Fatalf("%s (%+v): the device is %s, the report says %+v", when, failed, got, r)
				}
			}
		})
	}
}

// TestCrashInReinstall installs again what is installed: whatever happens, it can
// be removed afterwards.
func TestCrashInReinstall(t *testing.T) {
	t.Parallel()
	s := scenario{name: "reinstall", setUp: func(w *world) []james.Step {
		w.put("theirs/x")
		a := w.pack(w.t, "a v1", logging(), file("d/x", "1"), file("e/y", "1"))
		w.must(install(a))
		w.put("later/x")
		return []james.Step{upgrade(a, a)}
	}}
	for n := range reference(t, s).ops {
		tr := newTrial(t, s)
		tr.hook = dieAt(n+1, true)
		tr.run()
		tr.hook = nil
		if _, err := tr.start(); err != nil {
			t.Fatalf("operation %d: %v", n+1, err)
		}
		tr.checkClean()
		if got := tr.names(); got != "d/ d/x e/ e/y later/ later/x theirs/ theirs/x" {
			t.Fatalf("operation %d: there is %s", n+1, got)
		}
		app := *tr.plan.Steps[0].Old
		tr.must(james.Step{Old: &app})
		if got := tr.names(); got != "later/ later/x theirs/ theirs/x" {
			t.Fatalf("operation %d: after the removal there is %s", n+1, got)
		}
		tr.close()
	}
}

// TestKilled has a process killed by itself at operations of a transaction, and
// another one recover: the same as above with nothing left in memory.
func TestKilled(t *testing.T) {
	if at := os.Getenv("JAMESC_TEST_KILL_AT"); at != "" {
		killedChild(t, must(strconv.ParseInt(at, 10, 64)))
		return
	}
	t.Parallel()
	s := scenarios[1]
	want := reference(t, s)
	for n := int64(2); n < want.ops; n += want.ops/12 + 1 {
		base := scratch(t)
		cmd := exec.Command(os.Args[0], "-test.run=^TestKilled$")
		cmd.Env = append(os.Environ(), fmt.Sprintf("JAMESC_TEST_KILL_AT=%d", n), "JAMESC_TEST_BASE="+base)
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Fatalf("operation %d: the child was not killed: %v\n%s", n, err, out)
		}
		// The same trial in this process says what was before, and which plan it was.
		tr := newTrial(t, s)
		tr.close()
		tr.root, tr.state = base+"/root", base+"/state"
		tr.revive(fmt.Sprintf("killed at operation %d", n), want)
	}
}

func killedChild(t *testing.T, n int64) {
	base := os.Getenv("JAMESC_TEST_BASE")
	w := newWorld(t)
	w.root, w.state = base+"/root", base+"/state"
	if err := os.MkdirAll(w.root, 0o755); err != nil {
		t.Fatal(err)
	}
	w.mustStart()
	plan := james.NewPlan(1, scenarios[1].setUp(w), nil)
	var count int64
	w.hook = func(before bool, _ disk.Op) error {
		if before {
			if count++; count == n {
				unix.Kill(os.Getpid(), unix.SIGKILL)
				select {}
			}
		}
		return nil
	}
	w.in.Apply(context.Background(), &plan, w.packets)
	t.Fatal("survived")
}
