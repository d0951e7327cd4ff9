package txn_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trusch/jamesd/internal/device/disk"
	"github.com/trusch/jamesd/internal/need"
	"github.com/trusch/jamesd/pkg/james"
)

func (w *world) log() []string {
	raw, _ := os.ReadFile(filepath.Join(w.root, "../log"))
	return strings.Split(strings.TrimSpace(string(raw)), "\n")
}

// TestMirrorWithoutScript has a packet whose only script is the one that cleans
// up: it runs although what it mirrors is not there.
func TestMirrorWithoutScript(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.mustStart()
	a := w.pack(t, "a v1", logging(james.Postrm), file("a", "a"))
	b := w.pack(t, "b v1", map[james.ScriptName]string{james.Postinst: "exit 1"}, file("b", "b"))
	if r := w.apply(install(a), install(b)); r.Result != james.RolledBack || r.App != "b" {
		t.Fatalf("%+v", r)
	}
	if got := w.log(); !slices.Equal(got, []string{"a-v1 postrm restore"}) {
		t.Errorf("called %q", got)
	}
}

func TestMirrorThatFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.put("x")
	w.mustStart()
	before := w.tree(true)
	a := w.pack(t, "a v1", map[james.ScriptName]string{james.Postinst: "echo first; exit 3", james.Prerm: "echo second; exit 4"}, file("a", "a"))
	r := w.apply(install(a))
	if r.Result != james.RolledBack || r.Script != james.Postinst || r.Output != "first\n" {
		t.Fatalf("%+v", r)
	}
	for _, s := range []string{"exit status 3", "while undoing", "prerm", "exit status 4", "second"} {
		if !strings.Contains(r.Error, s) {
			t.Errorf("does not say %q: %s", s, r.Error)
		}
	}
	if d := diff(before, w.tree(true)); d != "" {
		t.Error(d)
	}
}

// TestScriptsMeddle has scripts do in the packet's places what they should not.
func TestScriptsMeddle(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		script james.ScriptName
		old    bool
		body   string
		result james.Result
	}{
		{"removes what would go", james.Prerm, true, "rm bin/a bin/gone", james.Committed},
		{"puts a directory in the way", james.Preinst, false, "mkdir -p bin/a", james.RolledBack},
		{"makes a file where one comes", james.Preinst, false, "mkdir -p bin; echo x > bin/new", james.Committed},
		{"makes a directory that would be made", james.Preinst, false, "mkdir -p made/here", james.Committed},
		{"puts a file where a directory comes", james.Preinst, false, "echo x > made", james.RolledBack},
		{"changes a new file", james.Postinst, false, "echo changed > bin/a; chmod 600 bin/a", james.Committed},
		{"removes a new file", james.Postinst, false, "rm bin/a", james.Committed},
		{"replaces a directory by a link out of the root", james.Prerm, true, "mv bin ../elsewhere; ln -s ../elsewhere bin", james.RolledBack},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for _, fail := range []bool{false, true} {
				w := newWorld(t)
				w.mustStart()
				var s1, s2 map[james.ScriptName]string
				if c.old {
					s1 = map[james.ScriptName]string{c.script: c.body}
				} else {
					s2 = map[james.ScriptName]string{c.script: c.body}
				}
				v1 := w.pack(t, "a v1", s1, file("bin/a", "1"), file("bin/gone", "1"))
				v2 := w.pack(t, "a v2", s2, file("bin/a", "2"), file("bin/new", "2"), file("made/x", "2"))
				end := w.pack(t, "z v1", map[james.ScriptName]string{james.Postinst: fmt.Sprintf("exit %d", map[bool]int{true: 1}[fail])})
				w.must(install(v1))
				r := w.apply(upgrade(v1, v2), install(end))
				want := c.result
				if fail {
					want = james.RolledBack
				}
				if r.Result != want {
					t.Fatalf("fail %t: %+v", fail, r)
				}
				w.checkClean()
				if want == james.RolledBack && w.read("bin/a") == "2" {
					t.Errorf("fail %t: the new file is still there", fail)
				}
				if want == james.RolledBack && !strings.HasPrefix(c.body, "mv") && !strings.HasPrefix(c.body, "rm bin/a bin/gone") {
					if got := w.read("bin/a") + w.read("bin/gone"); got != "11" {
						t.Errorf("fail %t: the old files hold %q, there is %s", fail, got, w.names())
					}
				}
				if out := must(os.ReadDir(filepath.Dir(w.root))); len(out) > 4 {
					t.Errorf("something was written out of the root: %v", out)
				}
			}
		})
	}
}

func TestScriptMakesTheOwner(t *testing.T) {
	need.Superuser(t)
	t.Parallel()
	w := newWorld(t)
	w.put("etc/passwd=root:x:0:0::/:/bin/sh\nknown:x:1234:1::/:/bin/sh\n", "etc/group=root:x:0:\n")
	w.mustStart()
	w.must(install(w.pack(t, "a v1", map[james.ScriptName]string{
		james.Preinst: "echo late:x:4321:1::/:/bin/sh >> etc/passwd; echo late:x:99: >> etc/group",
	},
		file("x", "1").owner(7, 8).named("known", "root"), file("y", "1").owner(7, 8).named("late", "late").mode(0o4755),
		file("z", "1").owner(7, 8).named("nobody knows", "that one"), dir("d").owner(7, 8).named("late", "late"))))
	tree := w.tree(false)
	for path, want := range map[string]string{"x": "-rw-r--r-- 1234:0 ", "y": "urwxr-xr-x 4321:99 ", "z": "-rw-r--r-- 7:8 ", "d": "drwxr-xr-x 4321:99"} {
		if !strings.HasPrefix(tree[path], want) {
			t.Errorf("%s is %s, want %s", path, tree[path], want)
		}
	}
}

func TestHangingScript(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.runner.Timeout = 50 * time.Millisecond
	w.mustStart()
	before := w.tree(true)
	a := w.pack(t, "a v1", map[james.ScriptName]string{james.Postinst: "echo waiting; exec sleep 600"}, file("a", "a"))
	r := w.apply(install(a))
	if r.Result != james.RolledBack || r.Kind != james.KindInterrupted || !strings.Contains(r.Error, "time limit") {
		t.Fatalf("%+v", r)
	}
	if d := diff(before, w.tree(true)); d != "" {
		t.Error(d)
	}
}

// TestCancelledInTheMiddle has the agent asked to stop while a script runs.
func TestCancelledInTheMiddle(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.mustStart()
	before := w.tree(true)
	ctx, cancel := context.WithCancel(context.Background())
	a := w.pack(t, "a v1", map[james.ScriptName]string{
		james.Postinst: "echo waiting; exec sleep 600",
		james.Prerm:    `echo restored > "$JAMES_ROOT/../log"`,
	}, file("a", "a"))
	w.hook = func(before bool, op disk.Op) error {
		if before && op.Name == "rename" && strings.HasSuffix(op.To, "/a") {
			cancel()
		}
		return nil
	}
	plan := james.NewPlan(1, []james.Step{install(a)}, nil)
	r, err := w.in.Apply(ctx, &plan, w.packets)
	if err != nil || r.Result != james.RolledBack || r.Kind != james.KindInterrupted {
		t.Fatalf("%+v, %v", r, err)
	}
	if got := w.log(); !slices.Equal(got, []string{"restored"}) {
		t.Errorf("log %q", got)
	}
	if d := diff(before, w.tree(true)); d != "" {
		t.Error(d)
	}
	w.checkClean()
}

// A script that removes the work area has removed the old files: nobody must say
// that they are back.
func TestScriptRemovesWorkArea(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.mustStart()
	v1 := w.pack(t, "a v1", nil, file("bin/a", "1"))
	v2 := w.pack(t, "a v2", map[james.ScriptName]string{james.Postinst: `rm -rf "$JAMES_ROOT/.jamesc"; exit 1`}, file("bin/a", "2"))
	w.must(install(v1))
	if r := w.apply(upgrade(v1, v2)); r.Result != james.Broken || !strings.Contains(r.Error, "was removed, with the old files in it") {
		t.Errorf("%+v", r)
	}
}
