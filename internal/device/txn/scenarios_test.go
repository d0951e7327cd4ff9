package txn_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/trusch/jamesd/pkg/james"
)

// scenario is a plan on a device that is to survive anything.
type scenario struct {
	name  string
	each  bool                        // fsync every file by itself
	state string                      // the agent's own directory, seen from the device's; "" is "state"
	apart bool                        // contents come from another file system
	uid   uint32                      // of the user that the agent is, where the superuser runs the tests
	setUp func(w *world) []james.Step // makes the device as it is before and returns the plan
}

// logging are scripts that note their calls beside the root, and do what is asked
// for there.
func logging(names ...james.ScriptName) map[james.ScriptName]string {
	if len(names) == 0 {
		names = []james.ScriptName{james.Preinst, james.Postinst, james.Prerm, james.Postrm}
	}
	all := map[james.ScriptName]string{}
	for _, name := range names {
		all[name] = fmt.Sprintf(`CALL="$JAMES_PACKET-$JAMES_TAGS %s $1"
echo "$CALL${JAMES_RERUN:+ again}" >> "$JAMES_ROOT/../log"
if [ -e "$JAMES_ROOT/../trouble" ]; then . "$JAMES_ROOT/../trouble"; fi
`, name)
	}
	return all
}

// sparse has the packet's file at path be one with holes, as GNU tar -S makes it.
func (p *packets) sparse(pk *james.Packet, path james.Path) {
	m, raw := *p.manifests[pk.Digest], p.archives[pk.Digest]
	m.Entries = slices.Clone(m.Entries)
	for k := range m.Entries {
		m.Entries[k].Sparse = m.Entries[k].Sparse || m.Entries[k].Path == path
	}
	var err error
	if _, pk.Digest, err = m.Encode(); err != nil {
		panic(err)
	}
	p.manifests[pk.Digest], p.archives[pk.Digest] = &m, raw
}

// holes is the content of a file with holes around data.
func holes(data string) string {
	return strings.Repeat("\x00", 64<<10) + data + strings.Repeat("\x00", 32<<10)
}

// purge removes a packet with what was edited of it.
func purge(p *james.Packet) james.Step { s := remove(p); s.Purge = true; return s }

// scenarios are plans that between them do all that a plan can do.
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
			symlink("l2f", "d2l"), file("bin/a", "1"), hardlink("bin/b", "bin/a"),
			dir("m").mode(0o700), file("gone/deep/er", "1"), file("touched", "1"))
		v2 := w.pack(w.t, "a v2", logging(), file("f2d/in/side", "s"), symlink("d2l", "d"), file("l2f", "2"),
			file("bin/a", "2"), file("bin/b", "22"), dir("m").mode(0o755), file("d/unmanaged", "ours"), file("d/new", "n"))
		w.must(install(v1))
		os.Remove(filepath.Join(w.root, "touched"))
		w.put("d2l-near/x")
		return []james.Step{upgrade(v1, v2)}
	},
}, {
	name: "types back",
	setUp: func(w *world) []james.Step {
		w.put("d/theirs")
		v1 := w.pack(w.t, "a v1", nil, file("f2d/in/side", "s"), symlink("d2l", "d"), file("l2f", "2"), fifo("p2l"), dir("e2f"))
		v2 := w.pack(w.t, "a v2", logging(james.Postinst, james.Prerm), file("f2d", "f"), file("d2l/x", "x"), dir("d2l/y"), symlink("l2f", "d2l"), symlink("p2l", "f2d"), file("e2f", "f"))
		w.must(install(v1))
		return []james.Step{upgrade(v1, v2)}
	},
}, {
	name: "uninstall",
	setUp: func(w *world) []james.Step {
		w.put("usr/share/theirs", "etc/")
		a := w.pack(w.t, "a v1", logging(), file("usr/share/common/a", "a"), file("usr/share/a/x", "x"), symlink("usr/share/a/l", "x"), dir("usr/share/a/empty"),
			file("etc/a.conf", "1"), file("etc/edited.conf", "1"), hardlink("opt/a/hard", "usr/share/a/x"), fifo("opt/a/fifo"))
		b := w.pack(w.t, "b v1", nil, file("usr/share/common/b", "b"), file("opt/b", "b"))
		w.must(install(a), install(b))
		w.write("etc/edited.conf", "edited")
		w.put("usr/share/a/theirs")
		return []james.Step{remove(a)}
	},
}, {
	name: "everything at once",
	setUp: func(w *world) []james.Step {
		w.put("usr/share/theirs")
		old := w.pack(w.t, "old v1", logging(james.Prerm), file("usr/share/old/a", "a"), file("usr/share/common", "old"), file("bin/tool", "old"))
		gone := w.pack(w.t, "gone v1", nil, file("usr/share/gone", "g"), dir("usr/share/dir"), file("bin/other", "gone"))
		up1 := w.pack(w.t, "up v1", logging(), file("usr/share/up", "1"), dir("usr/share/dir"), file("bin/more", "up"))
		up2 := w.pack(w.t, "up v2", logging(james.Postinst, james.Postrm), file("usr/share/up", "2"), file("bin/tool", "up"))
		next1 := w.pack(w.t, "next v1", nil, file("srv/next", "1"))
		next2 := w.pack(w.t, "next v2", nil, file("srv/next", "2"), file("bin/more", "next"), hardlink("usr/share/more", "bin/more"))
		new := w.pack(w.t, "new v1", nil, file("usr/share/common", "new"), file("usr/share/new/x", "n"), symlink("bin/other", "tool"))
		w.must(install(old), install(gone), install(up1), install(next1))
		return []james.Step{remove(old), remove(gone), upgrade(up1, up2), upgrade(next1, next2), install(new)}
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
		return []james.Step{upgrade(v1, v2)}
	},
}, {
	name: "several, no syncfs",
	each: true,
	setUp: func(w *world) []james.Step {
		w.put("var/theirs")
		a := w.pack(w.t, "a v1", logging(james.Postrm), file("var/a/deep/x", "1"), file("var/shared", "a"))
		b1 := w.pack(w.t, "b v1", nil, file("var/b", "1"), file("var/f2d", "f"))
		b2 := w.pack(w.t, "b v2", nil, file("var/b", "2"), file("var/f2d/x", "x"), file("var/shared", "b"))
		c := w.pack(w.t, "c v1", logging(james.Preinst), file("var/a/deep/y", "y"), file("new/dir/z", "z"))
		w.must(install(a), install(b1))
		return []james.Step{remove(a), upgrade(b1, b2), install(c)}
	},
}, {
	name: "attributes",
	setUp: func(w *world) []james.Step {
		w.put("etc/passwd=app:x:1234:99::/:/bin/sh\n", "etc/group=app:x:4321:\n")
		v1 := w.pack(w.t, "a v1", nil, file("bin/suid", "s").mode(0o6755).owner(0, 12), file("bin/cap", "c").xattr("security.capability", capability).mode(0o755),
			file("share/attr", "x").xattr("user.note", "hello").owner(1, 2), dir("share/dir").mode(0o3775).owner(5, 6).xattr("user.dir", "d"),
			symlink("share/link", "/etc/passwd").owner(3, 4), file("share/sparse", holes("1")), dir("share/same").owner(1, 1))
		w.sparse(v1, "share/sparse")
		v2 := w.pack(w.t, "a v2", logging(james.Postinst, james.Prerm), file("bin/suid", "2").mode(0o4711).named("app", "app"), file("bin/cap", "2").mode(0o700),
			file("share/attr", "2").xattr("user.other", "bye").owner(7, 8), dir("share/dir").mode(0o750).owner(9, 9).xattr("user.dir", "e"),
			symlink("share/link", "attr").owner(5, 5), file("share/sparse", holes("22")), dir("share/same").owner(1, 1), fifo("share/fifo").owner(1, 1))
		w.sparse(v2, "share/sparse")
		w.must(install(v1))
		return []james.Step{upgrade(v1, v2)}
	},
}, {
	name: "through links",
	setUp: func(w *world) []james.Step {
		w.put("usr/lib/", "lib>usr/lib", "run/", "var/run>/run", "opt>/usr/local/opt", "usr/local/opt/")
		v1 := w.pack(w.t, "a v1", nil, file("lib/a.so", "1"), file("var/run/a/pid", "1"), hardlink("opt/a.so", "lib/a.so"), file("usr/lib/b/x", "1"))
		v2 := w.pack(w.t, "a v2", logging(james.Preinst, james.Postinst), file("lib/a.so", "2"), hardlink("var/run/a/hard", "lib/a.so"), file("opt/a.so", "2"), file("lib/b/y", "2"), symlink("var/run/b", "a"))
		w.must(install(v1))
		return []james.Step{upgrade(v1, v2)}
	},
}, {
	name: "configuration",
	setUp: func(w *world) []james.Step {
		w.put("etc/unmanaged=u")
		rows := []string{"plain", "edited", "edited-same", "deleted", "deleted-same", "dropped", "dropped-edited", "merged", "mode"}
		version := func(tag string, skip ...string) *james.Packet {
			members := []member{file("etc/unmanaged", tag)}
			for _, row := range rows {
				content := tag
				if strings.HasSuffix(row, "-same") {
					content = "same"
				}
				if !slices.Contains(skip, row) {
					members = append(members, file("etc/"+row, content))
				}
			}
			return w.pack(w.t, "a "+tag, logging(james.Postinst), members...)
		}
		v1, v2 := version("v1"), version("v2", "dropped", "dropped-edited")
		w.must(install(v1))
		for _, row := range []string{"edited", "edited-same", "dropped-edited"} {
			w.write("etc/"+row, "local")
		}
		w.write("etc/merged", "v2")
		os.Remove(filepath.Join(w.root, "etc/deleted"))
		os.Remove(filepath.Join(w.root, "etc/deleted-same"))
		os.Chmod(filepath.Join(w.root, "etc/mode"), 0o600)
		return []james.Step{upgrade(v1, v2)}
	},
}, {
	name: "beside and purge",
	setUp: func(w *world) []james.Step {
		v1 := w.pack(w.t, "a v1", nil, file("etc/a/edited", "1"), file("etc/a/deleted", "1"))
		v2 := w.pack(w.t, "a v2", nil, file("etc/a/edited", "2"), file("etc/a/deleted", "2"))
		v3 := w.pack(w.t, "a v3", nil, file("etc/a/edited", "3"), file("etc/a/new", "3"))
		b := w.pack(w.t, "b v1", logging(), file("etc/b/edited", "1"), file("etc/b/deleted", "1"), file("bin/b", "1"))
		w.must(install(v1), install(b))
		for _, name := range []string{"a", "b"} {
			w.write("etc/"+name+"/edited", "local")
			os.Remove(filepath.Join(w.root, "etc/"+name+"/deleted"))
		}
		w.must(upgrade(v1, v2))
		return []james.Step{purge(b), upgrade(v2, v3)}
	},
}, {
	name: "replaces",
	setUp: func(w *world) []james.Step {
		all := w.cast(versions{
			"a v1": {file("bin/tool", "a"), file("bin/a", "a"), file("share/a/doc", "a")},
			"c v1": {file("bin/c", "1")}, "c v2": {file("bin/c", "2"), file("share/c", "2")},
			"b v1>a": {file("bin/tool", "b"), file("share/a/doc", "b"), file("share/b", "b")},
		})
		w.must(install(all["a v1"]), install(all["c v1"]))
		return []james.Step{upgrade(all["c v1"], all["c v2"]), install(all["b v1"])}
	},
}, {
	name: "probation",
	setUp: func(w *world) []james.Step {
		w.put("srv/theirs")
		w.packets.health = &james.Health{Timeout: 1}
		v1 := w.pack(w.t, "a v1", logging(james.Prerm, james.Postinst), file("srv/a", "1"))
		v2 := w.pack(w.t, "a v2", logging(james.Postinst, james.HealthCheck), file("srv/a", "2"), file("srv/dir/new", "2"))
		b := w.pack(w.t, "b v1", logging(james.HealthCheck, james.Postrm), file("srv/b", "1"))
		w.must(install(v1))
		return []james.Step{upgrade(v1, v2), install(b)}
	},
}, {
	name: "reuse",
	setUp: func(w *world) []james.Step {
		w.put("usr/theirs")
		old := w.pack(w.t, "old v1", logging(james.Postrm), file("usr/old/a", "the same").mode(0o600), file("usr/old/edited", "was edited"), file("usr/old/links", "linked"), hardlink("usr/old/link", "usr/old/links"))
		up1 := w.pack(w.t, "up v1", nil, file("usr/up", "1"), file("usr/stays", "it stays"), file("etc/conf", "configured"))
		up2 := w.pack(w.t, "up v2", logging(james.Preinst), file("usr/up", "the same"), file("usr/stays", "it stays").mode(0o711), file("usr/edited", "was edited"), file("etc/conf", "configured"), file("usr/conf", "configured"))
		new := w.pack(w.t, "new v1", nil, file("usr/new/a", "the same").mode(0o751), file("usr/new/links", "linked"), file("usr/new/up", "1"), file("usr/new/come", "new"), file("usr/new/also", "new"))
		w.must(install(old), install(up1))
		w.write("usr/old/edited", "was Edited")
		w.write("etc/conf", "Configured")
		return []james.Step{remove(old), upgrade(up1, up2), install(new)}
	},
}, {
	name:  "from elsewhere",
	apart: true,
	each:  true,
	setUp: func(w *world) []james.Step {
		w.put("usr/theirs")
		v1 := w.pack(w.t, "a v1", nil, file("usr/a", "1"), file("usr/edited", "edited"), file("usr/same", "the same"))
		v2 := w.pack(w.t, "a v2", logging(james.Postinst), file("usr/a", "2").mode(0o4750).owner(3, 4), file("usr/b", "edited"), file("usr/c", "the same").xattr("user.note", "c"), file("share/sparse", holes("s")), file("usr/copy", "2"))
		w.sparse(v2, "share/sparse")
		w.must(install(v1))
		w.write("usr/edited", "Edited")
		return []james.Step{upgrade(v1, v2)}
	},
}, {
	name: "reinstall",
	setUp: func(w *world) []james.Step {
		w.put("theirs/x")
		a := w.pack(w.t, "a v1", logging(), file("d/x", "1"), file("e/y", "1"), symlink("e/l", "y"))
		w.must(install(a))
		w.put("later/x")
		return []james.Step{upgrade(a, a)}
	},
}, {
	name:  "state in the root",
	state: "root/var/lib/jamesc",
	setUp: func(w *world) []james.Step {
		w.put("var/lib/theirs")
		a := w.pack(w.t, "a v1", logging(james.Prerm, james.Postrm), file("var/lib/a/x", "1"), file("bin/a", "1"))
		b := w.pack(w.t, "b v1", logging(james.Preinst), file("var/lib/b/x", "1"), file("bin/a", "b"), file("var/lib/theirs", "b"))
		w.must(install(a))
		return []james.Step{remove(a), install(b)}
	},
}, {
	name: "not the superuser",
	uid:  65534,
	setUp: func(w *world) []james.Step {
		w.put("d/theirs")
		v1 := w.pack(w.t, "a v1", logging(james.Postrm), file("bin/a", "1").owner(0, 0).mode(0o4755), dir("m").mode(0o700), file("m/x", "1").xattr("user.note", "1"), file("f2d", "f"), symlink("l", "m"))
		v2 := w.pack(w.t, "a v2", logging(james.Preinst), file("bin/a", "2").owner(0, 12).mode(0o2755), dir("m").mode(0o750), file("m/x", "2"), file("f2d/x", "x"), file("d/theirs", "2"), hardlink("l", "bin/a"))
		w.must(install(v1))
		return []james.Step{upgrade(v1, v2)}
	},
}, dirs}
