package txn_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/trusch/jamesd/internal/device/disk"
	"github.com/trusch/jamesd/internal/device/disk/mounttest"
	"github.com/trusch/jamesd/pkg/james"
)

// noise is content that takes its whole size.
func noise(size int) string { return strings.Repeat("noise...", size/8) }

// refused fails unless the plan is refused for the want of space before anything
// was asked for, and leaves nothing behind.
func (w *world) refused(says []string, steps ...james.Step) *james.Report {
	w.t.Helper()
	before := w.tree(true)
	r := w.apply(steps...)
	if r.Result != james.Refused || r.Kind != james.KindUnavailable || !strings.Contains(r.Error, "not enough space") {
		w.t.Fatalf("%+v", r)
	}
	for _, s := range says {
		if !strings.Contains(r.Error, s) {
			w.t.Errorf("%q is not in %s", s, r.Error)
		}
	}
	w.checkClean()
	if d := diff(before, w.tree(true)); d != "" {
		w.t.Errorf("the device has changed:\n%s", d)
	}
	return r
}

// TestSpace has plans that do not fit, on file systems that are mounted in each
// other.
func TestSpace(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		varOpt   string // of the file system at /var
		members  []member
		missing  int64 // of the archive
		says     []string
		saysNot  []string
		succeeds bool
	}{
		{name: "fits", members: []member{file("opt/x", noise(2<<20)), file("var/x", noise(2<<20))}, succeeds: true},
		{name: "one is too small", members: []member{file("opt/x", noise(2<<20)), file("var/x", noise(5<<20))},
			says: []string{"/root/var has 4.0 MiB free", "are missing; free 1"}, saysNot: []string{"/root has"}},
		{name: "both are too small", members: []member{file("opt/x", noise(9<<20)), file("var/x", noise(5<<20))},
			says: []string{"/root/var has 4.0 MiB free", "/root has 8.0 MiB free", " MiB on "}},
		{name: "too many files", varOpt: "nr_inodes=30", members: many("var/f", 50),
			says: []string{"/root/var has room for 29 more files and 54 are needed, 25 are missing", "25 files on"}, saysNot: []string{"MiB are"}},
		{name: "too many directories", varOpt: "nr_inodes=30", members: manyDirs("var/d", 50),
			says: []string{"/root/var has room for 29 more files and 54 are needed"}},
		{name: "what is fetched does not fit beside the state", members: []member{file("opt/x", "x")}, missing: 20 << 20,
			says: []string{"/state has 6.0 MiB free and 21."}},
		{name: "beyond all numbers", members: []member{file("opt/x", "x")}, missing: 1<<63 - 1, says: []string{"/state has 6.0 MiB free"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			mounttest.Tmpfs(t, w.root, "size=8m")
			mounttest.Tmpfs(t, filepath.Join(w.root, "var"), "size=4m,"+c.varOpt)
			mounttest.Tmpfs(t, w.state, "size=6m,mode=700")
			if w.missing = c.missing; w.missing > 0 {
				w.source = filepath.Join(w.state, "source")
			}
			w.mustStart()
			step := install(w.pack(t, "a v1", nil, c.members...))
			if c.succeeds {
				w.must(step)
				return
			}
			r := w.refused(c.says, step)
			for _, s := range c.saysNot {
				if strings.Contains(r.Error, s) {
					t.Errorf("%q is in %s", s, r.Error)
				}
			}
			if w.asked > 0 {
				t.Error("the archive was asked for")
			}
		})
	}
}

func many(prefix string, n int) (all []member) {
	for k := range n {
		all = append(all, file(fmt.Sprintf("%s%d", prefix, k), "x"))
	}
	return all
}

func manyDirs(prefix string, n int) (all []member) {
	for k := range n {
		all = append(all, dir(fmt.Sprintf("%s%d", prefix, k)))
	}
	return all
}

// TestSpaceOfSparseFiles has files that are larger than the disk and hold little.
func TestSpaceOfSparseFiles(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		data int64
		fits bool
	}{"little data": {64 << 10, true}, "much data": {9 << 20, false}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			mounttest.Tmpfs(t, w.root, "size=8m")
			w.mustStart()
			m := &james.Manifest{Name: "a", Tags: james.MustTags("v1"), Entries: []james.Entry{
				{Path: "disk", Type: james.TypeFile, Mode: 0o644, Size: 1 << 40, Sparse: true, Data: c.data, Digest: james.DigestOf(nil)}}}
			_, digest, err := m.Encode()
			if err != nil {
				t.Fatal(err)
			}
			w.manifests[digest] = m
			r := w.apply(install(&james.Packet{Digest: digest, Name: "a", Tags: m.Tags}))
			if r.Result != james.Refused || strings.Contains(r.Error, "not enough space") == c.fits {
				t.Errorf("%+v", r) // what fits is refused as there is no archive
			}
			w.checkClean()
		})
	}
}

// TestSpaceIsTaken has somebody else fill the disk while an archive is on its
// way: the plan has its room already.
func TestSpaceIsTaken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	base := filepath.Join(filepath.Dir(w.root), "ext4")
	mounttest.Ext4(t, base, 96)
	w.root, w.state = base+"/root", base+"/state"
	w.mustStart()
	p := w.pack(t, "a v1", map[james.ScriptName]string{james.Postinst: ":"}, append(many("opt/f", 300), file("opt/x", noise(30<<20)), file("opt/y", noise(10<<20)))...)
	var filled int64
	w.spoil = func(r io.Reader) io.Reader {
		filled = mounttest.Fill(t, base+"/hog")
		return r
	}
	w.must(install(p))
	if filled == 0 {
		t.Error("nobody filled the disk")
	}
	if got := w.read("opt/x"); got != noise(30<<20) {
		t.Errorf("%d bytes are installed", len(got))
	}
}

// halfway acts when so many bytes were read.
type halfway struct {
	r   io.Reader
	at  int64
	act func()
}

func (h *halfway) Read(p []byte) (int, error) {
	n, err := h.r.Read(p)
	if h.at -= int64(n); h.at <= 0 && h.act != nil {
		h.act()
		h.act = nil
	}
	return n, err
}

// TestSpaceIsGone has somebody else fill the disk after the space was counted and
// before it is taken; when there is room again the same plan is carried out.
func TestSpaceIsGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	base := filepath.Join(filepath.Dir(w.root), "ext4")
	mounttest.Ext4(t, base, 64)
	w.root, w.state = base+"/root", base+"/state"
	w.mustStart()
	p := w.pack(t, "a v1", nil, file("opt/x", noise(20<<20)))
	w.hook = func(before bool, op disk.Op) error {
		if before && op.Name == "reserve" && strings.HasSuffix(op.Path, ".jamesc") {
			mounttest.Fill(t, base+"/hog")
		}
		return nil
	}
	w.refused([]string{"something else takes it right now", "free some space on " + base}, install(p))
	if w.asked > 0 {
		t.Error("the archive was asked for")
	}
	w.hook = nil
	if err := os.Remove(base + "/hog"); err != nil {
		t.Fatal(err)
	}
	w.must(install(p))
	free := must(w.disk.Space("."))
	plan := james.NewPlan(1, []james.Step{upgrade(p, w.pack(t, "a v2", nil, file("opt/x", noise(20<<20)+"other")))}, nil)
	ctx, cancel := context.WithCancel(context.Background())
	w.spoil = func(r io.Reader) io.Reader { return &halfway{r: r, at: 10 << 20, act: cancel} }
	if r, err := w.in.Apply(ctx, &plan, w.packets); err != nil || r.Result != james.Refused {
		t.Fatalf("%+v, %v", r, err)
	}
	w.checkClean()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		w.do(w.disk.Fsync(".")) // and then the file system frees what was removed
		left := free.Free - must(w.disk.Space(".")).Free
		if left <= 64<<10 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("a plan that was stopped has left %d bytes", left)
		}
	}
}

// TestSpaceOfContents has contents that count where they are stored, and where they
// are copied to.
func TestSpaceOfContents(t *testing.T) {
	t.Parallel()
	five := file("opt/five", noise(5<<20))
	for _, c := range []struct {
		name  string
		sizes [3]string // of the file systems of both, or of the root and the source
		have  []member
		new   []member
		says  string // "" where it fits
	}{
		{name: "linked", sizes: [3]string{"8m"}, new: []member{five}},
		{name: "linked, and copied", sizes: [3]string{"8m"}, new: []member{five, file("opt/again", noise(5<<20))}, says: "MiB are needed"},
		{name: "copied", sizes: [3]string{"", "8m", "8m"}, new: []member{five}},
		{name: "no room to copy", sizes: [3]string{"", "4m", "8m"}, new: []member{five}, says: "/root has"},
		{name: "no room to fetch", sizes: [3]string{"", "8m", "4m"}, new: []member{five}, says: "/source has"},
		{name: "reused", sizes: [3]string{"", "16m", "1m"}, have: []member{file("opt/have", noise(5<<20))}, new: []member{five}},
		{name: "no room to reuse", sizes: [3]string{"", "8m", "1m"}, have: []member{file("opt/have", noise(5<<20))}, new: []member{five}, says: "/root has"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			if both := c.sizes[0]; both != "" {
				base := filepath.Join(filepath.Dir(w.root), "both")
				mounttest.Tmpfs(t, base, "size="+both)
				w.root, w.source = base+"/root", base+"/source"
			} else {
				w.source = filepath.Join(filepath.Dir(w.root), "source")
				mounttest.Tmpfs(t, w.root, "size="+c.sizes[1])
				mounttest.Tmpfs(t, w.source, "size="+c.sizes[2])
			}
			if c.have != nil {
				later := w.source
				w.source = filepath.Join(filepath.Dir(w.root), "first")
				w.mustStart()
				w.must(install(w.pack(t, "have v1", nil, c.have...)))
				w.close()
				w.source = later
			}
			w.mustStart()
			w.asked = 0
			step := install(w.pack(t, "a v1", nil, c.new...))
			if c.says == "" {
				w.must(step)
			} else if w.refused([]string{c.says}, step); w.asked > 0 {
				t.Error("it was fetched all the same")
			}
		})
	}
}
