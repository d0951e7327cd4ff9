package disk_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/trusch/jamesd/internal/device/disk"
	"github.com/trusch/jamesd/internal/need"
	"github.com/trusch/jamesd/pkg/james"
)

func open(t *testing.T, o disk.Options) *disk.Disk {
	t.Helper()
	d, err := disk.Open(filepath.Join(t.TempDir(), "root"), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// put makes what the names say, with "path>target" for a symbolic link and
// "path/" for a directory.
func put(t *testing.T, d *disk.Disk, names ...string) {
	t.Helper()
	for _, name := range names {
		path, target, link := strings.Cut(name, ">")
		err := os.MkdirAll(filepath.Dir(d.Abs(path)), 0o755)
		switch {
		case err != nil:
		case link:
			err = os.Symlink(target, d.Abs(path))
		case strings.HasSuffix(name, "/"):
			err = os.MkdirAll(d.Abs(path), 0o755)
		default:
			err = os.WriteFile(d.Abs(path), []byte(path), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestOpenMakesTheRoot(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	d, err := disk.Open(filepath.Join(base, "a/b"), disk.Options{DirMode: 0o750})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if st, err := os.Stat(d.Root()); err != nil || st.Mode().Perm() != 0o750 {
		t.Errorf("%v, %v", st, err)
	}
	state, err := d.At(filepath.Join(base, "state"))
	if err != nil {
		t.Fatal(err)
	}
	defer state.Close()
	if st, err := os.Stat(state.Root()); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", st, err)
	}
	os.WriteFile(filepath.Join(base, "file"), nil, 0o644)
	if _, err := disk.Open(filepath.Join(base, "file/x"), disk.Options{}); err == nil {
		t.Error("a root below a file")
	}
}

func TestResolve(t *testing.T) {
	t.Parallel()
	d := open(t, disk.Options{})
	put(t, d, "usr/lib/", "lib>usr/lib", "run/", "var/run>/run", "var/deep/up>../../usr", "loop>loop", "var/out>../../../etc", "abs>/../etc",
		"a/chain>../lib", "missing>not/there", "file", "var/top>..", "usr/lib/same>../..")
	for path, want := range map[string]string{
		".": ".", "usr/lib": "usr/lib", "lib": "usr/lib", "lib/x": "usr/lib/x", "var/run/a": "run/a", "var/deep/up/lib": "usr/lib",
		"a/chain/z": "usr/lib/z", "new/dir": "new/dir", "missing/x": "not/there/x", "file": "file", "file/x": "file/x", "var/top": ".", "lib/same/run": "run",
	} {
		if got, err := d.Resolve(path, d); got != want || err != nil {
			t.Errorf("%s is %q, %v, want %q", path, got, err, want)
		}
	}
	for path, kind := range map[string]james.Kind{"loop": james.KindConflict, "loop/x": james.KindConflict, "var/out": james.KindDenied, "var/out/passwd": james.KindDenied, "abs/x": james.KindDenied} {
		if got, err := d.Resolve(path, d); james.KindOf(err) != kind {
			t.Errorf("%s is %q, %v, want kind %s", path, got, err, kind)
		}
	}
}

// TestNothingFollowsLinks tries every operation through a link that leads out,
// also one that took the place of a directory that was used before.
func TestNothingFollowsLinks(t *testing.T) {
	t.Parallel()
	d := open(t, disk.Options{})
	out := filepath.Join(t.TempDir(), "out")
	if err := os.MkdirAll(out, 0o755); err != nil {
		t.Fatal(err)
	}
	os.WriteFile(filepath.Join(out, "file"), []byte("theirs"), 0o644)
	put(t, d, "out>"+out, "ours", "dir/sub/x")
	meta := disk.Meta{Mode: 0o777, Time: time.Unix(1, 0)}
	try := func(when, dir string) {
		t.Helper()
		in := dir + "/file"
		for name, err := range map[string]error{
			"mkdir": d.Mkdir(dir+"/new", 0o755), "mkdirall": d.MkdirAll(dir+"/new/x", 0o755), "write": d.WriteNew(dir+"/new", strings.NewReader(""), disk.New{}),
			"remove": d.Remove(in), "rmdir": d.Rmdir(dir + "/x"), "rename in": d.Rename("ours", dir+"/new"), "rename out": d.Rename(in, "new"),
			"link": d.Link(in, "new"), "link in": d.Link("ours", dir+"/new"), "symlink": d.Symlink("x", dir+"/new", meta), "mknod": d.Mknod(dir+"/new", james.TypeFifo, 0, 0, meta),
			"meta": d.SetMeta(in, meta), "time": d.SetTime(in, time.Unix(1, 0)), "fsync": d.Fsync(in), "replace": d.Replace(in, []byte("x"), 0o644),
			"append": second(d.OpenAppend(in)), "open": second(d.OpenFile(in)), "readlink": second(d.Readlink(in)), "readdir": second(d.ReadDir(dir)),
			"lstat": second(d.Lstat(in)), "batch": second(d.NewBatch(dir)), "mount": second(d.Mount(dir)), "space": second(d.Space(dir)), "slow": second(d.OpenSlowly(in)),
		} {
			if err == nil {
				t.Errorf("%s: %s went through the link", when, name)
			}
		}
		if err := d.RemoveAll(in); err != nil {
			t.Errorf("%s: RemoveAll of what is not there: %v", when, err)
		}
	}
	try("a link", "out")
	put(t, d, "later/file")
	if _, err := d.Lstat("later/file"); err != nil {
		t.Fatal(err)
	}
	os.RemoveAll(d.Abs("later"))
	os.Symlink(out, d.Abs("later"))
	d.Forget()
	try("a directory that became a link", "later")
	try("a link on the way", "out/../out")
	raw, _ := os.ReadFile(filepath.Join(out, "file"))
	names, _ := os.ReadDir(out)
	if st, _ := os.Stat(filepath.Join(out, "file")); string(raw) != "theirs" || len(names) != 1 || st.Mode() != 0o644 || st.ModTime().Unix() == 1 {
		t.Errorf("something was changed there: %q, %v", raw, names)
	}
	if err := d.RemoveAll("out"); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(out, "file")); err != nil {
		t.Error("RemoveAll followed the link")
	}
}

func second[T any](_ T, err error) error { return err }

func TestSlowWalk(t *testing.T) {
	t.Parallel()
	d := open(t, disk.Options{})
	put(t, d, "a/b/c", "a/link>b", "l>a")
	for path, ok := range map[string]bool{"a/b/c": true, "a/b": true, "a": true, "a/link/c": false, "l/b/c": false, "a/../a": false, "a/none": false} {
		f, err := d.OpenSlowly(path)
		if (err == nil) != ok {
			t.Errorf("%s: %v", path, err)
		}
		f.Close()
	}
}

func TestKindsOfErrors(t *testing.T) {
	t.Parallel()
	d := open(t, disk.Options{})
	put(t, d, "dir/x", "file")
	for _, c := range []struct {
		name string
		err  error
		kind james.Kind
		is   error
	}{
		{"nothing there", d.Remove("none"), james.KindNotFound, os.ErrNotExist},
		{"below a file", second(d.Lstat("file/x")), james.KindNotFound, os.ErrNotExist},
		{"not empty", d.Rmdir("dir"), james.KindConflict, unix.ENOTEMPTY},
		{"there already", d.Mkdir("dir", 0o755), james.KindConflict, os.ErrExist},
		{"over a directory", d.Rename("file", "dir"), james.KindConflict, unix.EISDIR},
		{"not a file", second(d.OpenFile("dir")), james.KindConflict, nil},
		{"too large", second(d.ReadFile("file", 3)), james.KindCorrupt, nil},
		{"too long", d.Mkdir(strings.Repeat("x", 256), 0o755), james.KindInvalid, unix.ENAMETOOLONG},
		{"a directory below a file", d.MkdirAll("file/x", 0o755), james.KindConflict, nil},
	} {
		if james.KindOf(c.err) != c.kind || c.is != nil && !errors.Is(c.err, c.is) {
			t.Errorf("%s: kind %s: %v", c.name, james.KindOf(c.err), c.err)
		}
		if c.err == nil || !strings.Contains(c.err.Error(), d.Root()) {
			t.Errorf("%s: does not name the file: %v", c.name, c.err)
		}
	}
}

// TestHook counts: every change is one operation or more, and no reading is.
func TestHook(t *testing.T) {
	t.Parallel()
	var ops []string
	var numbers []int64
	var fail error
	failBefore := true
	d := open(t, disk.Options{Hook: func(before bool, op disk.Op) error {
		if before {
			ops, numbers = append(ops, op.Name), append(numbers, op.N)
		}
		if before == failBefore {
			return fail
		}
		return nil
	}})
	state, err := d.At(filepath.Join(t.TempDir(), "state"))
	if err != nil {
		t.Fatal(err)
	}
	defer state.Close()
	meta := disk.Meta{Mode: 0o600, UID: uint32(os.Getuid()), GID: uint32(os.Getgid()), Time: time.Unix(5, 0), Xattrs: map[string][]byte{"user.a": []byte("b")}}
	ops = nil
	for _, err := range []error{
		d.Mkdir("d", 0o755), d.WriteNew("d/f", strings.NewReader("x"), disk.New{Meta: meta}), d.Link("d/f", "d/h"), d.Rename("d/h", "d/i"),
		d.Remove("d/i"), d.Symlink("f", "d/l", disk.Meta{}), state.Replace("s", []byte("x"), 0o600), d.Fsync("d"), d.SetTime("d", time.Unix(1, 0)),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	want := "mkdir create write chown chmod setxattr utimes link rename remove symlink chown create write chown chmod fsync rename fsync fsync utimes"
	if os.Geteuid() != 0 {
		want = strings.ReplaceAll(want, " chown", "")
	}
	if got := strings.Join(ops, " "); got != want {
		t.Errorf("operations %s\nwant       %s", got, want)
	}
	for n := 1; n < len(numbers); n++ {
		if numbers[n] != numbers[n-1]+1 {
			t.Fatalf("numbers %v", numbers)
		}
	}
	ops = nil
	d.Lstat("d")
	d.ReadDir("d")
	d.ReadFile("d/f", 10)
	d.Xattrs("d/f")
	d.Resolve("d/l", d)
	if len(ops) > 0 {
		t.Errorf("reading is %q", ops)
	}
	fail = syscall.EIO
	if err := d.Mkdir("e", 0o755); !errors.Is(err, syscall.EIO) || james.KindOf(err) != james.KindUnavailable {
		t.Errorf("%v", err)
	}
	if there, _ := d.Exists("e"); there {
		t.Error("made although the hook said no")
	}
	failBefore = false
	if err := d.Mkdir("e", 0o755); !errors.Is(err, syscall.EIO) {
		t.Errorf("%v", err)
	}
	if there, _ := d.Exists("e"); !there {
		t.Error("not made before the hook said no")
	}
}

func TestWriteNew(t *testing.T) {
	t.Parallel()
	d := open(t, disk.Options{})
	content := strings.Repeat("\x00", 1<<20) + "x" + strings.Repeat("\x00", 1<<20+7)
	for _, sparse := range []bool{false, true} {
		name := fmt.Sprintf("f%t", sparse)
		// A reader that returns little at a time must not make more or fewer holes.
		if err := d.WriteNew(name, iotest.HalfReader(strings.NewReader(content)), disk.New{Meta: disk.Meta{Mode: 0o4711, Time: time.Unix(9, 5)}, Sparse: sparse}); err != nil {
			t.Fatal(err)
		}
		raw, err := d.ReadFile(name, 10<<20)
		info, ierr := d.Lstat(name)
		if err != nil || ierr != nil || string(raw) != content || info.Mode != 0o4711 || !info.Time.Equal(time.Unix(9, 5)) {
			t.Errorf("sparse %t: %d bytes, %+v, %v", sparse, len(raw), info, err)
		}
		if sparse && info.Blocks*512 > 64<<10 || !sparse && info.Blocks*512 < info.Size {
			t.Errorf("sparse %t: %d blocks", sparse, info.Blocks)
		}
	}
	if err := d.WriteNew("ftrue", strings.NewReader("other"), disk.New{}); !errors.Is(err, os.ErrExist) {
		t.Errorf("over another: %v", err)
	}
	why := james.Errorf(james.KindCorrupt, "archive", "is not what it was")
	if err := d.WriteNew("broken", io.MultiReader(strings.NewReader("some"), iotest.ErrReader(why)), disk.New{}); !errors.Is(err, why) || james.KindOf(err) != james.KindCorrupt {
		t.Errorf("an error of the content: %v", err)
	}
}

func TestTimesBeyondTheClock(t *testing.T) {
	t.Parallel()
	d := open(t, disk.Options{})
	put(t, d, "f")
	for _, at := range []time.Time{time.Date(1901, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2037, 1, 1, 0, 0, 0, 1, time.UTC)} {
		if err := d.SetTime("f", at); err != nil {
			t.Errorf("%s: %v", at, err)
		}
	}
	if info, _ := d.Lstat("f"); !info.Time.Equal(time.Date(2037, 1, 1, 0, 0, 0, 1, time.UTC)) {
		t.Errorf("%s", info.Time)
	}
}

// TestReplaceSurvives ends everything at every operation of a Replace: the file
// has the old content or the new, and the next Replace succeeds.
func TestReplaceSurvives(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for n, more := 1, true; more; n++ {
		for _, after := range []bool{false, true} {
			count, armed := 0, false
			d := open(t, disk.Options{Hook: func(before bool, _ disk.Op) error {
				if !armed {
					return nil
				}
				if before {
					count++
				}
				if count > n || count == n && before != after {
					return syscall.EIO
				}
				return nil
			}})
			if err := d.Replace("f", []byte("old"), 0o640); err != nil {
				t.Fatal(err)
			}
			armed = true
			more = d.Replace("f", []byte("new"), 0o640) != nil
			armed = false
			raw, err := d.ReadFile("f", 10)
			if err != nil || string(raw) != "old" && string(raw) != "new" || !more && string(raw) != "new" {
				t.Fatalf("at %d: %q, %v", n, raw, err)
			}
			seen[string(raw)] = true
			if err := d.Replace("f", []byte("newer"), 0o640); err != nil {
				t.Fatal(err)
			}
			if names, _ := d.ReadDir("."); !slices.Equal(names, []string{"f"}) {
				t.Fatalf("left behind: %q", names)
			}
		}
	}
	if len(seen) != 2 {
		t.Errorf("only ever %v", seen)
	}
}

func TestBatch(t *testing.T) {
	t.Parallel()
	for _, each := range []bool{false, true} {
		var synced []string
		var fail error
		d := open(t, disk.Options{EachFile: each, Hook: func(before bool, op disk.Op) error {
			if before && strings.Contains(op.Name, "sync") {
				synced = append(synced, op.Name)
				return fail
			}
			return nil
		}})
		put(t, d, "a/f", "a/g", "b/h")
		batch, err := d.NewBatch(".")
		if err != nil {
			t.Fatal(err)
		}
		defer batch.Close()
		synced = nil
		if err := batch.Flush(); err != nil || synced != nil {
			t.Errorf("an empty batch: %q, %v", synced, err)
		}
		// One at a time, as the hook of this test is no more than a list.
		add := func(paths ...string) {
			for _, p := range paths {
				batch.Add(p)
			}
		}
		add("a/f", "a/f")
		fail = syscall.EIO
		if err := batch.Flush(); !errors.Is(err, syscall.EIO) {
			t.Errorf("%v", err)
		}
		fail = nil
		if err := disk.FlushAll(batch); err != nil {
			t.Error(err)
		}
		batch.AddParent("gone/x")
		if err := batch.Flush(); err != nil {
			t.Errorf("a directory that is gone: %v", err)
		}
		if err := batch.Flush(); err != nil {
			t.Error(err)
		}
		if len(synced) != 3 {
			t.Errorf("each %t: synced %q", each, synced)
		}
	}
}

func TestMountTop(t *testing.T) {
	need.Superuser(t)
	t.Parallel()
	d := open(t, disk.Options{})
	put(t, d, "m/", "x/y/", "bind/")
	for _, m := range []struct {
		what, where, fs string
		flags           uintptr
	}{{"tmpfs", "m", "tmpfs", 0}, {d.Abs("x"), "bind", "", unix.MS_BIND}} {
		if err := unix.Mount(m.what, d.Abs(m.where), m.fs, m.flags, ""); err != nil {
			need.Lack(t, need.Mounts, "mount: %v", err)
		}
		defer unix.Unmount(d.Abs(m.where), unix.MNT_DETACH)
	}
	put(t, d, "m/a/b/")
	for dir, want := range map[string]string{".": ".", "x/y": ".", "m": "m", "m/a/b": "m", "bind/y": "bind"} {
		if got, err := d.MountTop(dir); got != want || err != nil {
			t.Errorf("%s: %q, %v", dir, got, err)
		}
	}
	if err := d.Rename("bind/y", "x/z"); !errors.Is(err, unix.EXDEV) {
		t.Errorf("a rename between mounts: %v", err)
	}
	if s, err := d.Space("m"); err != nil || s.Free <= 0 || s.Block <= 0 {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestLock(t *testing.T) {
	t.Parallel()
	d := open(t, disk.Options{})
	one, two := mustLock(t, d), mustLock(t, d)
	try := func(l *disk.Lock, shared, want bool) {
		t.Helper()
		if got, err := l.Try(shared); got != want || err != nil {
			t.Errorf("took the lock (shared: %t): %t, %v", shared, got, err)
		}
	}
	try(one, false, true)
	try(two, false, false)
	try(two, true, false)
	one.Release()
	try(two, true, true)
	try(one, true, true)
	two.Release()
	try(two, false, false)
	one.Close()
	try(two, false, true)
	two.Close()
}

func mustLock(t *testing.T, d *disk.Disk) *disk.Lock {
	t.Helper()
	l, err := d.OpenLock("lock")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestMetaOfEveryType(t *testing.T) {
	t.Parallel()
	d := open(t, disk.Options{})
	uid, gid := uint32(os.Geteuid()), uint32(os.Getegid())
	if d.Privileged() {
		uid, gid = 12, 34
	}
	meta := disk.Meta{Mode: 0o750, UID: uid, GID: gid, Time: time.Unix(77, 0).UTC(), Xattrs: map[string][]byte{"trusted.x": []byte("y")}}
	for name, make := range map[string]func() error{
		"file": func() error {
			return d.WriteNew("file", strings.NewReader("x"), disk.New{Meta: disk.Meta{Mode: 0o600}})
		},
		"dir":  func() error { return d.Mkdir("dir", 0o700) },
		"link": func() error { return d.Symlink("x", "link", disk.Meta{}) },
		"fifo": func() error { return d.Mknod("fifo", james.TypeFifo, 0, 0, disk.Meta{}) },
	} {
		if err := make(); err != nil {
			t.Fatal(err)
		}
		if err := d.SetMeta(name, meta); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		info, err := d.Lstat(name)
		if err != nil || info.UID != uid || info.GID != gid || !info.Time.Equal(meta.Time) || name != "link" && info.Mode != 0o750 {
			t.Errorf("%s: %+v, %v", name, info, err)
		}
		x, err := d.Xattrs(name)
		if err != nil || d.Privileged() != (string(x["trusted.x"]) == "y") {
			t.Errorf("%s: attributes %q, %v", name, x, err)
		}
	}
}

func TestHints(t *testing.T) {
	t.Parallel()
	for errno, want := range map[syscall.Errno]string{syscall.ENOSPC: "free room", syscall.EDQUOT: "free room", syscall.EROFS: "mount", syscall.EIO: ""} {
		d := open(t, disk.Options{Hook: func(_ bool, op disk.Op) error {
			if strings.HasSuffix(op.Path, "/d") {
				return errno
			}
			return nil
		}})
		err := d.Mkdir("d", 0o755)
		if hint := james.HintOf(err); !strings.Contains(hint, want) || (hint == "") != (want == "") {
			t.Errorf("%v: hint %q", err, hint)
		}
	}
}

func TestRemoveXattr(t *testing.T) {
	t.Parallel()
	d := open(t, disk.Options{})
	put(t, d, "f")
	if err := d.SetMeta("f", disk.Meta{Mode: 0o600, Xattrs: map[string][]byte{"user.a": []byte("1"), "user.b": []byte("2")}}); err != nil {
		need.Lack(t, need.Xattrs, "no extended attributes here: %v", err)
	}
	for range 2 { // the second time it is gone already
		if err := d.RemoveXattr("f", "user.a"); err != nil {
			t.Fatal(err)
		}
	}
	if all, err := d.Xattrs("f"); err != nil || len(all) != 1 || string(all["user.b"]) != "2" {
		t.Errorf("%q, %v", all, err)
	}
}

func TestLocalMounts(t *testing.T) {
	t.Parallel()
	need.Superuser(t)
	d := open(t, disk.Options{})
	for path, fs := range map[string]string{"a b\\c": "tmpfs", "p": "proc"} {
		if err := d.Mkdir(path, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := unix.Mount(fs, d.Abs(path), fs, 0, ""); err != nil {
			need.Lack(t, need.Mounts, "mount: %v", err)
		}
		t.Cleanup(func() { unix.Unmount(d.Abs(path), unix.MNT_DETACH) })
	}
	if got := d.LocalMounts(); !slices.Equal(got, []string{".", "a b\\c"}) {
		t.Errorf("%q", got)
	}
}
