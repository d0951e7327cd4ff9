package txn_test

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/trusch/jamesd/internal/device/disk"
	"github.com/trusch/jamesd/internal/device/disk/mounttest"
	"github.com/trusch/jamesd/pkg/james"
)

// TestReuse installs what installed files have, which something has happened to.
func TestReuse(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		do   func(w *world)
		// orders are the paths that are fetched all the same.
		orders string
	}{
		{"as it was", func(*world) {}, ""},
		{"its time", func(w *world) { w.do(os.Chtimes(w.path("opt/a"), then, then.Add(1))) }, ""},
		{"edited", func(w *world) { w.write("opt/a", "EDITED! content of a") }, "new:srv/a"},
		{"shorter", func(w *world) { w.write("opt/a", "a") }, "new:srv/a"},
		{"longer", func(w *world) { w.write("opt/a", "the content of a, and more") }, "new:srv/a"},
		{"removed", func(w *world) { w.do(os.Remove(w.path("opt/a"))) }, "new:srv/a"},
		{"a link to the same", func(w *world) {
			w.do(os.Rename(w.path("opt/a"), w.path("moved")))
			w.do(os.Symlink("../moved", w.path("opt/a")))
		}, "new:srv/a"},
		{"a link out", func(w *world) {
			outside := filepath.Join(filepath.Dir(w.root), "outside")
			w.do(os.RemoveAll(outside))
			w.do(os.Rename(w.path("opt"), outside))
			w.do(os.Symlink("../outside", w.path("opt")))
		}, "!"},
		{"a directory", func(w *world) { w.do(os.Remove(w.path("opt/a"))); w.do(os.Mkdir(w.path("opt/a"), 0o700)) }, "new:srv/a"},
		{"one of two is edited", func(w *world) { w.write("opt/b", "EDITED! content of b") }, ""},
		{"one of two is edited, the name that is a link", func(w *world) { w.write("opt/b2", "EDITED! content of b") }, ""},
		{"both are edited", func(w *world) { w.write("opt/b", "EDITED! content of b"); w.write("usr/b", "EDITED! content of b") }, "new:srv/b"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.mustStart()
			w.must(install(w.pack(t, "old v1", nil, file("opt/a", "the content of a").mode(0o600), file("opt/b", "the content of b"), hardlink("opt/b2", "opt/b"))),
				install(w.pack(t, "other v1", nil, file("usr/b", "the content of b"))))
			if c.do(w); strings.HasPrefix(c.name, "edited") {
				w.write("opt/a", "The content of a") // of the same size
			}
			w.orders = nil
			new := w.pack(t, "new v1", nil, file("srv/a", "the content of a").mode(0o755), file("srv/b", "the content of b"), file("srv/e", ""))
			r := w.apply(install(new))
			if c.orders == "!" {
				if r.Result != james.Refused || !strings.Contains(r.Error, "leads out") {
					t.Errorf("%+v", r)
				}
				return
			}
			if r.Result != james.Committed {
				t.Fatalf("%+v", r)
			}
			w.checkClean()
			if got := strings.Join(w.ordered(), " "); got != c.orders {
				t.Errorf("ordered was %q, want %q", got, c.orders)
			}
			if got := w.read("srv/a") + w.read("srv/b") + w.read("srv/e"); got != "the content of athe content of b" {
				t.Errorf("installed is %q", got)
			}
			if kept := w.stored(); len(kept) != 0 {
				t.Errorf("the source has %q", kept)
			}
		})
	}
}

// kinds are members of all kinds, with contents that are alike and metadata that are not.
func kinds() []member {
	all := []member{
		dir("d").mode(0o750), file("d/a", "one").mode(0o4755), file("d/b", "one").mode(0o600), file("d/c", strings.Repeat("large", 300_000)),
		hardlink("e/hard", "d/c"), symlink("e/link", "../d/a"), fifo("e/fifo"), file("e/empty", ""), file("e/none", "none of it").mode(0),
		file("s/sparse", holes("data")), file("s/dense", holes("data")), file("etc/conf", "one"),
	}
	if os.Geteuid() == 0 {
		all = append(all, file("x/owned", "two").owner(12, 34), file("x/capable", "three").xattr("security.capability", capability).mode(0o755),
			file("x/noted", "two").xattr("user.note", "hello"), file("x/plain", "three"))
	}
	return all
}

// TestFreshInstallsAreAlike compares what is installed, to the last bit, however its
// contents came.
func TestFreshInstallsAreAlike(t *testing.T) {
	t.Parallel()
	one := func(prepare func(w *world), first ...func(w *world) *james.Packet) map[string]string {
		w := newWorld(t)
		if prepare != nil {
			prepare(w)
		}
		w.mustStart()
		for _, f := range first {
			w.must(install(f(w)))
		}
		p := w.pack(t, "a v1", nil, kinds()...)
		w.sparse(p, "s/sparse")
		var steps []james.Step
		for _, a := range w.in.Apps() {
			steps = append(steps, james.Step{Old: &a})
		}
		w.orders = nil
		w.must(append(steps, install(p))...)
		if len(first) > 0 && len(w.orders) != 0 {
			t.Errorf("ordered was %q", w.ordered())
		}
		return w.tree(false)
	}
	want := one(nil)
	if len(want) < 15 || !strings.Contains(want["s/sparse"], "holes true") || strings.Contains(want["s/dense"], "holes true") {
		t.Fatalf("%q", want)
	}
	apart := func(w *world) {
		w.source = filepath.Join(filepath.Dir(w.root), "apart")
		mounttest.Tmpfs(t, w.source, "size=16m")
	}
	spoilt := func(w *world) *james.Packet { // the same contents elsewhere, with other metadata
		var members []member
		for _, m := range kinds() {
			if m.content != "" {
				m.Name, m.Mode, m.Uid, m.Gid, m.PAXRecords = "old/"+m.Name, 0o640, 0, 0, nil
				members = append(members, m)
			}
		}
		return w.pack(t, "old v1", nil, members...)
	}
	for name, got := range map[string]map[string]string{
		"copied from another file system": one(apart),
		"reused":                          one(nil, spoilt),
		"reused, copied":                  one(apart, spoilt),
		"after a failure": one(func(w *world) {
			w.mustStart()
			odd := kinds()
			for n := range odd {
				if odd[n].content != "" && os.Geteuid() == 0 {
					odd[n] = odd[n].mode(0o2711).owner(5, 6).xattr("user.odd", "1")
				}
			}
			fails := w.pack(t, "fails v1", map[james.ScriptName]string{james.Postinst: "exit 1"}, odd...)
			if r := w.apply(install(fails)); r.Result != james.RolledBack {
				t.Errorf("%+v", r)
			}
			if len(w.stored()) < 4 {
				t.Errorf("the contents are not kept: %q", w.stored())
			}
		}),
	} {
		if d := diff(want, got); d != "" {
			t.Errorf("%s:\n%s", name, d)
		}
	}
}

// TestUnsoundContents has contents of an earlier process, and of this one, spoilt.
func TestUnsoundContents(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		spoil func(t *testing.T, w *world, file string)
	}{
		{"other bytes", func(t *testing.T, _ *world, file string) { write(t, file, "spoilt con") }},
		{"cut off", func(t *testing.T, _ *world, file string) { write(t, file, "sp") }},
		{"gone", func(t *testing.T, w *world, file string) { w.do(os.Remove(file)) }},
		{"a directory", func(t *testing.T, w *world, file string) { w.do(os.Remove(file)); w.do(os.Mkdir(file, 0o700)) }},
	} {
		for _, again := range []bool{false, true} {
			t.Run(c.name+map[bool]string{true: ", at the next start"}[again], func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				w.mustStart()
				p := w.pack(t, "a v1", map[james.ScriptName]string{james.Postinst: `test -e "$JAMES_ROOT/../pass"`}, file("x", "a content."), file("y", "a content."))
				if r := w.apply(install(p)); r.Result != james.RolledBack || w.asked != 1 {
					t.Fatalf("%+v, asked %d times", r, w.asked)
				}
				c.spoil(t, w, filepath.Join(w.source, w.stored()[0]))
				w.do(os.Mkdir(filepath.Dir(w.root)+"/pass", 0o700))
				if again {
					w.close()
					w.mustStart()
				}
				w.must(install(p))
				if w.asked != 2 || w.read("x")+w.read("y") != "a content.a content." {
					t.Errorf("asked %d times, installed %q", w.asked, w.read("x"))
				}
			})
		}
	}
}

func write(t *testing.T, file, content string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// rotting spoils contents when they are handed out, so often.
type rotting struct {
	*packets
	times int
}

func (r *rotting) Content(d james.Digest) (string, error) {
	path, err := r.packets.Content(d)
	if r.times > 0 && err == nil {
		r.times--
		err = os.WriteFile(r.dir.Abs(path), []byte("?"), 0o600)
	}
	return path, err
}

// TestContentRots has contents go bad between the fetch and the copy.
func TestContentRots(t *testing.T) {
	t.Parallel()
	for times, want := range map[int]james.Result{1: james.Committed, 2: james.Committed, 3: james.Refused} {
		w := newWorld(t)
		w.mustStart()
		plan := newPlan([]james.Step{install(w.pack(t, "a v1", nil, file("x", "one content"), file("y", "another one"), file("z", "one content")))})
		r, err := w.in.Apply(t.Context(), &plan, &rotting{w.packets, times})
		if err != nil || r.Result != want || want == james.Refused && r.App == "" {
			t.Errorf("%d times: %+v, %v", times, r, err)
		}
		w.checkClean()
	}
}

// TestOrders is about what is ordered, and what may help.
func TestOrders(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.mustStart()
	v1 := w.pack(t, "linux v1", nil, file("boot/vmlinuz", "kernel 1"), file("etc/linux", "one"), symlink("boot/link", "vmlinuz"))
	w.must(install(v1), install(w.pack(t, "linux-tools v1", nil, file("opt/tools", "tools"))), install(w.pack(t, "shell v1", nil, file("bin/sh", "shell"))))
	w.write("etc/linux", "two")
	w.orders = nil
	v2 := w.pack(t, "linux v2", nil, file("boot/vmlinuz", "kernel 2"), file("boot/copy", "kernel 2"), file("etc/linux", "three"), file("x", "shell"))
	b := w.pack(t, "firmware v1", nil, file("lib/fw", "firmware"), file("lib/kernel", "kernel 2"))
	w.must(upgrade(v1, v2), install(b))
	if got := strings.Join(w.ordered(), " "); len(w.orders) != 1 || got != "linux:boot/copy linux:etc/linux firmware:lib/fw" {
		t.Errorf("%d orders, of %s", len(w.orders), got)
	}
	var have []string
	for _, h := range w.orders[0].Have {
		have = append(have, h.App.String())
	}
	if got := strings.Join(have, " "); got != "linux v1 linux-tools v1" {
		t.Errorf("of the installed packets it names %s", got)
	}
}

// TestBase opens what is installed.
func TestBase(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.put("usr/lib/", "lib>usr/lib")
	w.mustStart()
	v1 := w.pack(t, "a v1", nil, file("lib/sound", "as it was"), file("lib/edited", "as it was"), file("lib/longer", "1"), file("lib/gone", "1"), file("lib/link", "1"), symlink("lib/symlink", "sound"))
	w.must(install(v1))
	w.write("usr/lib/edited", "as it is.")
	w.write("usr/lib/longer", "22")
	w.do(os.Remove(w.path("usr/lib/gone")))
	w.do(os.Remove(w.path("usr/lib/link")))
	w.do(os.Symlink("sound", w.path("usr/lib/link")))
	opened := 0
	w.spoil = func(r io.Reader) io.Reader {
		o := w.orders[len(w.orders)-1]
		for k, e := range o.Have[0].Manifest.Entries {
			opened++
			f, err := o.Base(0, k)
			switch filepath.Base(string(e.Path)) {
			case "sound", "edited": // whose digest is not looked at here
				raw := make([]byte, e.Size)
				if err != nil || f.Size() != e.Size || must(f.ReadAt(raw, 0)) != int(e.Size) || !strings.HasPrefix(string(raw), "as it ") {
					t.Errorf("%s: %v, %q", e.Path, err, raw)
				}
				f.Close()
			default:
				if f != nil || james.KindOf(err) != james.KindCorrupt || !strings.Contains(err.Error(), string(e.Path)) {
					t.Errorf("%s: %v", e.Path, err)
				}
			}
		}
		for _, at := range [][2]int{{-1, 0}, {1, 0}, {0, -1}, {0, 6}} {
			if f, err := o.Base(at[0], at[1]); f != nil || james.KindOf(err) != james.KindInvalid {
				t.Errorf("%v: %v", at, err)
			}
		}
		return r
	}
	w.must(upgrade(v1, w.pack(t, "a v2", nil, file("lib/sound", "as it will be"))))
	if opened != 6 {
		t.Errorf("%d were opened", opened)
	}
}

// TestGrownOrder has installed files turn out to be edited on a device that has no
// room for what is to be fetched in their place.
func TestGrownOrder(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		free int64
		want james.Result
	}{{"room", 40 << 20, james.Committed}, {"no room", 6 << 20, james.Refused}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			mounttest.Tmpfs(t, w.root, "size=64m")
			base := filepath.Join(filepath.Dir(w.root), "ext4")
			mounttest.Ext4(t, base, 64)
			w.source, w.state = base+"/source", base+"/state"
			w.mustStart()
			w.must(install(w.pack(t, "a v1", nil, file("opt/x", noise(20<<20)))))
			w.write("opt/x", noise(20<<20-8)+"edited!!")
			ballast := must(w.packets.dir.Space(".")).Free - c.free
			f := must(os.Create(base + "/ballast"))
			w.do(unix.Fallocate(int(f.Fd()), 0, 0, ballast))
			w.do(f.Close())
			r := w.apply(install(w.pack(t, "b v1", nil, file("opt/y", noise(20<<20)))))
			if r.Result != c.want || c.want == james.Refused && (r.Kind != james.KindUnavailable || !strings.Contains(r.Error, "MiB more are needed")) {
				t.Errorf("%+v", r)
			}
			w.checkClean()
		})
	}
}

// TestForgottenBeforeTheEnd has the source's names of installed files go before the
// transaction ends: a quick verification reads what has changed since.
func TestForgottenBeforeTheEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.mustStart()
	w.must(install(w.pack(t, "a v1", nil, file("x", "1"), file("y", "2"))))
	state := must(w.disk.At(w.state))
	defer state.Close()
	ended := must(state.Lstat("state.json")).Changed
	for _, path := range []string{"x", "y"} {
		if info := must(w.disk.Lstat(path)); info.Links != 1 || info.Changed.After(ended) {
			t.Errorf("%s has %d names and was changed %s after the end", path, info.Links, info.Changed.Sub(ended))
		}
	}
}

// TestLostBytes: after the disk has failed to make what was staged durable, the contents
// of it are fetched anew: they read as they should from memory.
func TestLostBytes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.mustStart()
	steps := []james.Step{install(w.pack(t, "a v1", nil, file("d/x", "1"), file("d/y", "2")))}
	broken := true
	w.hook = func(before bool, op disk.Op) error {
		if broken && before && (op.Name == "syncfs" || op.Name == "fsync" && strings.Contains(op.Path, "/.jamesc/")) {
			return syscall.EIO
		}
		return nil
	}
	if r := w.apply(steps...); r.Result != james.Refused || len(w.ordered()) != 2 || len(w.stored()) != 0 {
		t.Fatalf("%+v, ordered %q, stored %q", r, w.ordered(), w.stored())
	}
	broken = false
	w.must(steps...)
	if len(w.ordered()) != 4 {
		t.Errorf("ordered %q", w.ordered())
	}
}
