package txn_test

import (
	"os"
	"path/filepath"
	"testing"

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
