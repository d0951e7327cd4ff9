package txn_test

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/trusch/jamesd/internal/device/disk"
	"github.com/trusch/jamesd/internal/need"
	"github.com/trusch/jamesd/pkg/james"
)

// edit is something that an administrator does to configuration files of b v1,
// etc/c and the link etc/l, and what of it must be found again: words that are the
// content of a file or the target of a link.
type edit struct {
	name  string
	do    func(w *world, all map[string]*james.Packet)
	words []string
}

var edits = []edit{{
	name: "none", do: func(*world, map[string]*james.Packet) {},
}, {
	name: "the content", words: []string{"MINE"},
	do: func(w *world, _ map[string]*james.Packet) { w.write("etc/c", "MINE") },
}, {
	name: "a link instead", words: []string{"MY-FILE", "MINE"},
	do: func(w *world, _ map[string]*james.Packet) {
		os.Remove(filepath.Join(w.root, "etc/c"))
		w.put("etc/c>MY-FILE", "etc/MY-FILE=MINE")
	},
}, {
	name: "a directory instead", words: []string{"MINE"},
	do: func(w *world, _ map[string]*james.Packet) {
		os.Remove(filepath.Join(w.root, "etc/c"))
		w.put("etc/c/mine=MINE")
	},
}, {
	name: "the target of the link", words: []string{"MY-TARGET"},
	do: func(w *world, _ map[string]*james.Packet) {
		os.Remove(filepath.Join(w.root, "etc/l"))
		w.put("etc/l>MY-TARGET")
	},
}, {
	name: "a file instead of the link", words: []string{"MINE"},
	do: func(w *world, _ map[string]*james.Packet) {
		os.Remove(filepath.Join(w.root, "etc/l"))
		w.put("etc/l=MINE")
	},
}, {
	name: "both removed",
	do: func(w *world, _ map[string]*james.Packet) {
		os.Remove(filepath.Join(w.root, "etc/c"))
		os.Remove(filepath.Join(w.root, "etc/l"))
	},
}, {
	name: "the one beside, too", words: []string{"MINE", "MERGED"},
	do: func(w *world, all map[string]*james.Packet) {
		w.write("etc/c", "MINE")
		w.acts(all, "b v2")
		w.write("etc/c.james-new", "MERGED")
	},
}, {
	name: "the one beside, without a new version", words: []string{"MINE", "MERGED"},
	do: func(w *world, all map[string]*james.Packet) {
		w.write("etc/c", "MINE")
		w.acts(all, "b v2", "b v3") // the content of the configuration is the same
		w.write("etc/c.james-new", "MERGED")
	},
}, {
	name: "a file of the name beside", words: []string{"MINE", "NOTES"},
	do: func(w *world, _ map[string]*james.Packet) {
		w.write("etc/c", "MINE")
		w.put("etc/c.james-new=NOTES")
	},
}}

var editVersions = versions{
	"b v1": {file("etc/c", "1"), symlink("etc/l", "1"), file("x", "1")}, "b v2": {file("etc/c", "2"), symlink("etc/l", "2"), file("x", "2")},
	"b v3": {file("etc/c", "2"), symlink("etc/l", "2"), file("x", "3")}, "b v4": {file("x", "4")},
	"b v5":   {symlink("etc/c", "x"), file("etc/l", "5")},
	"b v6":   {file("etc/c", "6"), hardlink("etc/l", "etc/c")},
	"b v7":   {dir("etc/c"), dir("etc/l")},
	"b v8":   {fifo("etc/c"), fifo("etc/l")},
	"a v1>b": {file("etc/c", "1"), symlink("etc/l", "1"), file("x", "a1")}, "a v2>b": {file("etc/c", "a"), symlink("etc/l", "a"), file("x", "a2")},
	"c v1": {file("etc/c", "c"), symlink("etc/l", "c")}, "c v2": {file("etc/c", "c"), hardlink("etc/l", "etc/c")},
}

// editPlans are what then happens to b; after each of a row's plans the edits are
// still there, unless it purges. A plan may be refused. No row is how another begins.
var editPlans = [][]string{
	{"b v1"}, {"b v3"}, {"b v5"}, {"b v6"}, {"b v7"}, {"b v8"}, {"-b", "b v1"}, {"-b", "b v2", "-b"}, {"b v4", "b v2"}, {"b v2", "b v3", "b v1"},
	{"a v1", "-b"}, {"a v2", "-b", "-a"}, {"a v2", "-a", "b v2"}, {"a v2", "b v2"}, {"a v2; b v2"}, {"b v2; a v2"}, {"-b; a v2"}, {"a v2; -b"},
	{"a v1", "-a; b v2"}, {"a v1", "a v2", "--b"}, {"--b; a v2"}, {"a v2; --b"}, {"-b", "c v1"}, {"c v1; -b"}, {"-b; c v2"}, {"-b", "c v2"}, {"-b; c v1", "-c"},
}

// TestEdits tries all edits with all plans: committed, and the first of a row undone,
// and cut off at some operations. It runs as the superuser, where the test does, and as a user.
func TestEdits(t *testing.T) {
	t.Parallel()
	for _, e := range edits {
		tried := map[string]bool{}
		for _, plans := range editPlans {
			first := plans[0]
			again := tried[first]
			tried[first] = true
			t.Run(e.name+", "+strings.Join(plans, ", "), func(t *testing.T) {
				t.Parallel()
				ops := editsCommitted(t, e, plans)
				if again {
					return
				}
				editsUndone(t, e, first)
				editsCutOff(t, e, first, ops/3)
				editsCutOff(t, e, first, ops*2/3)
			})
		}
	}
}

// edited returns a device that was edited.
func edited(t *testing.T, e edit) (*world, map[string]*james.Packet) {
	w := newWorld(t)
	base := filepath.Join(scratch(t), "w")
	w.root, w.state = base+"/root", base+"/state"
	if err := os.MkdirAll(w.root, 0o755); err != nil {
		t.Fatal(err)
	}
	w.mustStart()
	all := w.cast(editVersions)
	all["bad v1"] = w.pack(t, "bad v1", map[james.ScriptName]string{james.Postinst: "exit 1"}, file("bad", "b"))
	w.acts(all, "b v1")
	e.do(w, all)
	w.age()
	return w, all
}

// editsCommitted returns how many operations the first plan takes.
func editsCommitted(t *testing.T, e edit, plans []string) (ops int64) {
	w, all := edited(t, e)
	var count atomic.Int64
	w.hook = func(before bool, _ disk.Op) error { count.Add(1); return nil }
	for n, plan := range plans {
		r := w.act(all, plan)
		if r.Result != james.Committed && r.Result != james.Refused || r.Result == james.Refused && r.Kind != james.KindConflict {
			t.Fatalf("%s: %s, kind %s: %s", plan, r.Result, r.Kind, r.Error)
		}
		if n == 0 {
			ops = count.Load() / 2 // each is seen before and after
		}
		w.checkClean()
		w.checkWords(plan, e.words)
	}
	w.close()
	return ops
}

func editsUndone(t *testing.T, e edit, plan string) {
	w, all := edited(t, e)
	before := w.tree(true)
	if r := w.act(all, plan+"; bad v1"); r.Result == james.Committed {
		t.Fatalf("%+v", r)
	}
	w.checkClean()
	if d := diff(before, w.tree(true)); d != "" {
		t.Errorf("%s was not undone:\n%s", plan, d)
	}
	w.close()
}

func editsCutOff(t *testing.T, e edit, plan string, n int64) {
	w, all := edited(t, e)
	w.hook = dieAt(n, true)
	w.act(all, plan)
	w.hook = nil
	if r, err := w.start(); err != nil || r != nil && r.Result == james.Broken {
		t.Fatalf("operation %d: %+v, %v", n, r, err)
	}
	w.checkClean()
	w.checkWords(fmt.Sprintf("%s, cut off at operation %d", plan, n), e.words)
	w.close()
}

// checkWords fails unless each word is the content of a file or the target of a
// link.
func (w *world) checkWords(when string, words []string) {
	w.t.Helper()
	found := map[string]bool{}
	filepath.WalkDir(w.root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			w.t.Fatal(err)
		}
		switch d.Type() {
		case 0:
			found[string(must(os.ReadFile(path)))] = true
		case os.ModeSymlink:
			found[must(os.Readlink(path))] = true
		}
		return nil
	})
	for _, word := range words {
		if !found[word] {
			w.t.Fatalf("%s: %s is lost, there is %s", when, word, w.files())
		}
	}
}

// TestEditsOfAUser is TestEdits by somebody who is not the superuser.
func TestEditsOfAUser(t *testing.T) {
	t.Parallel()
	need.Superuser(t)
	dir := scratch(t)
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestEdits$", "-test.v")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "TMPDIR="+dir, "HOME="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	if err != nil || strings.Count(string(out), "--- PASS: TestEdits/") != len(edits)*len(editPlans) {
		t.Fatalf("%v\n%s", err, out)
	}
}
