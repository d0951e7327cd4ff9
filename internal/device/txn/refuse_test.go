package txn_test

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/trusch/jamesd/internal/device/disk"
	"github.com/trusch/jamesd/internal/device/txn"
	"github.com/trusch/jamesd/pkg/james"
)

// TestRefusals has a plan refused for every reason there is, and then nothing is
// changed and nothing left behind.
func TestRefusals(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		put  []string
		have func(w *world) []james.Step // installed before
		plan func(w *world) []james.Step
		kind james.Kind
		says []string
	}{{
		name: "a path of another app",
		have: func(w *world) []james.Step {
			return []james.Step{install(w.pack(w.t, "other v3", nil, file("usr/bin/x", "o")))}
		},
		plan: func(w *world) []james.Step {
			return []james.Step{install(w.pack(w.t, "a v1", nil, file("usr/bin/x", "a")))}
		},
		kind: james.KindConflict, says: []string{"usr/bin/x", "other v3", "a v1", "leave other or a out of the desired state"},
	}, {
		name: "a path of another app by another name",
		put:  []string{"usr/lib/", "lib>usr/lib"},
		have: func(w *world) []james.Step {
			return []james.Step{install(w.pack(w.t, "other v3", nil, file("lib/x", "o")))}
		},
		plan: func(w *world) []james.Step {
			return []james.Step{install(w.pack(w.t, "a v1", nil, file("usr/lib/x", "a")))}
		},
		kind: james.KindConflict, says: []string{"usr/lib/x", "other v3", "a v1"},
	}, {
		name: "two packets of the plan own one path",
		plan: func(w *world) []james.Step {
			return []james.Step{install(w.pack(w.t, "a v1", nil, file("x", "a"))), install(w.pack(w.t, "b v1", nil, file("x", "b")))}
		},
		kind: james.KindConflict, says: []string{"a v1", "b v1"},
	}, {
		name: "one packet has a path twice, through a link",
		put:  []string{"usr/lib/", "lib>usr/lib"},
		plan: func(w *world) []james.Step {
			return []james.Step{install(w.pack(w.t, "a v1", nil, file("lib/x", "1"), file("usr/lib/x", "2")))}
		},
		kind: james.KindConflict, says: []string{"usr/lib/x", "twice"},
	}, {
		name: "a file where another app has a directory",
		have: func(w *world) []james.Step {
			return []james.Step{install(w.pack(w.t, "other v3", nil, dir("usr/x")))}
		},
		plan: func(w *world) []james.Step {
			return []james.Step{install(w.pack(w.t, "a v1", nil, file("usr/x", "a")))}
		},
		kind: james.KindConflict, says: []string{"usr/x: is a directory that other v3 needs, and a file of a v1"},
	}, {
		name: "a directory where another app has a file",
		have: func(w *world) []james.Step {
			return []james.Step{install(w.pack(w.t, "other v3", nil, file("usr/x", "o")))}
		},
		plan: func(w *world) []james.Step {
			return []james.Step{install(w.pack(w.t, "a v1", nil, file("usr/x/y", "a")))}
		},
		kind: james.KindConflict, says: []string{"usr/x: is a directory that a v1 needs, and a file of other v3"},
	}, {
		name: "a file where a directory of nobody has something in it",
		put:  []string{"usr/x/mine"},
		plan: func(w *world) []james.Step {
			return []james.Step{install(w.pack(w.t, "a v1", nil, file("usr/x", "a")))}
		},
		kind: james.KindConflict, says: []string{"usr/x", "is a directory"},
	}, {
		name: "a link where a directory of ours has something of somebody in it",
		put:  []string{"usr/"},
		have: func(w *world) []james.Step {
			return []james.Step{install(w.pack(w.t, "a v1", nil, dir("usr/x")))}
		},
		plan: func(w *world) []james.Step {
			w.put("usr/x/mine")
			return []james.Step{upgrade(w.pack(w.t, "a v1", nil, dir("usr/x")), w.pack(w.t, "a v2", nil, symlink("usr/x", "y")))}
		},
		kind: james.KindConflict, says: []string{"usr/x"},
	}, {
		name: "a directory where a file of nobody lies",
		put:  []string{"usr/x"},
		plan: func(w *world) []james.Step {
			return []james.Step{install(w.pack(w.t, "a v1", nil, file("usr/x/y", "a")))}
		},
		kind: james.KindConflict, says: []string{"usr/x", "belongs to no packet", "a v1"},
	}, {
		name: "a link that leads out of the root",
		put:  []string{"usr/", "usr/out>../../../etc"},
		plan: func(w *world) []james.Step {
			return []james.Step{install(w.pack(w.t, "a v1", nil, file("usr/out/y", "a")))}
		},
		kind: james.KindDenied, says: []string{"usr/out", "leads out"},
	}, {
		name: "a loop of links",
		put:  []string{"a>b", "b>a"},
		plan: func(w *world) []james.Step {
			return []james.Step{install(w.pack(w.t, "a v1", nil, file("a/y", "a")))}
		},
		kind: james.KindConflict, says: []string{"too many levels"},
	}, {
		name: "the agent's work area",
		plan: func(w *world) []james.Step {
			return []james.Step{install(w.pack(w.t, "a v1", nil, file(".jamesc/new/0.0", "a")))}
		},
		kind: james.KindDenied, says: []string{".jamesc"},
	}, {
		name: "a file of the name of the work area",
		plan: func(w *world) []james.Step {
			return []james.Step{install(w.pack(w.t, "a v1", nil, file(".jamesc", "a")))}
		},
		kind: james.KindDenied, says: []string{".jamesc"},
	}, {
		name: "what is to go is not installed",
		plan: func(w *world) []james.Step {
			return []james.Step{remove(w.pack(w.t, "a v1", nil, file("x", "a")))}
		},
		kind: james.KindConflict, says: []string{"a v1", "is not installed"},
	}, {
		name: "what is to go is installed in another version",
		have: func(w *world) []james.Step {
			return []james.Step{install(w.pack(w.t, "a v2", nil, file("x", "2")))}
		},
		plan: func(w *world) []james.Step {
			return []james.Step{upgrade(w.pack(w.t, "a v1", nil, file("x", "1")), w.pack(w.t, "a v3", nil, file("x", "3")))}
		},
		kind: james.KindConflict, says: []string{"a v1", "is not installed"},
	}, {
		name: "what is to come is installed",
		have: func(w *world) []james.Step {
			return []james.Step{install(w.pack(w.t, "a v2", nil, file("x", "2")))}
		},
		plan: func(w *world) []james.Step {
			return []james.Step{install(w.pack(w.t, "a v3", nil, file("x", "3")))}
		},
		kind: james.KindConflict, says: []string{"a v3", "a v2 is installed"},
	}, {
		name: "a step that does nothing",
		plan: func(w *world) []james.Step { return []james.Step{{}} },
		kind: james.KindInvalid, says: []string{"does nothing"},
	}, {
		name: "a step from one app to another",
		have: func(w *world) []james.Step { return []james.Step{install(w.pack(w.t, "a v1", nil, file("x", "1")))} },
		plan: func(w *world) []james.Step {
			return []james.Step{upgrade(w.pack(w.t, "a v1", nil, file("x", "1")), w.pack(w.t, "b v1", nil, file("x", "1")))}
		},
		kind: james.KindInvalid, says: []string{"a v1", "b v1"},
	}, {
		name: "a manifest that cannot be fetched",
		plan: func(w *world) []james.Step {
			p := w.pack(w.t, "a v1", nil, file("x", "1"))
			delete(w.manifests, p.Digest)
			return []james.Step{install(p)}
		},
		kind: james.KindNotFound, says: []string{"cannot install a v1", "no such packet"},
	}, {
		name: "a manifest of another packet",
		plan: func(w *world) []james.Step {
			p, q := w.pack(w.t, "a v1", nil, file("x", "1")), w.pack(w.t, "a v1", nil, file("x", "1").mode(0o600))
			w.manifests[p.Digest] = w.manifests[q.Digest]
			return []james.Step{install(p)}
		},
		kind: james.KindCorrupt, says: []string{"a v1", "another packet"},
	}, {
		name: "an archive with another content",
		plan: func(w *world) []james.Step {
			p := w.pack(w.t, "a v1", nil, file("x", "1"))
			w.archives[p.Digest] = bytes.Replace(w.archives[p.Digest], []byte("1\x00\x00"), []byte("2\x00\x00"), 1)
			return []james.Step{install(p)}
		},
		kind: james.KindCorrupt, says: []string{"cannot install a v1", "x"},
	}, {
		name: "an archive that ends too early",
		plan: func(w *world) []james.Step {
			w.spoil = func(r io.Reader) io.Reader { return io.LimitReader(r, 700) }
			return []james.Step{install(w.pack(w.t, "a v1", nil, file("x", strings.Repeat("1", 5000))))}
		},
		kind: james.KindCorrupt, says: []string{"cannot install a v1"},
	}, {
		name: "more than there is room for",
		plan: func(w *world) []james.Step {
			p := w.pack(w.t, "a v1", nil, file("x", "1"))
			m := *w.manifests[p.Digest]
			m.Entries = []james.Entry{{Path: "huge", Type: james.TypeFile, Size: 1 << 60, Digest: james.DigestOf(nil)}}
			_, digest, _ := m.Encode()
			w.manifests[digest] = &m
			return []james.Step{install(&james.Packet{Digest: digest, Name: "a", Tags: m.Tags})}
		},
		kind: james.KindUnavailable, says: []string{"file system of", "missing", "free"},
	}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.put(c.put...)
			w.mustStart()
			if c.have != nil {
				w.must(c.have(w)...)
			}
			plan := c.plan(w)
			w.checkRefused(func() *james.Report { return w.apply(plan...) }, c.kind, c.says)
		})
	}
}

// checkRefused fails unless a plan is refused with a reason that says all of says, and
// nothing changes.
func (w *world) checkRefused(apply func() *james.Report, kind james.Kind, says []string) {
	w.t.Helper()
	before, apps := w.tree(true), w.apps()
	r := apply()
	if r.Result != james.Refused || r.Kind != kind {
		w.t.Fatalf("%s, kind %s: %s", r.Result, r.Kind, r.Error)
	}
	for _, s := range says {
		if !strings.Contains(r.Error, s) {
			w.t.Errorf("does not say %q: %s", s, r.Error)
		}
	}
	if d := diff(before, w.tree(true)); d != "" || w.apps() != apps {
		w.t.Errorf("something changed: %s\n%s", w.apps(), d)
	}
	w.checkClean()
}

func TestRefusedByBeforeApply(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var content string
	w.opts.BeforeApply = func(_ context.Context, plan *james.Plan, staged func(james.Path) (string, bool)) error {
		name, ok := staged("usr/bin/a")
		if _, more := staged("usr/bin/b"); !ok || more || len(plan.Steps) != 1 {
			t.Errorf("staged: %v, %v", ok, more)
		}
		content = string(must(os.ReadFile(name)))
		return james.Errorf(james.KindDenied, "a", "the new agent does not start")
	}
	w.mustStart()
	before := w.tree(true)
	r := w.apply(install(w.pack(t, "a v1", nil, file("usr/bin/a", "new"))))
	if r.Result != james.Refused || r.Kind != james.KindDenied || content != "new" {
		t.Fatalf("%+v, content %q", r, content)
	}
	if d := diff(before, w.tree(true)); d != "" {
		t.Error(d)
	}
	w.checkClean()
}

// TestEditWhileStaging has an administrator save a file between the decision
// that it goes and the first change.
func TestEditWhileStaging(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.mustStart()
	v1, v2 := w.pack(t, "a v1", nil, file("etc/a.conf", "1")), w.pack(t, "a v2", nil, file("etc/a.conf", "2"))
	w.must(install(v1))
	w.spoil = func(r io.Reader) io.Reader { w.write("etc/a.conf", "edited"); return r }
	if r := w.apply(upgrade(v1, v2)); r.Result != james.Refused || r.Kind != james.KindInterrupted {
		t.Fatalf("%+v", r)
	}
	w.spoil = nil
	w.must(upgrade(v1, v2))
	if got := w.read("etc/a.conf") + " " + w.read("etc/a.conf.james-new"); got != "edited 2" {
		t.Errorf("the files hold %q", got)
	}
}

// TestMadeWhileStaging has an administrator make a file where one is to come.
func TestMadeWhileStaging(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, made, want string }{
		{"in its place", "etc/c", "etc/c.james-new=1 etc/c=mine etc/edited.james-new=2 etc/edited=e"},
		{"beside the edited one", "etc/edited.james-new", "etc/c=1 etc/edited.e4b93d5a.james-new=2 etc/edited.james-new=mine etc/edited=e"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.mustStart()
			all := w.cast(versions{"a v1": {file("etc/edited", "1")}, "a v2": {file("etc/edited", "2"), file("etc/c", "1")}})
			w.acts(all, "a v1")
			w.write("etc/edited", "e")
			w.spoil = func(r io.Reader) io.Reader { w.write(c.made, "mine"); return r }
			if r := w.act(all, "a v2"); r.Result != james.Refused || r.Kind != james.KindInterrupted || !strings.Contains(r.Error, c.made) {
				t.Fatalf("%+v", r)
			}
			w.checkClean()
			w.spoil = nil
			w.acts(all, "a v2")
			if got := w.files(); got != c.want {
				t.Errorf("there is %q, want %q", got, c.want)
			}
		})
	}
}

func TestCancelledBeforeAnyChange(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.mustStart()
	ctx, cancel := context.WithCancel(context.Background())
	w.spoil = func(r io.Reader) io.Reader { cancel(); return r }
	plan := james.NewPlan(1, []james.Step{install(w.pack(t, "a v1", nil, file("x", "1")))}, nil)
	r, err := w.in.Apply(ctx, &plan, w.packets)
	if err != nil || r.Result != james.Refused || r.Kind != james.KindInterrupted {
		t.Fatalf("%+v, %v", r, err)
	}
	w.checkClean()
}

func TestNothingToDo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.mustStart()
	w.must()
}

func TestOneAgentOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.mustStart()
	_, err := txn.Open(txn.Options{Disk: w.disk, StateDir: w.state})
	if james.KindOf(err) != james.KindConflict || james.HintOf(err) == "" {
		t.Fatalf("a second installer: %v", err)
	}
	_, err = txn.Open(txn.Options{Disk: w.disk, StateDir: w.root})
	if james.KindOf(err) != james.KindInvalid {
		t.Fatalf("the state directory is the root: %v", err)
	}
}

func TestStateDirInTheRoot(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.state = filepath.Join(w.root, "var/lib/jamesc")
	w.mustStart()
	r := w.apply(install(w.pack(t, "a v1", nil, file("var/lib/jamesc/state.json", "{}"))))
	if r.Result != james.Refused || r.Kind != james.KindDenied || !strings.Contains(r.Error, "state directory") {
		t.Fatalf("%+v", r)
	}
	w.must(install(w.pack(t, "a v1", nil, file("var/lib/a", "a"))))
}

func TestDamagedState(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.mustStart()
	a := w.pack(t, "a v1", nil, file("x", "1"))
	w.must(install(a))
	manifest := filepath.Join(w.state, "manifests", a.Digest.String()+".json")
	raw := must(os.ReadFile(manifest))
	os.WriteFile(manifest, append(raw, ' '), 0o600)
	if r := w.apply(remove(a)); r.Result != james.Refused || r.Kind != james.KindCorrupt {
		t.Fatalf("removal without a manifest: %+v", r)
	}
	w.close()
	for _, name := range []string{"state.json", "state.backup.json"} {
		os.WriteFile(filepath.Join(w.state, name), []byte("{"), 0o600)
	}
	if err := w.open(); james.KindOf(err) != james.KindCorrupt || !strings.Contains(err.Error(), "state.json") {
		t.Fatalf("open: %v", err)
	}
}

// TestFullWhileStaging has the disk full when content comes to it.
func TestFullWhileStaging(t *testing.T) {
	t.Parallel()
	for name, full := range map[string]func(disk.Op) bool{
		"fetched": func(op disk.Op) bool { return op.Name == "write" && strings.Contains(op.Path, "/source/") },
		"linked":  func(op disk.Op) bool { return op.Name == "link" && strings.Contains(op.To, "/.jamesc/") },
		"copied":  func(op disk.Op) bool { return op.Name == "write" && strings.Contains(op.Path, "/.jamesc/") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.mustStart()
			w.must(install(w.pack(t, "b v1", nil, file("here", "2"))))
			before := w.tree(true)
			w.hook = func(before bool, op disk.Op) error {
				if before && full(op) {
					return syscall.ENOSPC
				}
				return nil
			}
			r := w.apply(install(w.pack(t, "a v1", nil, file("x", "1"), file("y", "2"))))
			if r.Result != james.Refused || r.Kind != james.KindUnavailable || !strings.Contains(r.Error, syscall.ENOSPC.Error()) {
				t.Fatalf("%+v", r)
			}
			if d := diff(before, w.tree(true)); d != "" {
				t.Error(d)
			}
			w.checkClean()
		})
	}
}
