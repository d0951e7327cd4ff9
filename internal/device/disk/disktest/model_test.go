package disktest_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/trusch/jamesd/internal/device/disk"
	"github.com/trusch/jamesd/internal/device/disk/disktest"
	"github.com/trusch/jamesd/pkg/james"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// bench is a disk with a recorder on it.
type bench struct {
	*disk.Disk
	t    *testing.T
	root string
	rec  *disktest.Recorder
	// seen is what was on the disk before and after each operation.
	seen  map[disktest.Point][32]byte
	lines map[disktest.Point]map[string]string
}

// at is the start: times after it count as one.
var start = time.Now().Add(-time.Second)

func newBench(t *testing.T, each bool, setUp func(d *disk.Disk)) *bench {
	t.Helper()
	b := &bench{t: t, root: t.TempDir(), seen: map[disktest.Point][32]byte{}, lines: map[disktest.Point]map[string]string{}}
	if setUp != nil {
		d := must(disk.Open(b.root, disk.Options{}))
		setUp(d)
		check(t, d.Close())
	}
	first := int64(-1)
	hook := func(before bool, op disk.Op) error {
		if b.rec == nil {
			return nil
		}
		if first < 0 {
			first = op.N - 1
		}
		b.rec.Hook(before, op)
		p, image := disktest.Point{N: int(op.N - first), After: !before}, must(disktest.Read(b.root))
		b.seen[p], b.lines[p] = image.Digest(start), image.Describe(0, disktest.AllTimes)
		return nil
	}
	b.Disk = must(disk.Open(b.root, disk.Options{Hook: hook, EachFile: each}))
	t.Cleanup(func() { b.Close() })
	b.rec = must(disktest.Record(b.root))
	return b
}

func (b *bench) history() *disktest.History {
	b.t.Helper()
	h, err := b.rec.History()
	check(b.t, err)
	return h
}

func (b *bench) write(path, content string) {
	b.t.Helper()
	check(b.t, b.WriteNew(path, strings.NewReader(content), disk.New{Meta: disk.Meta{Mode: 0o640, UID: uint32(os.Geteuid()), GID: uint32(os.Getegid())}}))
}

// everything does every operation that a disk has.
func everything(b *bench) {
	own := disk.Meta{UID: uint32(os.Geteuid()), GID: uint32(os.Getegid()), Mode: 0o604, Time: time.Unix(1e9, 5)}
	check(b.t, b.Mkdir("a", 0o755))
	check(b.t, b.MkdirAll("b/c/d", 0o700))
	b.write("a/file", "content")
	check(b.t, b.Fsync("a/file"))
	check(b.t, b.Symlink("file", "a/link", own))
	check(b.t, b.Mknod("b/fifo", james.TypeFifo, 0, 0, own))
	check(b.t, b.Link("a/file", "b/c/hard"))
	check(b.t, b.SetMeta("b/c/hard", own))
	check(b.t, b.Rename("a/file", "b/c/d/file"))
	b.write("a/file", "another one")
	check(b.t, b.Rename("a/file", "b/c/hard")) // replaces
	check(b.t, b.Rename("b/c", "moved"))
	other := must(disk.Open(b.t.TempDir(), disk.Options{})) // is not followed
	defer other.Close()
	check(b.t, other.WriteNew("content", strings.NewReader("foreign"), disk.New{Meta: own}))
	check(b.t, b.LinkFrom(other, "content", "a/foreign"))
	check(b.t, b.TakeOver("a/foreign", 7, disk.Meta{UID: own.UID, GID: own.GID, Mode: 0o640}))
	check(b.t, b.Rename("a/foreign", "b/foreign"))
	check(b.t, b.LinkFrom(b.Disk, "b/foreign", "a/again"))
	sparse := append(make([]byte, 64<<10), 'x')
	check(b.t, b.WriteNew("sparse", bytes.NewReader(sparse), disk.New{Meta: own, Sparse: true}))
	file := must(b.OpenAppend("log"))
	for k := range 3 {
		must(file.Write(fmt.Append(nil, "line ", k, "\n")))
		check(b.t, file.Sync())
	}
	check(b.t, file.Reserve(9999))
	check(b.t, file.Truncate(7))
	must(file.Write([]byte("again")))
	check(b.t, file.Close())
	check(b.t, b.Replace("log", []byte("replaced"), 0o600))
	batch := must(b.NewBatch("."))
	batch.Add("a")
	batch.Add("moved")
	check(b.t, batch.Flush())
	batch.Close()
	check(b.t, b.RemoveAll("moved"))
	check(b.t, b.Remove("a/link"))
	check(b.t, b.Mkdir("e", 0o1777))
}

// TestKillIsWhatIsThere holds every moment of the model against the disk, for
// every operation that a disk has.
func TestKillIsWhatIsThere(t *testing.T) {
	t.Parallel()
	for _, each := range []bool{true, false} {
		b := newBench(t, each, func(d *disk.Disk) { check(t, d.MkdirAll("old/dir", 0o755)) })
		everything(b)
		h := b.history()
		if len(h.Ops) < 40 || len(b.seen) != 2*len(h.Ops) {
			t.Fatalf("%d operations, %d moments", len(h.Ops), len(b.seen))
		}
		for p, want := range b.seen {
			if h.Kill(p).Digest(start) != want {
				t.Errorf("%s (%+v) the model differs from the disk", p, h.Ops[p.N-1])
			}
		}
	}
}

// TestWriteIsWhatWasRead writes images elsewhere and reads them again.
func TestWriteIsWhatWasRead(t *testing.T) {
	t.Parallel()
	b := newBench(t, false, nil)
	everything(b)
	h, other := b.history(), t.TempDir()
	for n := 1; n <= len(h.Ops); n += 3 {
		image := h.Kill(disktest.Point{N: n, After: true})
		check(t, image.Write(other))
		again := must(disktest.Read(other))
		if d := disktest.Diff(image.Describe(0, disktest.AllTimes), again.Describe(0, disktest.AllTimes)); d != "" {
			t.Fatalf("after operation %d:\n%s", n, d)
		}
		if image.Digest(start) != again.Digest(start) {
			t.Fatalf("after operation %d the digests differ", n)
		}
	}
}

// TestFollowsOthers changes the tree behind the disk's back, as a script does.
func TestFollowsOthers(t *testing.T) {
	t.Parallel()
	b := newBench(t, false, func(d *disk.Disk) {
		check(t, d.MkdirAll("keep/in", 0o755))
		check(t, d.MkdirAll("gone/in", 0o755))
	})
	b.write("keep/x", "x")
	b.write("keep/y", "y")
	check(t, b.Fsync("keep/x"))
	in := func(path string) string { return filepath.Join(b.root, path) }
	check(t, os.RemoveAll(in("gone")))
	check(t, os.MkdirAll(in("came/deep"), 0o711))
	check(t, os.WriteFile(in("came/deep/file"), []byte("new"), 0o600))
	check(t, os.Rename(in("keep/x"), in("came/x")))
	check(t, os.Remove(in("keep/in")))
	check(t, os.WriteFile(in("keep/in"), nil, 0o600)) // another type
	check(t, os.WriteFile(in("keep/y"), []byte("longer"), 0o600))
	check(t, os.Chmod(in("keep/y"), 0o400))
	b.Forget()
	check(t, b.Mkdir("last", 0o755))
	h := b.history()
	for p, want := range b.seen {
		if got := h.Kill(p); got.Digest(start) != want {
			t.Errorf("%s the model differs from the disk:\n%s", p, disktest.Diff(b.lines[p], got.Describe(0, disktest.AllTimes)))
		}
	}
}

// TestUnknownIsToldOf has the recorder miss an operation.
func TestUnknownIsToldOf(t *testing.T) {
	t.Parallel()
	rec := must(disktest.Record(t.TempDir()))
	rec.Hook(true, disk.Op{N: 1, Name: "remove", Path: "/nowhere"})
	rec.Hook(false, disk.Op{N: 1, Name: "remove", Path: "/nowhere"})
	if _, err := rec.History(); err != nil {
		t.Errorf("outside of the trees: %v", err)
	}
	root := t.TempDir()
	rec = must(disktest.Record(root))
	rec.Hook(true, disk.Op{N: 1, Name: "transmogrify", Path: root + "/x"})
	rec.Hook(false, disk.Op{N: 1, Name: "transmogrify", Path: root + "/x"})
	if _, err := rec.History(); err == nil || !strings.Contains(err.Error(), "transmogrify") {
		t.Errorf("the error is %v", err)
	}
}
