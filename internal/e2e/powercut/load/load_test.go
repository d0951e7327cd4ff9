package load_test

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/trusch/jamesd/internal/archive"
	"github.com/trusch/jamesd/internal/device/disk"
	"github.com/trusch/jamesd/internal/device/txn"
	"github.com/trusch/jamesd/internal/e2e/powercut/load"
	"github.com/trusch/jamesd/internal/need"
	"github.com/trusch/jamesd/pkg/james"
)

// store is a txn.Source of packets without their scripts, which need the virtual
// machine. It takes their contents out of plain archives.
type store struct {
	made     map[*load.Packet]*stored
	packed   map[james.Digest]*stored
	contents *disk.Disk
}

type stored struct {
	packet   *james.Packet
	manifest *james.Manifest
	archive  []byte
}

func (s store) Manifest(_ context.Context, p *james.Packet) (*james.Manifest, error) {
	return s.packed[p.Digest].manifest, nil
}

func (s store) Dir() *disk.Disk { return s.contents }

func (s store) Missing(*txn.Order) int64 { return 0 }

func (s store) Fetch(ctx context.Context, o *txn.Order) error {
	for _, w := range o.Wants {
		archived := bytes.NewReader(s.packed[w.Packet.Digest].archive)
		err := archive.Extract(ctx, archived, w.Manifest, func(e *james.Entry, content io.Reader) error {
			name := e.Digest.String()
			if err := s.contents.RemoveAll(name); err != nil {
				return err
			}
			return s.contents.WriteNew(name, content, disk.New{Sparse: e.Sparse, Meta: disk.Meta{Mode: 0o600}})
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (s store) Content(d james.Digest) (string, error) { return d.String(), nil }

func (s store) Forget(contents []james.Digest) {
	for _, d := range contents {
		_ = s.contents.RemoveAll(d.String())
	}
}

func (s store) add(t *testing.T, p *load.Packet) *james.Packet {
	t.Helper()
	if known := s.made[p]; known != nil {
		return known.packet
	}
	raw, err := p.Archive()
	if err != nil {
		t.Fatal(err)
	}
	entries, _, err := archive.Scan(t.Context(), bytes.NewReader(raw), archive.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	m := &james.Manifest{Name: p.Name, Tags: james.MustTags(p.Version), Entries: entries}
	_, digest, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	packet := &james.Packet{Digest: digest, Name: m.Name, Tags: m.Tags}
	s.made[p] = &stored{packet, m, raw}
	s.packed[digest] = s.made[p]
	return packet
}

// plan returns the steps from one state to another, as a server orders them.
func (s store) plan(t *testing.T, from, to load.State) []james.Step {
	t.Helper()
	var steps []james.Step
	for _, p := range from {
		if !to.Has(p.Name, "") {
			app := s.add(t, p).App()
			steps = append(steps, james.Step{Old: &app})
		}
	}
	for _, p := range to {
		step := james.Step{New: s.add(t, p)}
		for _, old := range from {
			if old.Name == p.Name {
				app := s.add(t, old).App()
				step.Old = &app
			}
		}
		if step.Old == nil || step.Old.Digest != step.New.Digest {
			steps = append(steps, step)
		}
	}
	return steps
}

// device is an install root with an installer, without a virtual machine.
type device struct {
	t    *testing.T
	root string
	in   *txn.Installer
}

// scratch is a directory in memory, where there is a file system for that.
func scratch(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "jamesd-load")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func newDevice(t *testing.T) *device {
	t.Helper()
	d := &device{t: t, root: filepath.Join(scratch(t), "root")}
	if err := os.Mkdir(d.root, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := load.Prepare(d.root); err != nil {
		t.Fatal(err)
	}
	root, err := disk.Open(d.root, disk.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	if d.in, err = txn.Open(txn.Options{Disk: root, StateDir: filepath.Join(d.root, "var/lib/jamesc")}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.in.Close() })
	if _, err := d.in.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *device) list() load.Tree {
	d.t.Helper()
	tree, err := load.List(d.root, "var/lib/jamesc", load.Noise)
	if err != nil {
		d.t.Fatal(err)
	}
	delete(tree, load.Marker)
	return tree
}

// TestExpect goes from every state to every other, with an administrator at
// work, and holds what is there against what was expected.
func TestExpect(t *testing.T) {
	t.Parallel()
	need.Superuser(t) // the packets have owners
	d, states := newDevice(t), load.States()
	contents, err := disk.Open(filepath.Join(filepath.Dir(d.root), "contents"), disk.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { contents.Close() })
	all := store{map[*load.Packet]*stored{}, map[james.Digest]*stored{}, contents}
	from, seen := 0, map[[2]int]bool{}
	for n, to := range []int{1, 2, 3, 1, 0, 2, 1, 3, 0, 3, 2, 0} {
		seen[[2]int{from, to}] = true
		for _, what := range edits(states[from]) {
			if err := load.Edit(d.root, what); err != nil {
				t.Fatal(err)
			}
		}
		before := d.list()
		plan := james.NewPlan(uint64(n+1), all.plan(t, states[from], states[to]), nil)
		r, err := d.in.Apply(t.Context(), &plan, all)
		if err != nil || r.Result != james.Committed {
			t.Fatalf("from %s to %s: %+v, %v", states[from], states[to], r, err)
		}
		want := load.Expect(before, states[from], states[to])
		delete(want, load.Marker)
		own := states[to].OwnDirs()
		if diff := load.Diff(want, d.list(), func(p string) bool { return !own[p] }); diff != nil {
			t.Fatalf("from %s to %s: - expected, + found:\n%s", states[from], states[to], bytes.Join(lines(diff), []byte("\n")))
		}
		from = to
	}
	if len(seen) != len(states)*(len(states)-1) {
		t.Errorf("%d ways were gone of %d states", len(seen), len(states))
	}
}

func edits(s load.State) []string {
	if s.Has("base", "v2") {
		return []string{"edit", "delete"}
	}
	if s.Has("base", "") {
		return []string{"edit", "late"}
	}
	return []string{"late"}
}

func lines(all []string) [][]byte {
	var out [][]byte
	for _, l := range all {
		out = append(out, []byte(l))
	}
	return out
}

// TestDiff says that every difference is seen.
func TestDiff(t *testing.T) {
	t.Parallel()
	d := newDevice(t)
	before := d.list()
	change := map[string]func(path string) error{
		"usr/share/theirs03": func(p string) error { return os.Chmod(p, 0o641) },
		"usr/share/theirs04": func(p string) error { return os.Truncate(p, 10) },
		"usr/share/theirs05": os.Remove,
		"usr/share/new":      func(p string) error { return os.Symlink("x", p) },
		"usr/share/linked":   func(p string) error { return os.Link(d.root+"/usr/share/theirs06", p) },
		"etc/base/x":         func(p string) error { return os.Mkdir(p, 0o700) },
	}
	var want []string
	for path, do := range change {
		if err := do(filepath.Join(d.root, path)); err != nil {
			t.Fatal(err)
		}
		want = append(want, path)
	}
	want = append(want, "usr/share/theirs06") // has another name now
	slices.Sort(want)
	var got []string
	for _, line := range load.Diff(before, d.list(), func(string) bool { return true }) {
		path, _, _ := bytes.Cut([]byte(line), []byte(" "))
		got = append(got, string(path))
	}
	if got = slices.Compact(got); !slices.Equal(got, want) {
		t.Errorf("differences %q, made were %q", got, want)
	}
	own := load.Diff(before, d.list(), func(string) bool { return false })
	if !slices.ContainsFunc(own, func(l string) bool { return l[:10] == "usr/share " }) {
		t.Errorf("the time of a directory is not seen: %q", own)
	}
}

// TestRunScript has a script's commands do what they say.
func TestRunScript(t *testing.T) {
	t.Parallel()
	root, waited := t.TempDir(), 0
	if err := load.Prepare(root); err != nil {
		t.Fatal(err)
	}
	wait := func(n int) { waited += n }
	if err := load.RunScript(root, "#!/bin/x\nwrite srv/base v9\nwait 30\nwait 4\nnoise 5000\n", wait); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join(root, load.Marker))
	if string(raw) != "v9" || err != nil || waited != 34 {
		t.Errorf("the marker has %q, %v; waited %d ms", raw, err, waited)
	}
	for range 2 { // a script may run twice
		if err := load.RunScript(root, "remove srv/base", wait); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Lstat(filepath.Join(root, load.Marker)); !os.IsNotExist(err) {
		t.Errorf("the marker is there: %v", err)
	}
	for _, bad := range []string{"dance 3", "write x", "wait long", "wait"} {
		if err := load.RunScript(root, bad, wait); err == nil {
			t.Errorf("%q was done", bad)
		}
	}
}
