package txn_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trusch/jamesd/pkg/james"
)

// TestPlans carries plans out on a root and looks at the result: names tells what
// is there at the end.
func TestPlans(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		put   []string // before
		plans func(w *world) [][]james.Step
		names string // at the end
		check func(t *testing.T, w *world)
	}{{
		name: "install with directories that are not listed",
		plans: func(w *world) [][]james.Step {
			return [][]james.Step{{install(w.pack(w.t, "a v1", nil, file("usr/bin/a", "a"), dir("var/lib/a").mode(0o750)))}}
		},
		names: "usr/ usr/bin/ usr/bin/a var/ var/lib/ var/lib/a/",
		check: func(t *testing.T, w *world) {
			tree := w.tree(true)
			for path, want := range map[string]string{"usr": "drwxr-xr-x", "var/lib/a": "drwxr-x---", "usr/bin/a": "-rw-r--r--"} {
				if !strings.HasPrefix(tree[path], want) {
					t.Errorf("%s is %s", path, tree[path])
				}
			}
			if !strings.Contains(tree["var/lib/a"], "2020-02-03") {
				t.Errorf("a listed directory has another time than listed: %s", tree["var/lib/a"])
			}
		},
	}, {
		name: "removal leaves what is not ours or not empty",
		put:  []string{"usr/bin/other", "opt/"},
		plans: func(w *world) [][]james.Step {
			a := w.pack(w.t, "a v1", nil, file("usr/bin/a", "a"), file("opt/a/x", "x"), file("var/lib/a/x", "x"), dir("srv/a"))
			return [][]james.Step{{install(a)}, {}, {remove(a)}}
		},
		check: func(t *testing.T, w *world) {
			if w.apps() != "[]" {
				t.Errorf("apps %s", w.apps())
			}
		},
		names: "opt/ usr/ usr/bin/ usr/bin/other",
	}, {
		name: "upgrade takes what the new version lacks",
		plans: func(w *world) [][]james.Step {
			v1 := w.pack(w.t, "a v1", nil, file("a/one", "1"), file("a/two", "2"), file("a/sub/three", "3"))
			v2 := w.pack(w.t, "a v2", nil, file("a/two", "22"), file("a/four", "4"))
			return [][]james.Step{{install(v1)}, {upgrade(v1, v2)}}
		},
		names: "a/ a/four a/two",
		check: func(t *testing.T, w *world) {
			if w.read("a/two") != "22" || w.apps() != "[a v2]" {
				t.Errorf("a/two is %q, apps %s", w.read("a/two"), w.apps())
			}
		},
	}, {
		name: "types change",
		plans: func(w *world) [][]james.Step {
			v1 := w.pack(w.t, "a v1", nil, file("f2d", "f"), file("d2l/x", "x"), file("d2l/y/z", "z"), symlink("l2f", "d2l"), symlink("l2d", "d2l"), dir("d2f"), file("t/real", "r"))
			v2 := w.pack(w.t, "a v2", nil, file("f2d/in/side", "s"), symlink("d2l", "t"), file("l2f", "now a file"), file("l2d/a", "a"), file("d2f", "now a file"), file("t/real", "r"))
			return [][]james.Step{{install(v1)}, {upgrade(v1, v2)}, {upgrade(v2, v1)}, {upgrade(v1, v2)}}
		},
		names: "d2f d2l f2d/ f2d/in/ f2d/in/side l2d/ l2d/a l2f t/ t/real",
	}, {
		name: "a path moves from one packet to another",
		plans: func(w *world) [][]james.Step {
			a1 := w.pack(w.t, "a v1", nil, file("d/shared", "of a"), file("d/a", "a"))
			a2 := w.pack(w.t, "a v2", nil, file("d/a", "a"))
			b1 := w.pack(w.t, "b v1", nil, file("d/b", "b"))
			b2 := w.pack(w.t, "b v2", nil, file("d/shared", "of b"))
			return [][]james.Step{{install(a1), install(b1)}, {upgrade(b1, b2), upgrade(a1, a2)}}
		},
		names: "d/ d/a d/shared",
		check: func(t *testing.T, w *world) {
			if w.read("d/shared") != "of b" {
				t.Errorf("d/shared is %q", w.read("d/shared"))
			}
		},
	}, {
		name: "packets share directories",
		plans: func(w *world) [][]james.Step {
			a := w.pack(w.t, "a v1", nil, dir("usr/share/x"), file("usr/share/x/a", "a"))
			b := w.pack(w.t, "b v1", nil, dir("usr/share/x"), file("usr/share/x/b", "b"))
			return [][]james.Step{{install(a), install(b)}, {remove(a)}}
		},
		names: "usr/ usr/share/ usr/share/x/ usr/share/x/b",
	}, {
		name: "packets that shared directories go together",
		plans: func(w *world) [][]james.Step {
			a := w.pack(w.t, "a v1", nil, dir("usr/share/x"), file("usr/share/x/a", "a"))
			b := w.pack(w.t, "b v1", nil, dir("usr/share/x"), file("usr/share/x/b", "b"))
			return [][]james.Step{{install(a), install(b)}, {remove(a), remove(b)}}
		},
		names: "",
	}, {
		name: "through directories that are links, relative and absolute",
		put:  []string{"usr/lib/", "lib>usr/lib", "run/", "var/run>/run"},
		plans: func(w *world) [][]james.Step {
			a := w.pack(w.t, "a v1", nil, dir("lib"), file("lib/x/liba.so", "a"), file("var/run/a/pid", "1"))
			b := w.pack(w.t, "b v1", nil, file("usr/lib/x/libb.so", "b"), file("run/b", "b"))
			return [][]james.Step{{install(a), install(b)}, {remove(a)}}
		},
		names: "lib run/ run/b usr/ usr/lib/ usr/lib/x/ usr/lib/x/libb.so var/ var/run",
	}, {
		name: "a link to a directory that is missing is followed when it is made",
		put:  []string{"var/run>../run"},
		plans: func(w *world) [][]james.Step {
			return [][]james.Step{{install(w.pack(w.t, "a v1", nil, file("var/run/a", "a")))}}
		},
		names: "run/ run/a var/ var/run",
	}, {
		name: "a packet's directory becomes a link that another packet of the plan goes through",
		plans: func(w *world) [][]james.Step {
			a1 := w.pack(w.t, "a v1", nil, file("app/current/x", "1"))
			a2 := w.pack(w.t, "a v2", nil, file("app/2/x", "2"), symlink("app/current", "2"))
			b := w.pack(w.t, "b v1", nil, file("app/current/plugin", "b"))
			return [][]james.Step{{install(a1)}, {upgrade(a1, a2), install(b)}}
		},
		names: "app/ app/2/ app/2/plugin app/2/x app/current",
	}, {
		name: "hard links, also across directories",
		plans: func(w *world) [][]james.Step {
			a := w.pack(w.t, "a v1", nil, file("usr/bin/a", "program").mode(0o4755), hardlink("usr/bin/b", "usr/bin/a"), hardlink("opt/c", "usr/bin/a"))
			return [][]james.Step{{install(a)}}
		},
		names: "opt/ opt/c usr/ usr/bin/ usr/bin/a usr/bin/b",
		check: func(t *testing.T, w *world) {
			one, two := must(os.Stat(filepath.Join(w.root, "opt/c"))), must(os.Stat(filepath.Join(w.root, "usr/bin/b")))
			if !os.SameFile(one, two) || one.Mode() != 0o755|os.ModeSetuid {
				t.Errorf("%v and %v are not one file", one, two)
			}
		},
	}, {
		name: "names of any bytes",
		plans: func(w *world) [][]james.Step {
			a := w.pack(w.t, "a v1", nil, file("a b/\xff\xfe c", "x"), file("a b/new\nline", "x"), file("a b/100%", "x"), symlink("a b/\xe9", "\xff\xfe c"))
			b := w.pack(w.t, "b v1", nil, file("gone \xff/x\x01", "x"))
			return [][]james.Step{{install(a), install(b)}, {remove(b)}}
		},
		names: "a b/ a b/100% a b/new\nline a b/\xe9 a b/\xff\xfe c",
	}, {
		name: "an unmanaged file is replaced, an empty directory too",
		put:  []string{"usr/bin/a", "usr/b/"},
		plans: func(w *world) [][]james.Step {
			return [][]james.Step{{install(w.pack(w.t, "a v1", nil, file("usr/bin/a", "ours"), file("usr/b", "ours")))}}
		},
		names: "usr/ usr/b usr/bin/ usr/bin/a",
		check: func(t *testing.T, w *world) {
			if w.read("usr/bin/a") != "ours" || w.read("usr/b") != "ours" {
				t.Error("not replaced")
			}
		},
	}, {
		name: "files that somebody removed or replaced do not stop a removal",
		plans: func(w *world) [][]james.Step {
			a := w.pack(w.t, "a v1", nil, file("a/one", "1"), file("a/two", "2"), file("a/three", "3"))
			w.must(install(a))
			os.Remove(filepath.Join(w.root, "a/one"))
			os.Remove(filepath.Join(w.root, "a/two"))
			w.put("a/two/local")
			return [][]james.Step{{remove(a)}}
		},
		names: "a/ a/two/ a/two/local",
	}, {
		name: "the install root keeps its mode",
		plans: func(w *world) [][]james.Step {
			return [][]james.Step{{install(w.pack(w.t, "a v1", nil, dir(".").mode(0o700), file("x", "x")))}}
		},
		names: "x",
		check: func(t *testing.T, w *world) {
			if st := must(os.Stat(w.root)); st.Mode().Perm() != 0o755 {
				t.Errorf("the root has mode %s", st.Mode())
			}
		},
	}, {
		name: "a directory of ours gets the new version's mode, one of others keeps its own",
		put:  []string{"theirs/"},
		plans: func(w *world) [][]james.Step {
			v1 := w.pack(w.t, "a v1", nil, dir("ours").mode(0o755), dir("theirs").mode(0o700))
			v2 := w.pack(w.t, "a v2", nil, dir("ours").mode(0o2750), dir("theirs").mode(0o711))
			return [][]james.Step{{install(v1)}, {upgrade(v1, v2)}}
		},
		names: "ours/ theirs/",
		check: func(t *testing.T, w *world) {
			tree := w.tree(true)
			if !strings.HasPrefix(tree["ours"], "dgrwxr-x---") || !strings.HasPrefix(tree["theirs"], "drwxr-xr-x") {
				t.Errorf("ours %s, theirs %s", tree["ours"], tree["theirs"])
			}
		},
	}, {
		name: "removal and install of one name as two steps",
		plans: func(w *world) [][]james.Step {
			v1, v2 := w.pack(w.t, "a v1", nil, file("a", "1")), w.pack(w.t, "a v2", nil, file("a", "2"))
			return [][]james.Step{{install(v1)}, {remove(v1), install(v2)}}
		},
		names: "a",
	}, {
		name: "the same packet again",
		plans: func(w *world) [][]james.Step {
			v1 := w.pack(w.t, "a v1", nil, file("d/a", "1"))
			return [][]james.Step{{install(v1)}, {upgrade(v1, v1)}}
		},
		names: "d/ d/a",
	}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.put(c.put...)
			w.mustStart()
			for _, plan := range c.plans(w) {
				w.must(plan...)
			}
			if got := w.names(); got != c.names {
				t.Errorf("there is %q\nwant     %q", got, c.names)
			}
			before := w.apps()
			w.mustStart()
			if w.apps() != before {
				t.Errorf("after a restart: %s, before %s", w.apps(), before)
			}
			if c.check != nil {
				c.check(t, w)
			}
		})
	}
}
