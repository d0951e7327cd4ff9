package txn_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/trusch/jamesd/internal/device/txn"
	"github.com/trusch/jamesd/pkg/james"
)

// TestConfig goes through the table of config.go: what a file holds after v1, an
// edit, v2, and the removal of v2. "-" is no file; "/" parts the file from the
// one beside it.
func TestConfig(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name              string
		v1, local, v2     string // content; "" of local is no edit, "-" a deletion, "" of v1 or v2 no such file
		unmanaged         string // there before v1
		after1, after2    string
		afterRemoval      string
		beside3, after3   string // where set, a third version with this content and what is there after it
		edit2             string // after v2
		upgradedLocalName string
	}{
		{name: "not edited, changed upstream", v1: "1", v2: "2", after1: "1/-", after2: "2/-", afterRemoval: "-/-"},
		{name: "not edited, same upstream", v1: "1", v2: "1", after1: "1/-", after2: "1/-", afterRemoval: "-/-"},
		{name: "edited, same upstream", v1: "1", local: "e", v2: "1", after1: "1/-", after2: "e/-", afterRemoval: "e/-"},
		{name: "edited, changed upstream", v1: "1", local: "e", v2: "2", after1: "1/-", after2: "e/2", afterRemoval: "e/-"},
		{name: "edited to what upstream has", v1: "1", local: "2", v2: "2", after1: "1/-", after2: "2/-", afterRemoval: "-/-"},
		{name: "deleted, same upstream", v1: "1", local: "-", v2: "1", after1: "1/-", after2: "-/-", afterRemoval: "-/-"},
		{name: "deleted, changed upstream", v1: "1", local: "-", v2: "2", after1: "1/-", after2: "-/2", afterRemoval: "-/-"},
		{name: "edited, dropped upstream", v1: "1", local: "e", v2: "", after1: "1/-", after2: "e/-", afterRemoval: "e/-"},
		{name: "not edited, dropped upstream", v1: "1", v2: "", after1: "1/-", after2: "-/-", afterRemoval: "-/-"},
		{name: "new upstream", v1: "", v2: "2", after1: "-/-", after2: "2/-", afterRemoval: "-/-"},
		{name: "unmanaged, other content", unmanaged: "u", v1: "1", v2: "2", after1: "u/1", after2: "u/2", afterRemoval: "u/-"},
		{name: "unmanaged, same content", unmanaged: "1", v1: "1", v2: "2", after1: "1/-", after2: "2/-", afterRemoval: "-/-"},
		{name: "what lies beside stays until it is merged", v1: "1", local: "e", v2: "2", after1: "1/-", after2: "e/2", beside3: "2", after3: "e/2", afterRemoval: "e/-"},
		{name: "what lies beside is replaced", v1: "1", local: "e", v2: "2", after1: "1/-", after2: "e/2", beside3: "3", after3: "e/3", afterRemoval: "e/-"},
		{name: "merged", v1: "1", local: "e", v2: "2", after1: "1/-", after2: "e/2", edit2: "2", beside3: "3", after3: "3/-", afterRemoval: "-/-"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			if c.unmanaged != "" {
				w.put("etc/a.conf=" + c.unmanaged)
			}
			w.mustStart()
			version := func(tag, content string) *james.Packet {
				members := []member{file("usr/bin/a", tag)}
				if content != "" {
					members = append(members, file("etc/a.conf", content))
				}
				return w.pack(t, "a "+tag, nil, members...)
			}
			check := func(when, want string) {
				t.Helper()
				got := w.config("etc/a.conf") + "/" + w.config("etc/a.conf.james-new")
				if got != want {
					t.Fatalf("%s there is %q, want %q", when, got, want)
				}
			}
			last := version("v1", c.v1)
			w.must(install(last))
			check("after v1", c.after1)
			w.edit("etc/a.conf", c.local)
			v2 := version("v2", c.v2)
			w.must(upgrade(last, v2))
			check("after v2", c.after2)
			last = v2
			if c.beside3 != "" {
				w.edit("etc/a.conf", c.edit2)
				v3 := version("v3", c.beside3)
				w.must(upgrade(last, v3))
				check("after v3", c.after3)
				last = v3
			}
			w.must(remove(last))
			check("after the removal", c.afterRemoval)
		})
	}
}

func (w *world) config(path string) string {
	raw, err := os.ReadFile(filepath.Join(w.root, path))
	if os.IsNotExist(err) {
		return "-"
	}
	return string(raw)
}

func (w *world) edit(path, content string) {
	switch content {
	case "":
	case "-":
		os.Remove(filepath.Join(w.root, path))
	default:
		w.write(path, content)
	}
}

func TestConfigIsOnlyFilesInEtc(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.mustStart()
	v1 := w.pack(t, "a v1", nil, file("usr/etc/x", "1"), symlink("etc/link", "1"), file("etc/two", "1"), hardlink("etc/names", "etc/two"))
	v2 := w.pack(t, "a v2", nil, file("usr/etc/x", "2"), symlink("etc/link", "2"), file("etc/two", "2"), hardlink("etc/names", "etc/two"))
	w.must(install(v1))
	w.write("usr/etc/x", "edited")
	w.write("etc/two", "edited")
	w.must(upgrade(v1, v2))
	if got := w.names(); got != "etc/ etc/link etc/names etc/two usr/ usr/etc/ usr/etc/x" {
		t.Errorf("there is %s", got)
	}
	if w.read("usr/etc/x") != "2" || w.read("etc/names") != "2" || must(os.Readlink(filepath.Join(w.root, "etc/link"))) != "2" {
		t.Error("not replaced")
	}
}

func TestConfigKeepsLocalMode(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.mustStart()
	v1, v2 := w.pack(t, "a v1", nil, file("etc/a", "1")), w.pack(t, "a v2", nil, file("etc/a", "2"))
	w.must(install(v1))
	if err := os.Chmod(filepath.Join(w.root, "etc/a"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.must(upgrade(v1, v2))
	if st := must(os.Stat(filepath.Join(w.root, "etc/a"))); st.Mode() != 0o600 || w.read("etc/a") != "2" {
		t.Errorf("mode %s, content %q", st.Mode(), w.read("etc/a"))
	}
}

func TestConfigDirsOption(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.opts.ConfigDirs = []james.Path{"opt/conf"}
	w.mustStart()
	v1, v2 := w.pack(t, "a v1", nil, file("opt/conf/a", "1"), file("etc/a", "1")), w.pack(t, "a v2", nil, file("opt/conf/a", "2"), file("etc/a", "2"))
	w.must(install(v1))
	w.write("opt/conf/a", "e")
	w.write("etc/a", "e")
	w.must(upgrade(v1, v2))
	if got := w.read("opt/conf/a") + w.read("etc/a"); got != "e2" {
		t.Errorf("the files hold %q", got)
	}
}

// TestConfigTakenOver goes through the table of config.go with the file of a
// packet that another one replaces: what b has, what is on the device, what a
// brings, and what there is when a came, when b was upgraded to have "b2" and when
// both are gone.
func TestConfigTakenOver(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, b, local, a, taken, later, gone string }{
		{"not edited", "1", "", "2", "2/-", "2/-", "-/-"},
		{"not edited, same content", "1", "", "1", "1/-", "1/-", "-/-"},
		{"edited, same content", "1", "e", "1", "e/-", "e/-", "e/-"},
		{"edited, other content", "1", "e", "2", "e/2", "e/2", "e/-"},
		{"edited to what the new one has", "1", "2", "2", "2/-", "2/-", "-/-"},
		{"deleted, same content", "1", "-", "1", "-/-", "-/-", "-/-"},
		{"deleted, other content", "1", "-", "2", "-/2", "-/2", "-/-"},
		{"not there before", "", "", "2", "2/-", "2/-", "-/-"},
	} {
		for _, plan := range []string{"a v1", "-b; a v1", "a v1; -b", "a v1; b v3", "b v3; a v1"} {
			t.Run(c.name+", "+plan, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				w.mustStart()
				vs := versions{"b v1": {file("x", "1")}, "b v2": {file("etc/c", "b2")}, "b v3": {file("etc/c", "b3")}, "a v1>b": {file("etc/c", c.a)}}
				if c.b != "" {
					vs["b v1"] = append(vs["b v1"], file("etc/c", c.b))
				}
				all := w.cast(vs)
				w.acts(all, "b v1")
				w.edit("etc/c", c.local)
				check := func(when, want string) {
					t.Helper()
					if got := w.config("etc/c") + "/" + w.config("etc/c.james-new"); got != want {
						t.Fatalf("%s there is %q, want %q", when, got, want)
					}
				}
				w.acts(all, plan)
				check("after "+plan, c.taken)
				w.acts(all, "b v2")
				check("when b is upgraded", c.later)
				w.acts(all, "-b", "-a")
				check("when both are gone", c.gone)
			})
		}
	}
}

// TestBesideTakenOver has the version that lies beside the local one belong to
// the packet that replaces.
func TestBesideTakenOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.mustStart()
	all := w.cast(versions{"b v1": {file("etc/c", "1")}, "b v2": {file("etc/c", "2")}, "b v3": {file("etc/c", "3")}, "a v1>b": {file("etc/c", "a")}, "a v2>b": {file("x", "a")}})
	w.acts(all, "b v1")
	w.write("etc/c", "e")
	for _, c := range []struct{ plan, want string }{
		{"b v2", "etc/c.james-new=2 etc/c=e"},
		{"a v1", "etc/c.james-new=a etc/c=e"},
		{"b v3", "etc/c.james-new=a etc/c=e"},
		{"a v2", "etc/c=e x=a"},
		{"b v2", "etc/c.james-new=2 etc/c=e x=a"},
		{"-b; -a", "etc/c=e"},
	} {
		w.acts(all, c.plan)
		if got := w.files(); got != c.want {
			t.Fatalf("after %s there is %q, want %q", c.plan, got, c.want)
		}
	}
}

// TestConfigLink treats a symbolic link as a file whose content is its target.
func TestConfigLink(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, local, v2, want, gone string }{
		{"not changed", "", "2", "l>2", ""},
		{"changed", "mine", "2", "l.james-new>2 l>mine", "l>mine"},
		{"changed, same upstream", "mine", "1", "l>mine", "l>mine"},
		{"removed, same upstream", "-", "1", "", ""},
		{"removed, changed upstream", "-", "2", "l.james-new>2", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.opts.ConfigDirs = []james.Path{"."}
			w.mustStart()
			all := w.cast(versions{"a v1": {symlink("l", "1")}, "a v2": {symlink("l", c.v2)}, "a v3": {symlink("l", c.v2), dir("d")}})
			w.acts(all, "a v1")
			if c.local != "" {
				os.Remove(filepath.Join(w.root, "l"))
			}
			if c.local != "" && c.local != "-" {
				w.put("l>" + c.local)
			}
			for _, plan := range []string{"a v2", "a v3"} {
				w.acts(all, plan)
				if got := w.files(); got != c.want {
					t.Fatalf("after %s there is %q, want %q", plan, got, c.want)
				}
			}
			w.acts(all, "-a")
			if got := w.files(); got != c.gone {
				t.Errorf("left is %q, want %q", got, c.gone)
			}
		})
	}
}

// TestConfigNotMergeable refuses what would be the end of an edited file and cannot
// lie beside it.
func TestConfigNotMergeable(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.put("etc/u=mine")
	w.mustStart()
	all := w.cast(versions{
		"a v1": {file("etc/c", "1")}, "a v2": {file("etc/c", "2"), hardlink("etc/d", "etc/c")}, "a v3": {fifo("etc/c")}, "a v4": {dir("etc/c")},
		"b v1": {fifo("etc/u")},
	})
	w.acts(all, "a v1")
	w.write("etc/c", "e")
	for _, plan := range []string{"a v2", "a v3", "a v4", "b v1"} {
		if r := w.act(all, plan); r.Result != james.Refused || r.Kind != james.KindConflict || !strings.Contains(r.Error, "; move it away") {
			t.Errorf("%s: %s: %s", plan, r.Result, r.Error)
		}
	}
	w.write("etc/c", "1")
	w.acts(all, "a v3")
}

// TestBesideNames finds the version beside an edited file again, whatever name it
// was given.
func TestBesideNames(t *testing.T) {
	t.Parallel()
	long, umlauts := "etc/"+strings.Repeat("n", 250), "etc/"+strings.Repeat("ü", 127)
	for _, c := range []struct {
		name, path string
		put        string // a file of the administrator
		usual      bool   // NAME.james-new is the one that is used
	}{
		{"short", "etc/c", "", true},
		{"as long as can be", "etc/" + strings.Repeat("n", 245), "", true},
		{"too long", long, "", false},
		{"the longest", long + "nnnnn", "", false},
		{"too long in UTF-8", umlauts, "", false},
		{"taken", "etc/c", "etc/c.james-new", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			var theirs int
			if c.put != "" {
				w.put(c.put + "=theirs")
				theirs = 1
			}
			w.mustStart()
			all := w.cast(versions{"a v1": {file(c.path, "1")}, "a v2": {file(c.path, "2")}, "a v3": {file(c.path, "3")}, "a v4": {file(c.path, "3"), file("x", "4")}})
			w.acts(all, "a v1")
			w.write(c.path, "e")
			for n, want := range []string{"2", "3", "3"} {
				plan := fmt.Sprintf("a v%d", n+2)
				w.acts(all, plan)
				beside := must(filepath.Glob(filepath.Join(w.root, "etc/*.james-new")))
				if len(beside) != 1+theirs || w.read(c.path) != "e" {
					t.Fatalf("after %s there is %q", plan, beside)
				}
				name := slices.DeleteFunc(beside, func(n string) bool { return w.readFile(n) == "theirs" })[0]
				if got := w.readFile(name); got != want {
					t.Errorf("after %s it holds %q", plan, got)
				}
				if (name == filepath.Join(w.root, c.path+".james-new")) != c.usual || !utf8.ValidString(name) {
					t.Errorf("its name is %q", name)
				}
			}
			w.acts(all, "-a")
			if left := must(os.ReadDir(filepath.Join(w.root, "etc"))); len(left) != 1+theirs {
				t.Errorf("left is %v", left)
			}
		})
	}
}

// TestBesideSeen does not put the same version beside a file again that somebody
// has removed there, or edited.
func TestBesideSeen(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, edit, want, next, gone string }{
		{"left alone", "", "etc/c.james-new=2 etc/c=e", "etc/c.james-new=4 etc/c=e", "etc/c=e"},
		{"removed", "-", "etc/c=e", "etc/c.james-new=4 etc/c=e", "etc/c=e"},
		{"edited", "m", "etc/c.james-new=m etc/c=e", "etc/c.210caf05.james-new=4 etc/c.james-new=m etc/c=e", "etc/c.james-new=m etc/c=e"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.mustStart()
			all := w.cast(versions{
				"a v1": {file("etc/c", "1")}, "a v2": {file("etc/c", "2")}, "a v3": {file("etc/c", "2"), dir("d")}, "a v4": {file("etc/c", "4")}, "a v5": {file("etc/c", "4"), dir("d")},
			})
			w.acts(all, "a v1")
			w.write("etc/c", "e")
			w.acts(all, "a v2")
			w.edit("etc/c.james-new", c.edit)
			for _, step := range []struct{ plan, want string }{{"a v3", c.want}, {"a v2", c.want}, {"a v4", c.next}, {"a v5", c.next}, {"-a", c.gone}} {
				w.acts(all, step.plan)
				if got := w.files(); got != step.want {
					t.Fatalf("after %s there is %q, want %q", step.plan, got, step.want)
				}
			}
		})
	}
}

// readFile is read for an absolute name.
func (w *world) readFile(name string) string { return string(must(os.ReadFile(name))) }

// TestConfigLost has configuration files go with the packet that had taken them
// over. Nobody has deleted them, so the replaced packet's next version comes there.
func TestConfigLost(t *testing.T) {
	t.Parallel()
	lose := []string{"b v1", "a v1", "-a"}
	for _, c := range []struct {
		name          string
		before, after []string // plans
		edit          string   // of etc/c, in between
		want          string
	}{
		{"the same content", lose, []string{"b v2"}, "", "etc/c=1"},
		{"installed again", lose, []string{"b v1"}, "", "etc/c=1"},
		{"other content", lose, []string{"b v3"}, "", "etc/c=3"},
		{"never placed", []string{"a v1", "b v1", "-a"}, []string{"b v3"}, "", "etc/c=3"},
		{"the path is left out", []string{"b v1", "a v1", "a v2"}, []string{"b v3"}, "", "etc/c=3 x=a"},
		{"other plans between", lose, []string{"z v1", "-z", "b v2"}, "", "etc/c=1"},
		{"taken over again", lose, []string{"a v1", "-a", "b v2"}, "", "etc/c=1"},
		{"taken over from what is lost", lose, []string{"a v1"}, "", "etc/c=a"},
		{"not before the next version", lose, []string{"z v1"}, "", "z=z"},
		{"made anew by somebody", lose, []string{"b v3"}, "MINE", "etc/c.james-new=3 etc/c=MINE"},
		{"made anew as it was", lose, []string{"b v3"}, "1", "etc/c=3"},
		{"made anew and deleted later", lose, []string{"z v1", "b v2", "-z"}, "MINE", "etc/c=MINE"},
		{"edited before it would go", []string{"b v1", "a v1"}, []string{"-a", "b v3"}, "MINE", "etc/c.james-new=3 etc/c=MINE"},
		{"deleted when it is its own again", append(lose, "b v2"), []string{"b v1"}, "-", ""},
		{"both go", lose, []string{"-b"}, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.mustStart()
			all := w.cast(versions{
				"b v1": {file("etc/c", "1")}, "b v2": {file("etc/c", "1"), dir("d")}, "b v3": {file("etc/c", "3")},
				"a v1>b": {file("etc/c", "a")}, "a v2": {file("x", "a")}, "z v1": {file("z", "z")},
			})
			w.acts(all, c.before...)
			w.edit("etc/c", c.edit)
			w.acts(all, c.after...)
			if got := w.files(); got != c.want {
				t.Errorf("there is %q, want %q", got, c.want)
			}
		})
	}
}

// TestConfigLostRepaired has a repair fetch what went with another packet, which
// counts as damaged, and from then on it is like any other configuration file.
func TestConfigLostRepaired(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.mustStart()
	all := w.cast(versions{
		"b v1": {file("etc/c", "1"), symlink("etc/l", "1"), file("p", "1")}, "b v2": {file("etc/c", "2"), symlink("etc/l", "2"), file("p", "2")},
		"a v1>b": {file("etc/c", "a"), symlink("etc/l", "a"), file("p", "a")},
	})
	w.acts(all, "b v1", "a v1", "-a")
	if got := w.changes(txn.Verification{}); got != "b: etc/c missing, b: etc/l missing, b: p missing" {
		t.Errorf("lost: %s", got)
	}
	did, err := w.in.Repair(t.Context(), w.packets, txn.Verification{})
	if err != nil || did.Repaired != 3 || len(did.Left) != 0 {
		t.Fatalf("%+v, %v", did, err)
	}
	if got := w.files(); got != "etc/c=1 etc/l>1 p=1" {
		t.Errorf("repaired there is %q", got)
	}
	w.acts(all, "b v2")
	if got := w.files(); got != "etc/c=2 etc/l>2 p=2" {
		t.Errorf("upgraded there is %q", got)
	}
	w.edit("etc/c", "-")
	if got := w.changes(txn.Verification{}); got != "b: etc/c config" {
		t.Errorf("deleted: %s", got)
	}
}
