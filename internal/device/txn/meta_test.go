package txn_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/trusch/jamesd/internal/device/disk"
	"github.com/trusch/jamesd/internal/need"
	"github.com/trusch/jamesd/pkg/james"
)

// capability is what `setcap cap_net_bind_service+ep` writes.
const capability = "\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"

// TestMetadata installs one of everything, upgrades it to something else, and
// has a failing plan bring it back.
func TestMetadata(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.mustStart()
	holes := holes("data")
	v1 := w.pack(t, "a v1", nil,
		file("bin/suid", "s").mode(0o6755).owner(0, 12), file("bin/cap", "c").xattr("security.capability", capability).mode(0o755),
		file("share/attr", "x").xattr("user.note", "hello").owner(1, 2), dir("share/dir").mode(0o3775).owner(5, 6).xattr("user.dir", "d"),
		symlink("share/link", "/etc/passwd").owner(3, 4), fifo("run/fifo").owner(1, 1), file("share/sparse", holes), file("share/empty", ""), hardlink("share/hard", "bin/suid"))
	w.sparse(v1, "share/sparse")
	w.must(install(v1))
	tree := w.tree(true)
	owner := func(uid, gid int) string {
		if os.Geteuid() != 0 {
			uid, gid = os.Geteuid(), os.Getegid()
		}
		return fmt.Sprintf(" %d:%d ", uid, gid)
	}
	stamp := "2020-02-03T04:05:06.789Z"
	for path, wants := range map[string][]string{
		"bin/suid":     {"ugrwxr-xr-x", owner(0, 12), stamp, "links 2"},
		"share/attr":   {"-rw-r--r--", owner(1, 2), stamp, `user.note="hello"`},
		"share/dir":    {"dgtrwxrwxr-x", owner(5, 6), stamp, `user.dir="d"`},
		"share/link":   {"Lrwxrwxrwx", owner(3, 4), stamp, "-> /etc/passwd"},
		"run/fifo":     {"prw-r-----", owner(1, 1), stamp},
		"share/sparse": {stamp, "holes true", fmt.Sprint(len(holes))},
		"share/hard":   {"linked to bin/suid"},
	} {
		for _, want := range wants {
			if !strings.Contains(tree[path], want) {
				t.Errorf("%s is %s, want %s", path, tree[path], want)
			}
		}
	}
	if got := strings.Contains(tree["bin/cap"], "security.capability"); got != (os.Geteuid() == 0) {
		t.Errorf("bin/cap is %s", tree["bin/cap"])
	}
	v2 := w.pack(t, "a v2", map[james.ScriptName]string{james.Postinst: "exit 1"},
		dir("bin/suid"), file("bin/cap", "2"), symlink("share/attr", "x"), file("share/dir", "f"), dir("share/link"), file("run/fifo", "f"), file("share/sparse", "no"))
	before := w.tree(true)
	if r := w.apply(upgrade(v1, v2)); r.Result != james.RolledBack {
		t.Fatalf("%+v", r)
	}
	if d := diff(before, w.tree(true)); d != "" {
		t.Errorf("not as before:\n%s", d)
	}
}

func TestDeviceNodes(t *testing.T) {
	need.Superuser(t)
	t.Parallel()
	w := newWorld(t)
	w.mustStart()
	node := dir("dev/null")
	node.Typeflag, node.Name, node.Mode, node.Devmajor, node.Devminor = '3', "dev/null", 0o666, 1, 3
	w.must(install(w.pack(t, "a v1", nil, node)))
	info := must(os.Lstat(filepath.Join(w.root, "dev/null")))
	if info.Mode() != os.ModeDevice|os.ModeCharDevice|0o666 || info.Sys().(*syscall.Stat_t).Rdev != unix.Mkdev(1, 3) {
		t.Errorf("%v %x", info.Mode(), info.Sys().(*syscall.Stat_t).Rdev)
	}
}

// TestMounts installs into a root with other file systems below it: nothing may
// be renamed from one to the other.
func TestMounts(t *testing.T) {
	need.Superuser(t)
	t.Parallel()
	w := newWorld(t)
	w.put("boot/loader", "bind/x", "data/")
	for _, m := range []struct {
		what, where, fs string
		flags           uintptr
	}{{"tmpfs", "boot", "tmpfs", 0}, {filepath.Join(w.root, "data"), "bind", "", unix.MS_BIND}} {
		where := filepath.Join(w.root, m.where)
		if err := unix.Mount(m.what, where, m.fs, m.flags, ""); err != nil {
			need.Lack(t, need.Mounts, "mount: %v", err)
		}
		t.Cleanup(func() {
			if err := unix.Unmount(where, unix.MNT_DETACH); err != nil {
				t.Error(err)
			}
		})
	}
	w.mustStart()
	areas := map[string]bool{}
	w.hook = func(before bool, op disk.Op) error {
		if before && op.Name == "mkdir" && strings.HasSuffix(op.Path, ".jamesc") {
			areas[strings.TrimPrefix(op.Path, w.root)] = true
		}
		return nil
	}
	scripts := map[james.ScriptName]string{james.Postinst: `[ "$1" = install ]`}
	v1 := w.pack(t, "a v1", scripts, file("boot/kernel/image", "1"), file("bind/a", "1"), file("bin/a", "1"))
	v2 := w.pack(t, "a v2", scripts, file("boot/kernel/image", "2"), file("bind/a", "2"), file("bin/a", "2"), file("boot/new", "2"))
	w.must(install(v1))
	if len(areas) != 3 || !areas["/.jamesc"] || !areas["/boot/.jamesc"] || !areas["/bind/.jamesc"] {
		t.Errorf("work areas %v", areas)
	}
	before := w.tree(true)
	if r := w.apply(upgrade(v1, v2)); r.Result != james.RolledBack {
		t.Fatalf("%+v", r)
	}
	if d := diff(before, w.tree(true)); d != "" {
		t.Errorf("not as before:\n%s", d)
	}
	r := w.apply(install(w.pack(t, "b v1", nil, file("boot/b", "b"), hardlink("bin/b", "boot/b"))))
	if r.Result != james.Refused || r.Kind != james.KindConflict || !strings.Contains(r.Error, "another file system") {
		t.Errorf("%+v", r)
	}
	w.must(remove(v1))
}

// TestMountIsMissing has a device come up after a crash without one of its file
// systems: the old files on it must not be forgotten.
func TestMountIsMissing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.mustStart()
	v1, v2 := w.pack(t, "a v1", nil, file("bin/a", "1")), w.pack(t, "a v2", nil, file("bin/a", "2"))
	w.must(install(v1))
	before := w.tree(true)
	placed := false
	w.hook = func(_ bool, op disk.Op) error {
		if placed = placed || op.Name == "rename" && strings.HasSuffix(op.To, "bin/a"); placed {
			return errDead
		}
		return nil
	}
	w.apply(upgrade(v1, v2))
	w.hook = nil
	area := filepath.Join(w.root, ".jamesc")
	os.Rename(area, w.root+".elsewhere")
	r, err := w.start()
	if err != nil || r.Result != james.Broken || !strings.Contains(r.Error, ".jamesc") {
		t.Fatalf("%+v, %v", r, err)
	}
	os.Rename(w.root+".elsewhere", area)
	if r, err = w.start(); err != nil || r.Result != james.RolledBack {
		t.Fatalf("%+v, %v", r, err)
	}
	if d := diff(before, w.tree(true)); d != "" {
		t.Error(d)
	}
}

// TestDamagedJournal loses the journal's list, and the other one too, while old
// files are in the work area: nothing may be thrown away.
func TestDamagedJournal(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.mustStart()
	v1, v2 := w.pack(t, "a v1", nil, file("bin/a", "1")), w.pack(t, "a v2", nil, file("bin/a", "2"))
	w.must(install(v1))
	w.hook = dieAfter(func(op disk.Op) bool { return op.Name == "rename" && strings.HasSuffix(op.Path, "bin/a") })
	w.apply(upgrade(v1, v2))
	w.hook = nil
	w.close()
	journal := filepath.Join(w.state, "journal")
	raw := must(os.ReadFile(journal))
	raw[int(raw[0])+int(raw[1])<<8+20] ^= 1 // in the second record
	os.WriteFile(journal, raw, 0o600)
	os.WriteFile(journal+".list", raw, 0o600)
	if _, err := w.start(); james.KindOf(err) != james.KindCorrupt || james.HintOf(err) == "" {
		t.Fatalf("start: %v", err)
	}
	if got := must(os.ReadDir(filepath.Join(w.root, ".jamesc/old"))); len(got) != 1 {
		t.Errorf("old files: %v", got)
	}
}

// TestReorderedUndo is what a power cut can make of an undo: the old file is back
// at its path, and that the new one had gone from there before is lost.
func TestReorderedUndo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.mustStart()
	v1, v2 := w.pack(t, "a v1", nil, file("bin/a", "1")), w.pack(t, "a v2", nil, file("bin/a", "2"))
	w.must(install(v1))
	before := w.tree(true)
	w.hook = dieAfter(func(op disk.Op) bool { return op.Name == "rename" && strings.HasSuffix(op.To, "bin/a") })
	w.apply(upgrade(v1, v2))
	w.hook = nil
	w.close()
	old := must(os.ReadDir(filepath.Join(w.root, ".jamesc/old")))
	if len(old) != 1 || w.read("bin/a") != "2" {
		t.Fatalf("old files %v, the new one %q", old, w.read("bin/a"))
	}
	if err := os.Rename(filepath.Join(w.root, ".jamesc/old", old[0].Name()), filepath.Join(w.root, "bin/a")); err != nil {
		t.Fatal(err)
	}
	if r, err := w.start(); err != nil || r.Result != james.RolledBack {
		t.Fatalf("%+v, %v", r, err)
	}
	if d := diff(before, w.tree(true)); d != "" {
		t.Error(d)
	}
	w.checkClean()
}

// TestNoPermission is for a user to whom something is denied.
func TestNoPermission(t *testing.T) {
	t.Parallel()
	if os.Geteuid() == 0 {
		unprivileged(t, "TestNoPermission")
		return
	}
	w := newWorld(t)
	w.mustStart()
	w.put("opt/")
	if err := os.Chmod(filepath.Join(w.root, "opt"), 0o555); err != nil {
		t.Fatal(err)
	}
	r := w.apply(install(w.pack(t, "a v1", nil, file("opt/a", "1"))))
	if r.Kind != james.KindDenied || !strings.Contains(r.Error, fmt.Sprintf("let user %d", os.Geteuid())) {
		t.Errorf("%+v", r)
	}
	w.checkClean()
}

// TestUnprivileged runs the plans once more as a user who owns nothing else.
func TestUnprivileged(t *testing.T) {
	need.Superuser(t)
	t.Parallel()
	unprivileged(t, "TestPlans|TestMetadata|TestScriptMatrix|TestConfig")
}

// unprivileged runs tests once more as a user who owns nothing else.
func unprivileged(t *testing.T, tests string) {
	t.Helper()
	dir := scratch(t)
	self := filepath.Join(dir, "txn.test")
	if out, err := exec.Command("cp", os.Args[0], self).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	home := filepath.Join(dir, "tmp")
	if err := os.Mkdir(home, 0o700); err != nil {
		t.Fatal(err)
	}
	os.Chmod(dir, 0o755)
	os.Chmod(self, 0o755)
	os.Chown(home, 65533, 65533)
	if err := os.WriteFile(filepath.Join(dir, "scripts.md"), must(os.ReadFile("../../../docs/scripts.md")), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "-test.short", "-test.run=^("+tests+")$")
	cmd.Dir, cmd.Env = home, []string{"TMPDIR=" + home, "PATH=" + os.Getenv("PATH"), "JAMESC_TEST_DOCS=" + dir}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65533, Gid: 65533}}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
