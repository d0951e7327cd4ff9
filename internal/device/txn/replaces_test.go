package txn_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/trusch/jamesd/internal/need"
	"github.com/trusch/jamesd/pkg/james"
)

// packOver makes a packet that replaces others, "b,c".
func (p *packets) packOver(t testing.TB, app, replaces string, members ...member) *james.Packet {
	t.Helper()
	pk := p.pack(t, app, nil, members...)
	m := *p.manifests[pk.Digest]
	m.Replaces = strings.Split(replaces, ",")
	_, digest, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	p.manifests[digest], p.archives[digest] = &m, p.archives[pk.Digest]
	return &james.Packet{Digest: digest, Name: pk.Name, Tags: pk.Tags}
}

// versions are packets by "name vN", made of members; "name vN>b" replaces b.
type versions map[string][]member

// cast makes the packets and returns what finds them by "name vN".
func (w *world) cast(vs versions) map[string]*james.Packet {
	w.t.Helper()
	all := map[string]*james.Packet{}
	for name, members := range vs {
		app, replaces, over := strings.Cut(name, ">")
		if over {
			all[app] = w.packOver(w.t, app, replaces, members...)
		} else {
			all[app] = w.pack(w.t, app, nil, members...)
		}
	}
	return all
}

// act carries out a plan such as "b v1" (install, or upgrade where another
// version is installed), "-b" (remove it if it is installed), "--b" (purge),
// separated by ";".
func (w *world) act(all map[string]*james.Packet, plan string) *james.Report {
	w.t.Helper()
	var steps []james.Step
	for part := range strings.SplitSeq(plan, ";") {
		part = strings.TrimSpace(part)
		name, purge := strings.CutPrefix(part, "--")
		name, gone := strings.CutPrefix(name, "-")
		step := james.Step{Purge: purge}
		app, _, _ := strings.Cut(name, " ")
		for _, a := range w.in.Apps() {
			if a.Name == app {
				step.Old = &a
			}
		}
		if !purge && !gone {
			if step.New = all[name]; step.New == nil {
				w.t.Fatalf("there is no packet %s", name)
			}
		}
		if step.Old != nil || step.New != nil {
			steps = append(steps, step)
		}
	}
	return w.apply(steps...)
}

// acts carries out several plans that must be committed.
func (w *world) acts(all map[string]*james.Packet, plans ...string) {
	w.t.Helper()
	for _, plan := range plans {
		if r := w.act(all, plan); r.Result != james.Committed || r.Error != "" {
			w.t.Fatalf("%s: result %s: %s", plan, r.Result, r.Error)
		}
		w.checkClean()
	}
}

// files lists what is in the root but directories as "path=content",
// "path>target" or "path|", sorted.
func (w *world) files() string {
	w.t.Helper()
	var out []string
	for path, line := range w.tree(false) {
		switch line[0] {
		case 'd':
		case 'p':
			out = append(out, path+"|")
		case 'l', 'L':
			out = append(out, path+">"+must(os.Readlink(filepath.Join(w.root, path))))
		default:
			out = append(out, path+"="+w.read(path))
		}
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

// TestReplaces goes through who has a path that two packets claim: what is there
// after a sequence of plans, each of which is committed.
func TestReplaces(t *testing.T) {
	t.Parallel()
	vs := versions{
		"b v1": {file("p", "b1"), file("own", "b1")}, "b v2": {file("p", "b2"), file("own", "b2")},
		"b v3": {file("own", "b3")}, "b v4>a": {file("p", "b4")},
		"a v1>b": {file("p", "a1")}, "a v2>b": {file("p", "a2")}, "a v3>b": {file("other", "a3")}, "a v4": {file("other", "a4")},
		"c v1>a,b": {file("p", "c1")},
		"low v1":   {file("usr/lib/x", "low")}, "high v1>low": {file("lib/x", "high")}, "link v1": {symlink("lib", "usr/lib")},
		"dir v1": {dir("lib")},
	}
	for _, c := range []struct {
		name  string
		put   []string
		plans []string
		want  string
	}{
		{"it takes over from what is installed", nil, []string{"b v1", "a v1"}, "own=b1 p=a1"},
		{"it keeps what it has when the replaced one comes", nil, []string{"a v1", "b v1"}, "own=b1 p=a1"},
		{"both come, the replaced one first", nil, []string{"b v1; a v1"}, "own=b1 p=a1"},
		{"both come, the replaced one last", nil, []string{"a v1; b v1"}, "own=b1 p=a1"},
		{"an upgrade of the replaced one", nil, []string{"b v1", "a v1", "b v2"}, "own=b2 p=a1"},
		{"an upgrade of the replacing one", nil, []string{"b v1", "a v1", "a v2"}, "own=b1 p=a2"},
		{"both are upgraded, the replaced one first", nil, []string{"b v1", "a v1", "b v2; a v2"}, "own=b2 p=a2"},
		{"both are upgraded, the replaced one last", nil, []string{"b v1", "a v1", "a v2; b v2"}, "own=b2 p=a2"},
		{"an upgrade begins to replace", nil, []string{"b v1", "a v4", "a v1"}, "own=b1 p=a1"},
		{"both are upgraded, one begins to replace, first", nil, []string{"b v1", "a v4", "a v1; b v2"}, "own=b2 p=a1"},
		{"both are upgraded, one begins to replace, last", nil, []string{"b v1", "a v4", "b v2; a v1"}, "own=b2 p=a1"},
		{"the replaced one goes", nil, []string{"b v1", "a v1", "-b"}, "p=a1"},
		{"the replacing one goes", nil, []string{"b v1", "a v1", "-a"}, "own=b1"},
		{"the replacing one goes, and the replaced one is installed again", nil, []string{"b v1", "a v1", "-a; b v1"}, "own=b1 p=b1"},
		{"the replacing one goes, and the replaced one is upgraded first", nil, []string{"b v1", "a v1", "b v2; -a"}, "own=b2 p=b2"},
		{"the replacing one goes, and the replaced one is upgraded later", nil, []string{"b v1", "a v1", "-a", "b v2"}, "own=b2 p=b2"},
		{"both go", nil, []string{"b v1", "a v1", "-a; -b"}, ""},
		{"both go, the replaced one first", nil, []string{"b v1", "a v1", "-b; -a"}, ""},
		{"both go, one after the other", nil, []string{"b v1", "a v1", "-a", "-b"}, ""},
		{"the replaced one goes as the replacing one comes", nil, []string{"b v1", "-b; a v1"}, "p=a1"},
		{"the replacing one comes as the replaced one goes", nil, []string{"b v1", "a v1; -b"}, "p=a1"},
		{"the replacing one has the path no more", nil, []string{"b v1", "a v1", "a v3"}, "other=a3 own=b1"},
		{"the replacing one has neither path nor replaces", nil, []string{"b v1", "a v1", "a v4"}, "other=a4 own=b1"},
		{"it has the path no more, and the other is upgraded first", nil, []string{"b v1", "a v1", "b v2; a v3"}, "other=a3 own=b2 p=b2"},
		{"it has the path no more, and the other is upgraded last", nil, []string{"b v1", "a v1", "a v3; b v2"}, "other=a3 own=b2 p=b2"},
		{"the replaced one has the path no more", nil, []string{"b v1", "a v1", "b v3"}, "own=b3 p=a1"},
		{"the replaced one gets the path", nil, []string{"b v3", "a v1", "b v1"}, "own=b1 p=a1"},
		{"they change roles", nil, []string{"b v1", "a v1", "a v4; b v4"}, "other=a4 p=b4"},
		{"one replaces two of which one replaces the other", nil, []string{"b v1", "a v1", "c v1"}, "own=b1 p=c1"},
		{"all three at once", nil, []string{"b v1; a v1; c v1"}, "own=b1 p=c1"},
		{"all three at once, the other way", nil, []string{"c v1; a v1; b v1"}, "own=b1 p=c1"},
		{"the first of three goes", nil, []string{"c v1; a v1; b v1", "-c", "a v2"}, "own=b1 p=a2"},
		{"through a link", []string{"usr/lib/", "lib>usr/lib"}, []string{"low v1", "high v1"}, "lib>usr/lib usr/lib/x=high"},
		{"through a link, the other way", []string{"usr/lib/", "lib>usr/lib"}, []string{"high v1", "low v1"}, "lib>usr/lib usr/lib/x=high"},
		{"through a link that comes with them", nil, []string{"link v1; low v1; high v1"}, "lib>usr/lib usr/lib/x=high"},
		{"through a link that comes with them, the other way", nil, []string{"link v1; high v1; low v1"}, "lib>usr/lib usr/lib/x=high"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.put(c.put...)
			w.mustStart()
			all := w.cast(vs)
			w.acts(all, c.plans...)
			if got := w.files(); got != c.want {
				t.Fatalf("there is %q, want %q", got, c.want)
			}
			for _, a := range w.in.Apps() {
				w.acts(all, "-"+a.Name)
			}
			put := newWorld(t)
			put.put(c.put...)
			if got, want := w.names(), put.names(); got != want {
				t.Errorf("after all is removed there is %q, want %q", got, want)
			}
		})
	}
}

// TestReplacesUndone has the last of several plans fail at its end: everything is
// as before.
func TestReplacesUndone(t *testing.T) {
	t.Parallel()
	for n, plans := range [][]string{
		{"b v1", "a v1"}, {"a v1", "b v1"}, {"b v1; a v1"}, {"a v1; b v1"}, {"b v1", "a v1", "b v2; a v2"}, {"b v1", "a v1", "a v2; b v2"},
		{"b v1", "a v1", "-a"}, {"b v1", "a v1", "-b"}, {"b v1", "a v1", "-a; b v2"}, {"b v1", "--b; a v1"}, {"b v1", "a v1", "--a; --b"},
	} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.mustStart()
			all := w.cast(versions{
				"b v1": {file("p", "b1"), file("etc/p", "b1"), file("etc/q", "b1")}, "b v2": {file("p", "b2"), file("etc/p", "b2"), file("etc/q", "b2")},
				"a v1>b": {file("p", "a1"), file("etc/p", "a1"), file("etc/q", "a1")}, "a v2>b": {file("p", "a2"), file("etc/p", "a2")},
			})
			all["bad v1"] = w.pack(t, "bad v1", map[james.ScriptName]string{james.Postinst: "exit 1"}, file("bad", "b"))
			last := len(plans) - 1
			w.acts(all, plans[:last]...)
			if last > 0 {
				w.write("etc/p", "edited")
			}
			w.age()
			before, apps := w.tree(true), w.apps()
			if r := w.act(all, plans[last]+"; bad v1"); r.Result != james.RolledBack {
				t.Fatalf("%s: %s", r.Result, r.Error)
			}
			w.checkClean()
			if d := diff(before, w.tree(true)); d != "" || w.apps() != apps {
				t.Errorf("there is %s\n%s", w.apps(), d)
			}
			w.acts(all, plans[last])
		})
	}
}

// TestReplacesRefused has plans refused before an archive is asked for.
func TestReplacesRefused(t *testing.T) {
	t.Parallel()
	vs := versions{
		"b v1": {file("p", "b1")}, "b v2>a": {file("p", "b2")},
		"a v1>b": {file("p", "a1")}, "a v2": {file("p", "a2")}, "a v3>b": {dir("p")}, "a v4>b": {file("p/in", "a4")},
		"c v1>a": {file("p", "c1")},
		"x v1>y": {file("p", "x")}, "y v1>z": {file("p", "y")}, "z v1>x": {file("p", "z")},
		"low v1": {file("usr/lib/x", "low")}, "high v1": {file("lib/x", "high")},
	}
	for _, c := range []struct {
		name string
		put  []string
		have []string
		plan string
		says []string
	}{
		{"each replaces the other", nil, []string{"b v2"}, "a v1", []string{"a v1", "b v2", "each of them replaces the other"}},
		{"each replaces the other, the other way", nil, []string{"a v1"}, "b v2", []string{"a v1", "b v2", "each of them replaces the other"}},
		{"each replaces the other, in one plan", nil, nil, "a v1; b v2", []string{"a v1", "b v2", "each of them replaces the other"}},
		{"an upgrade loses replaces", nil, []string{"b v1", "a v1"}, "a v2", []string{"a v2", "b v1", "p"}},
		{"nobody replaces", nil, []string{"b v1"}, "a v2", []string{"a v2", "b v1", "p"}},
		{"nobody replaces, the other way", nil, []string{"a v2"}, "b v1", []string{"a v2", "b v1", "p"}},
		{"nobody replaces, in one plan", nil, nil, "b v1; a v2", []string{"a v2", "b v1", "p"}},
		{"nobody replaces, through a link", []string{"usr/lib/", "lib>usr/lib"}, []string{"low v1"}, "high v1", []string{"high v1", "low v1", "usr/lib/x"}},
		{"nobody replaces, through a link, the other way", []string{"usr/lib/", "lib>usr/lib"}, []string{"high v1"}, "low v1", []string{"high v1", "low v1", "usr/lib/x"}},
		{"nobody replaces, through a link, in one plan", []string{"usr/lib/", "lib>usr/lib"}, nil, "high v1; low v1", []string{"high v1", "low v1", "usr/lib/x"}},
		{"the replaced of two replaces nobody of a third", nil, []string{"a v1", "b v1"}, "c v1", []string{"b v1", "c v1"}},
		{"in a circle", nil, []string{"x v1; y v1"}, "z v1", []string{"x v1", "z v1", "circle"}},
		{"in a circle, in one plan", nil, nil, "x v1; y v1; z v1", []string{"z v1", "circle"}},
		{"a directory over a file", nil, []string{"b v1"}, "a v3", []string{"a v3", "b v1", "is a directory"}},
		{"a file in a file", nil, []string{"b v1"}, "a v4", []string{"a v4", "b v1", "is a directory"}},
		{"a file over a directory", nil, []string{"a v3"}, "b v1", []string{"a v3", "b v1", "is a directory"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.put(c.put...)
			w.mustStart()
			all := w.cast(vs)
			w.acts(all, c.have...)
			w.spoil = func(r io.Reader) io.Reader { t.Error("an archive was asked for"); return r }
			w.checkRefused(func() *james.Report { return w.act(all, c.plan) }, james.KindConflict, c.says)
		})
	}
}

// TestReplacedPathGone has a file that nobody has any more and another packet
// still claims: a third may not put a directory there.
func TestReplacedPathGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.mustStart()
	all := w.cast(versions{"b v1": {file("p", "b1"), file("own", "b")}, "a v1>b": {file("p", "a1")}, "c v1": {file("p/in", "c")}})
	w.acts(all, "b v1", "a v1", "-a")
	if r := w.act(all, "c v1"); r.Result != james.Refused || !strings.Contains(r.Error, "b v1") {
		t.Fatalf("%s: %s", r.Result, r.Error)
	}
}

// TestReplacedKinds takes over links, fifos and hard links.
func TestReplacedKinds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.mustStart()
	all := w.cast(versions{
		"b v1":   {file("bin/b", "b"), hardlink("bin/c", "bin/b"), hardlink("bin/d", "bin/b"), symlink("l", "b"), fifo("f"), file("t", "b")},
		"a v1>b": {file("bin/b", "a"), symlink("l", "a"), file("f", "a"), symlink("t", "f")},
	})
	const want = "bin/b=a bin/c=b bin/d=b f=a l>a t>f"
	for n, plans := range [][]string{{"b v1", "a v1"}, {"a v1", "b v1"}, {"b v1; a v1"}, {"a v1; b v1"}} {
		w.acts(all, plans...)
		if got := w.files(); got != want {
			t.Errorf("%d: there is %q", n, got)
		}
		c, d := must(os.Stat(filepath.Join(w.root, "bin/c"))), must(os.Stat(filepath.Join(w.root, "bin/d")))
		if !os.SameFile(c, d) {
			t.Errorf("%d: the names that the replaced packet has left are no more one file", n)
		}
		w.acts(all, "-b")
		if got := w.files(); got != "bin/b=a f=a l>a t>f" {
			t.Errorf("%d: after the removal there is %q", n, got)
		}
		w.acts(all, "-a")
		if got := w.names(); got != "" {
			t.Errorf("%d: left is %q", n, got)
		}
	}
}

// TestReplacedLateOwner gives a hard link, whose file another packet has, the
// owner that a script adds.
func TestReplacedLateOwner(t *testing.T) {
	t.Parallel()
	need.Superuser(t)
	w := newWorld(t)
	w.put("etc/passwd=root:x:0:0::/:/bin/sh\n", "etc/group=root:x:0:\n")
	w.mustStart()
	a := w.packOver(t, "a v1", "b", file("x", "a"))
	b := w.pack(t, "b v1", map[james.ScriptName]string{
		james.Preinst: "echo late:x:4321:1::/:/bin/sh >> etc/passwd; echo late:x:99: >> etc/group",
	}, file("x", "b").named("late", "late").mode(0o4755), hardlink("y", "x"))
	w.must(install(a), install(b))
	if got := w.tree(false)["y"]; !strings.Contains(got, "4321:99") || !strings.HasPrefix(got, "urwxr-xr-x") {
		t.Errorf("y is %s", got)
	}
}

// TestRemovedWhereItWasPut removes a file by the links of before, when the same
// plan makes a directory of a link that it was put through.
func TestRemovedWhereItWasPut(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.put("usr/lib/")
	w.mustStart()
	all := w.cast(versions{
		"base v1": {symlink("lib", "usr/lib")}, "base v2": {dir("lib")},
		"b v1": {file("lib/x", "1")}, "b v2": {file("lib/x", "2")},
	})
	w.acts(all, "base v1", "b v1", "base v2; b v2")
	if got := w.files(); got != "lib/x=2" {
		t.Errorf("there is %q", got)
	}
}

// TestTakenOverWhileRefused keeps a plan that is refused when it is asked for the
// last time from leaving anything.
func TestTakenOverWhileRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	refuse := false
	w.opts.BeforeApply = func(context.Context, *james.Plan, func(james.Path) (string, bool)) error {
		if refuse {
			return james.Errorf(james.KindDenied, "plan", "not today")
		}
		return nil
	}
	w.mustStart()
	all := w.cast(versions{"b v1": {file("p", "b"), file("etc/p", "b")}, "a v1>b": {file("p", "a"), file("etc/p", "a")}})
	w.acts(all, "b v1")
	w.age()
	before := w.tree(true)
	refuse = true
	if r := w.act(all, "a v1"); r.Result != james.Refused {
		t.Fatalf("%+v", r)
	}
	if d := diff(before, w.tree(true)); d != "" {
		t.Error(d)
	}
	refuse = false
	w.acts(all, "a v1")
}
