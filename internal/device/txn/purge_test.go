package txn_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trusch/jamesd/internal/device/disk"
	"github.com/trusch/jamesd/pkg/james"
)

// TestPurge has an app go with its configuration, whatever was made of it: what is
// left is of others.
func TestPurge(t *testing.T) {
	t.Parallel()
	left := map[string]string{
		"a link instead":            "etc/MY-FILE=MINE",
		"a directory instead":       "etc/c/mine=MINE",
		"a file of the name beside": "etc/c.james-new=NOTES", // no packet put it there
	}
	for _, e := range edits {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			w, all := edited(t, e)
			w.acts(all, "--b")
			if got := w.files(); got != left[e.name] {
				t.Errorf("left is %q", got)
			}
			w.close()
		})
	}
}

// TestPurgeLater purges an app that was uninstalled before, by installing it once
// more.
func TestPurgeLater(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.mustStart()
	all := w.cast(editVersions)
	w.acts(all, "b v1")
	w.write("etc/c", "MINE")
	w.acts(all, "-b")
	if got := w.files(); got != "etc/c=MINE" {
		t.Fatalf("left is %q", got)
	}
	w.acts(all, "b v2", "--b")
	if got := w.files(); got != "" {
		t.Errorf("left is %q", got)
	}
}

// TestPurgeOfOthers leaves alone what belongs to a packet that replaces the purged
// one, also when both are in one plan, and makes way for one that does not.
func TestPurgeOfOthers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		plans []string
		want  string
	}{
		{[]string{"a v1", "--b"}, "etc/c=MINE etc/l>1 x=a1"},
		{[]string{"--b; a v1"}, "etc/c=MINE etc/l>1 x=a1"},
		{[]string{"a v1; --b"}, "etc/c=MINE etc/l>1 x=a1"},
		{[]string{"a v1", "--a"}, ""}, // x was taken over, and went with a
		{[]string{"--b; c v1"}, "etc/c=c etc/l>c"},
		{[]string{"-b; c v1"}, "etc/c.james-new=c etc/c=MINE etc/l>c"},
		{[]string{"b v4", "--b"}, "etc/c=MINE"}, // what a version before had is not known any more
	} {
		t.Run(strings.Join(c.plans, ", "), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.mustStart()
			all := w.cast(editVersions)
			w.acts(all, "b v1")
			w.write("etc/c", "MINE")
			w.acts(all, c.plans...)
			if got := w.files(); got != c.want {
				t.Errorf("left is %q, want %q", got, c.want)
			}
		})
	}
}

// TestPurgeTold has the scripts of a purged app told, also while that is undone by
// another process.
func TestPurgeTold(t *testing.T) {
	t.Parallel()
	const tell = `echo "$JAMES_PACKET $JAMES_ACTION ${JAMES_PURGE-keep}" >> "$JAMES_ROOT/../log"`
	for _, c := range []struct{ name, plan, want string }{
		{"uninstalled", "-b", "b remove keep"},
		{"purged", "--b", "b remove 1"},
		{"undone", "--b; bad v1", "b remove 1, b restore 1"},
		{"cut off", "--b; dies v1", "b remove 1, b restore 1"},
		{"another one is purged", "--c; -b", "b remove keep"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.mustStart()
			all := w.cast(versions{"c v1": {file("c", "c")}})
			all["b v1"] = w.pack(t, "b v1", map[james.ScriptName]string{james.Postrm: tell, james.Preinst: "[ $1 = install ] || " + tell}, file("b", "b"))
			all["bad v1"] = w.pack(t, "bad v1", map[james.ScriptName]string{james.Postinst: "exit 1"}, file("bad", "b"))
			all["dies v1"] = w.pack(t, "dies v1", map[james.ScriptName]string{james.Postinst: "touch $JAMES_ROOT/../dies"}, file("dies", "d"))
			w.acts(all, "b v1", "c v1")
			w.hook = func(bool, disk.Op) error {
				if _, err := os.Stat(filepath.Join(w.root, "../dies")); err == nil {
					return errDead
				}
				return nil
			}
			w.act(all, c.plan)
			w.hook = nil
			if _, err := w.start(); err != nil {
				t.Fatal(err)
			}
			if got := strings.ReplaceAll(strings.TrimSpace(w.read("../log")), "\n", ", "); got != c.want {
				t.Errorf("told %q, want %q", got, c.want)
			}
		})
	}
}

// TestPurgeUndone brings the edited files back.
func TestPurgeUndone(t *testing.T) {
	t.Parallel()
	for _, e := range edits {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			w, all := edited(t, e)
			before := w.tree(true)
			if r := w.act(all, "--b; bad v1"); r.Result != james.RolledBack {
				t.Fatalf("%+v", r)
			}
			w.checkClean()
			if d := diff(before, w.tree(true)); d != "" {
				t.Error(d)
			}
			w.close()
		})
	}
}
