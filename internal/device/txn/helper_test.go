package txn_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/trusch/jamesd/internal/archive"
	"github.com/trusch/jamesd/internal/device/disk"
	"github.com/trusch/jamesd/internal/device/disk/disktest"
	"github.com/trusch/jamesd/internal/device/script"
	"github.com/trusch/jamesd/internal/device/txn"
	"github.com/trusch/jamesd/pkg/james"
)

// then is the time of everything in a packet, and of everything in a root that
// was there before.
var then = time.Date(2020, 2, 3, 4, 5, 6, 789000000, time.UTC)

type member struct {
	tar.Header
	content string
}

func file(name, content string) member {
	return member{tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(content))}, content}
}

func dir(name string) member {
	return member{Header: tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: 0o755}}
}

func symlink(name, target string) member {
	return member{Header: tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target, Mode: 0o777}}
}

func hardlink(name, target string) member {
	return member{Header: tar.Header{Typeflag: tar.TypeLink, Name: name, Linkname: target}}
}

func fifo(name string) member {
	return member{Header: tar.Header{Typeflag: tar.TypeFifo, Name: name, Mode: 0o640}}
}

func (m member) mode(mode int64) member { m.Mode = mode; return m }

func (m member) owner(uid, gid int) member { m.Uid, m.Gid = uid, gid; return m }

func (m member) named(user, group string) member { m.Uname, m.Gname = user, group; return m }

func (m member) xattr(name, value string) member {
	m.PAXRecords = map[string]string{"SCHILY.xattr." + name: value}
	return m
}

// pack makes a packet of "name tag,tag". Scripts are given as name: body.
func (p *packets) pack(t testing.TB, app string, scripts map[james.ScriptName]string, members ...member) *james.Packet {
	t.Helper()
	name, tags, _ := strings.Cut(app, " ")
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, m := range members {
		h := m.Header
		h.ModTime, h.Format = then, tar.FormatPAX
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, m.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	limits := archive.DefaultLimits()
	limits.AllowDevices = true
	entries, _, err := archive.Scan(context.Background(), bytes.NewReader(buf.Bytes()), limits)
	if err != nil {
		t.Fatal(err)
	}
	m := &james.Manifest{Name: name, Tags: james.MustTags(tags), Entries: entries, Scripts: map[james.ScriptName][]byte{}}
	for s, body := range scripts {
		m.Scripts[s] = []byte(body)
	}
	if m.Scripts[james.HealthCheck] != nil {
		m.Health = p.health
	}
	_, digest, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	p.manifests[digest], p.archives[digest] = m, buf.Bytes()
	return &james.Packet{Digest: digest, Name: name, Tags: m.Tags}
}

// world is a device: an install root, a state directory, and packets for it.
type world struct {
	t           testing.TB
	root, state string
	source      string // where contents are stored; "" is beside the root
	*packets
	hook   disk.Hook
	each   bool // fsync every file by itself
	acls   bool // directories have attributes and access control lists
	opts   txn.Options
	runner script.Runner
	disk   *disk.Disk
	in     *txn.Installer
}

func newWorld(t testing.TB) *world {
	t.Helper()
	base := t.TempDir()
	w := &world{t: t, root: filepath.Join(base, "root"), state: filepath.Join(base, "state"), packets: newPackets()}
	w.runner = script.Runner{Timeout: time.Minute, Grace: 100 * time.Millisecond}
	if err := os.Mkdir(w.root, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.close)
	return w
}

// start opens the device, as the agent does at its start.
func (w *world) start() (*james.Report, error) {
	if err := w.open(); err != nil {
		return nil, err
	}
	return w.in.Recover(context.Background())
}

func (w *world) open() error {
	w.close()
	d, err := disk.Open(w.root, disk.Options{EachFile: w.each, Hook: func(before bool, op disk.Op) error {
		if w.hook == nil {
			return nil
		}
		return w.hook(before, op)
	}})
	if err != nil {
		return err
	}
	if w.source == "" {
		w.source = filepath.Join(filepath.Dir(w.root), "source")
	}
	from, err := d.At(w.source)
	if err != nil {
		return errors.Join(err, d.Close())
	}
	w.packets.open(from)
	o := w.opts
	o.Disk, o.StateDir, o.Scripts = d, w.state, &w.runner
	in, err := txn.Open(o)
	if err != nil {
		return errors.Join(err, from.Close(), d.Close())
	}
	w.disk, w.in = d, in
	return nil
}

func (w *world) mustStart() {
	w.t.Helper()
	if r, err := w.start(); err != nil || r != nil {
		w.t.Fatalf("start: %+v, %v", r, err)
	}
}

func (w *world) close() {
	if w.in != nil {
		w.in.Close()
		w.packets.dir.Close()
		w.disk.Close()
		w.in, w.disk = nil, nil
	}
}

// apply carries a plan out that replaces what is installed of old by new, pair
// by pair; nil is nothing.
func (w *world) apply(steps ...james.Step) *james.Report {
	w.t.Helper()
	plan := newPlan(steps)
	r, err := w.in.Apply(context.Background(), &plan, w.packets)
	if err != nil {
		w.t.Fatalf("apply: %v", err)
	}
	if r.Plan != plan.ID || r.Revision != 1 || r.Ended.Before(r.Started) {
		w.t.Fatalf("the report is of another plan: %+v", r)
	}
	return r
}

// newPlan is james.NewPlan, also for steps that no server makes.
func newPlan(steps []james.Step) james.Plan {
	for _, s := range steps {
		if s.Old == nil && s.New == nil {
			return james.Plan{Revision: 1, Steps: steps}
		}
	}
	return james.NewPlan(1, steps, nil)
}

func (w *world) must(steps ...james.Step) {
	w.t.Helper()
	if r := w.apply(steps...); r.Result != james.Committed || r.Error != "" {
		w.t.Fatalf("result %s: %s\n%s", r.Result, r.Error, r.Output)
	}
	w.checkClean()
}

func install(p *james.Packet) james.Step { return james.Step{New: p} }

func remove(p *james.Packet) james.Step { a := p.App(); return james.Step{Old: &a} }

func upgrade(old, new *james.Packet) james.Step { a := old.App(); return james.Step{Old: &a, New: new} }

// checkClean fails unless a transaction has left nothing but its result.
func (w *world) checkClean() {
	w.t.Helper()
	filepath.WalkDir(w.root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			w.t.Fatal(err)
		}
		if filepath.Base(path) == ".jamesc" {
			w.t.Fatalf("left behind: %s", path)
		}
		return nil
	})
	names := map[string]bool{}
	for _, e := range must(os.ReadDir(w.state)) {
		names[e.Name()] = true
	}
	for name := range names {
		if !slices.Contains([]string{"state.json", "state.backup.json", "journal", "lock", "turn", "id", "manifests", "run", "source"}, name) {
			w.t.Fatalf("left in the state directory: %s", name)
		}
	}
	if st := must(os.Stat(filepath.Join(w.state, "journal"))); st.Size() != 0 {
		w.t.Fatalf("the journal has %d bytes", st.Size())
	}
	if len(must(os.ReadDir(filepath.Join(w.state, "run")))) != 0 {
		w.t.Fatal("scripts are left")
	}
	var kept []string
	for _, e := range must(os.ReadDir(filepath.Join(w.state, "manifests"))) {
		kept = append(kept, e.Name())
	}
	want := []string{}
	for _, a := range w.in.Apps() {
		want = append(want, a.Digest.String()+".json")
	}
	slices.Sort(want)
	if want = slices.Compact(want); !slices.Equal(kept, want) {
		w.t.Fatalf("kept manifests %q, installed %q", kept, want)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// put makes files in the root, as they were before any packet: "path" is a file
// with its path as content, "path/" a directory, "path>target" a symbolic link,
// "path=content" a file with that content.
func (w *world) put(names ...string) {
	w.t.Helper()
	for _, name := range names {
		path, target, isLink := strings.Cut(name, ">")
		path, content, hasContent := strings.Cut(path, "=")
		if !hasContent {
			content = path
		}
		full := filepath.Join(w.root, path)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			w.t.Fatal(err)
		}
		var err error
		switch {
		case isLink:
			err = os.Symlink(target, full)
		case strings.HasSuffix(path, "/"):
			err = os.MkdirAll(full, 0o755)
		default:
			err = os.WriteFile(full, []byte(content), 0o644)
		}
		if err != nil {
			w.t.Fatal(err)
		}
	}
	w.age()
}

// age gives everything in the root an old time, so that a change shows.
func (w *world) age() {
	w.t.Helper()
	var paths []string
	filepath.WalkDir(w.root, func(path string, _ fs.DirEntry, err error) error {
		paths = append(paths, path)
		return err
	})
	for n, path := range slices.Backward(paths) {
		ts := unix.NsecToTimespec(then.Add(time.Duration(n) * time.Minute).UnixNano())
		if err := unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			w.t.Fatal(err)
		}
	}
}

// tree describes everything below the root, one line for each path: all that a
// transaction must bring back. times says whether directories' times count.
func (w *world) tree(times bool) map[string]string {
	w.t.Helper()
	return treeOf(w.t, w.root, times)
}

func treeOf(t testing.TB, root string, times bool) map[string]string {
	t.Helper()
	image, err := disktest.Read(root)
	if err != nil {
		t.Fatal(err)
	}
	if times {
		return image.Describe(0, disktest.AllTimes)
	}
	return image.Describe(0, disktest.FileTimes)
}

// diff says how two trees differ, "" if they do not.
func diff(before, after map[string]string) string { return disktest.Diff(before, after) }

// names lists a tree's paths, directories with a slash.
func (w *world) names() string {
	w.t.Helper()
	var out []string
	for path, line := range w.tree(false) {
		if path == "." {
			continue
		}
		if line[0] == 'd' {
			path += "/"
		}
		out = append(out, path)
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

func (w *world) read(path string) string {
	w.t.Helper()
	raw, err := os.ReadFile(filepath.Join(w.root, path))
	if err != nil {
		return err.Error()
	}
	return string(raw)
}

func (w *world) write(path, content string) {
	w.t.Helper()
	if err := os.WriteFile(filepath.Join(w.root, path), []byte(content), 0o644); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) apps() string { return fmt.Sprint(w.in.Apps()) }

// errDead is what every operation gets after the device's end.
var errDead = errors.New("the device is off")

// dieAfter returns a hook that ends everything after the first operation that is last.
func dieAfter(last func(op disk.Op) bool) disk.Hook {
	dead := false
	return func(before bool, op disk.Op) error {
		if dead = dead || !before && last(op); dead {
			return errDead
		}
		return nil
	}
}

// dieAt returns a hook that ends everything before or after the n-th operation.
func dieAt(n int64, after bool) disk.Hook {
	var count atomic.Int64
	return func(before bool, op disk.Op) error {
		at := count.Load()
		if before {
			at = count.Add(1)
		}
		if at > n || at == n && before != after {
			return errDead
		}
		return nil
	}
}
