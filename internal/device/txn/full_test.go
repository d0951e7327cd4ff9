package txn_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/trusch/jamesd/internal/device/disk"
	"github.com/trusch/jamesd/internal/need"
	"github.com/trusch/jamesd/pkg/james"
)

// takesRoom are the operations that a full disk refuses. The others work on it,
// as long as nothing is made: what is removed leaves room for what is renamed.
var takesRoom = map[string]bool{
	"mkdir": true, "create": true, "write": true, "append": true, "symlink": true, "mknod": true, "link": true,
	"setxattr": true, "reserve": true,
}

// fewScenarios are two that have everything in them, or all where that is asked
// for.
func fewScenarios() []scenario {
	if os.Getenv("JAMES_TEST_EVERY_POINT") != "" {
		return someScenarios(dirs)
	}
	some := []scenario{dirs}
	for _, s := range scenarios {
		if s.name == "upgrade" {
			some = append(some, s)
		}
	}
	return some
}

// fewPoints are a third of the points, or all where that is asked for.
func fewPoints(ops int64, seed int) []int64 {
	all := points(ops, seed)
	if os.Getenv("JAMES_TEST_EVERY_POINT") != "" {
		return all
	}
	var some []int64
	for n := seed % 3; n < len(all); n += 3 {
		some = append(some, all[n])
	}
	return some
}

// fullFrom returns a hook that has the disk full from the n-th operation on.
func fullFrom(n int64, count *atomic.Int64) disk.Hook {
	return func(before bool, op disk.Op) error {
		if !before || count.Add(1) < n || !takesRoom[op.Name] {
			return nil
		}
		if _, err := os.Lstat(op.Path); op.Name == "create" && err == nil {
			return nil // it is only opened
		}
		return syscall.ENOSPC
	}
}

// defaultACL is an access control list, user 1 may do all, as the kernel keeps it.
var defaultACL = "\x02\x00\x00\x00" +
	"\x01\x00\x07\x00\xff\xff\xff\xff" + "\x02\x00\x07\x00\x01\x00\x00\x00" + "\x04\x00\x05\x00\xff\xff\xff\xff" +
	"\x10\x00\x07\x00\xff\xff\xff\xff" + "\x20\x00\x00\x00\xff\xff\xff\xff"

func (w *world) setXattr(path, attr, value string) {
	w.t.Helper()
	if err := unix.Lsetxattr(filepath.Join(w.root, path), attr, []byte(value), 0); err != nil {
		need.Lack(w.t, need.Xattrs, "the file system of the tests has no %s: %v", attr, err)
	}
}

// dirs is a scenario in which directories go that are hard to make again.
var dirs = scenario{
	name: "directories",
	setUp: func(w *world) []james.Step {
		w.put("theirs/x", "etc/")
		v1 := w.pack(w.t, "a v1", logging(), dir("odd").mode(0o1751), file("odd/in/deep/er", "1"), dir("odd/empty").mode(0o2500),
			dir("d2l").mode(0o700), file("d2f/x", "1"), file("etc/gone/c", "1"), dir("again").mode(0o711), file("again/x", "1"), dir("m"))
		v2 := w.pack(w.t, "a v2", logging(), symlink("d2l", "theirs"), file("d2f", "2"), file("new/x", "2"), dir("m").mode(0o750).xattr("user.new", "2"))
		b := w.pack(w.t, "b v1", nil, dir("again"), dir("odd/empty").mode(0o755))
		w.must(install(v1))
		if w.acls {
			w.setXattr(".", "system.posix_acl_default", defaultACL)
			w.setXattr("odd/in", "user.note", "theirs")
			w.setXattr("odd", "system.posix_acl_access", defaultACL)
		}
		w.age()
		return []james.Step{upgrade(v1, v2), install(b)}
	},
}

// TestFullDiskAtEveryOperation has the disk full from an operation on and for
// good: undoing takes no room.
func TestFullDiskAtEveryOperation(t *testing.T) {
	t.Parallel()
	for _, s := range fewScenarios() {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			want := reference(t, s)
			for _, n := range fewPoints(want.ops, len(s.name)+3) {
				when := fmt.Sprintf("full from operation %d", n)
				tr := newTrial(t, s)
				var count atomic.Int64
				tr.hook = fullFrom(n, &count)
				r, err := tr.run()
				if err != nil || r.Result == james.Broken {
					t.Fatalf("%s: %+v, %v", when, r, err)
				}
				if got := tr.check(when, want, r); (r.Result == james.Committed) != (got == james.Committed) {
					t.Fatalf("%s: the device is %s, the report says %+v", when, got, r)
				}
				tr.revive(when, want)
			}
		})
	}
}

// TestRecoveryOnAFullDisk ends the device in the middle and starts it with a full
// disk.
func TestRecoveryOnAFullDisk(t *testing.T) {
	t.Parallel()
	for _, s := range fewScenarios() {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			want := reference(t, s)
			for _, n := range fewPoints(want.ops, len(s.name)+2) {
				when := fmt.Sprintf("dead after operation %d, then full", n)
				tr := newTrial(t, s)
				tr.hook = dieAt(n, true)
				tr.run()
				var count atomic.Int64
				tr.hook = fullFrom(1, &count)
				r, err := tr.start()
				if err != nil || r != nil && r.Result == james.Broken {
					t.Fatalf("%s: %+v, %v", when, r, err)
				}
				tr.check(when, want, r)
				tr.revive(when, want)
			}
		})
	}
}

// TestDirectoryComesBackAsItWas removes directories with odd metadata below one
// that imposes an access control list on what is made in it, and undoes that.
func TestDirectoryComesBackAsItWas(t *testing.T) {
	t.Parallel()
	for _, immovable := range []error{nil, syscall.EXDEV, syscall.EINVAL, syscall.EACCES} {
		t.Run(fmt.Sprintf("directories cannot be renamed: %v", immovable), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.acls = true
			w.mustStart()
			steps := dirs.setUp(w)
			if immovable != nil { // what is made anew inherits, and that cannot be undone but by the copies
				if err := unix.Lremovexattr(w.root, "system.posix_acl_default"); err != nil {
					t.Fatal(err)
				}
			}
			before := w.tree(true)
			renamed := 0
			w.hook = func(before bool, op disk.Op) error {
				switch {
				case before && op.Name == "fsync" && strings.HasSuffix(op.Path, "state/journal") && w.read("new/x") == "2" && w.read("d2f") == "2":
					return syscall.EIO
				case before && op.Name == "rename" && strings.Contains(op.Path, ".jamesc/new/dir-"):
					renamed++
					return immovable
				}
				return nil
			}
			r := w.apply(steps...)
			w.hook = nil
			if r.Result != james.RolledBack || renamed < 5 {
				t.Fatalf("%d directories came back, %+v", renamed, r)
			}
			if d := diff(before, w.tree(true)); d != "" {
				t.Error(d)
			}
			w.checkClean()
		})
	}
}

// TestPacketInheritsNothing installs below a directory that imposes an access
// control list: a packet's files are what its manifest says.
func TestPacketInheritsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.mustStart()
	w.put("d/")
	w.setXattr(".", "system.posix_acl_default", defaultACL)
	w.must(install(w.pack(t, "a v1", nil, file("d/x", "1").mode(0o640))))
	if got := w.tree(false)["d/x"]; strings.Contains(got, "acl") {
		t.Errorf("d/x is %s", got)
	}
	if info := must(os.Stat(filepath.Join(w.root, "d/x"))); info.Mode() != 0o640 {
		t.Errorf("d/x has mode %s", info.Mode())
	}
}
