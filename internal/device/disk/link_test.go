package disk_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/trusch/jamesd/internal/device/disk"
	"github.com/trusch/jamesd/internal/device/disk/mounttest"
	"github.com/trusch/jamesd/internal/need"
	"github.com/trusch/jamesd/pkg/james"
)

// TestLinkFrom links files of one disk into another.
func TestLinkFrom(t *testing.T) {
	t.Parallel()
	outside := t.TempDir()
	if err := os.WriteFile(outside+"/secret", []byte("s"), 0o600); err != nil {
		t.Fatal(err)
	}
	var ops []string
	from := open(t, disk.Options{})
	to, err := disk.Open(filepath.Join(filepath.Dir(from.Root()), "to"), disk.Options{Hook: func(before bool, op disk.Op) error {
		if before {
			ops = append(ops, op.Name+" "+filepath.Base(op.Path)+" "+filepath.Base(op.To))
		}
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	put(t, from, "d/file", "out>"+outside, "d/dir/")
	put(t, to, "there", "in/", "away>"+outside)
	for _, c := range []struct{ name, from, to, fails string }{
		{"a file", "d/file", "in/new", ""},
		{"where something lies", "d/file", "there", "file exists"},
		{"nothing", "d/nothing", "in/nothing", "no such file"},
		{"through a link of the source", "out/secret", "in/secret", "not a directory"},
		{"through a link of the target", "d/file", "away/file", "not a directory"},
		{"out of the source", "../to/there", "in/x", "cross-device"},
	} {
		err := to.LinkFrom(from, c.from, c.to)
		if (err == nil) != (c.fails == "") || err != nil && !strings.Contains(err.Error(), c.fails) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if !slices.Contains(ops, "link file new") {
		t.Errorf("the hook has seen %q", ops)
	}
	a, b := info(t, from, "d/file"), info(t, to, "in/new")
	if a.Ino != b.Ino || b.Links != 2 {
		t.Errorf("they are not one file: %+v, %+v", a, b)
	}
}

func info(t *testing.T, d *disk.Disk, path string) disk.Info {
	t.Helper()
	i, err := d.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// TestUnlinkable has file systems between which there are no links.
func TestUnlinkable(t *testing.T) {
	t.Parallel()
	from := open(t, disk.Options{})
	put(t, from, "file")
	dir := filepath.Join(t.TempDir(), "tmpfs")
	mounttest.Tmpfs(t, dir, "size=1m")
	to, err := disk.Open(dir, disk.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	if err := to.LinkFrom(from, "file", "file"); !disk.Unlinkable(err) || !errors.Is(err, unix.EXDEV) {
		t.Errorf("to another file system: %v", err)
	}
	if err := to.LinkFrom(from, "nothing", "file"); disk.Unlinkable(err) {
		t.Errorf("nothing: %v", err)
	}
}

// TestTakeOver gives a file that had other metadata, under another name, its own.
func TestTakeOver(t *testing.T) {
	t.Parallel()
	d := open(t, disk.Options{})
	put(t, d, "file", "dir/", "link>file")
	acl := "\x02\x00\x00\x00\x01\x00\x07\x00\xff\xff\xff\xff\x02\x00\x07\x00\x01\x00\x00\x00\x04\x00\x05\x00\xff\xff\xff\xff" +
		"\x10\x00\x07\x00\xff\xff\xff\xff\x20\x00\x00\x00\xff\xff\xff\xff"
	before := map[string][]byte{"user.a": []byte("1"), "user.b": []byte("1"), "system.posix_acl_access": []byte(acl)}
	if err := d.SetMeta("file", disk.Meta{Mode: 0o4000, UID: uint32(os.Geteuid()), GID: uint32(os.Getegid()), Xattrs: before}); err != nil {
		need.Lack(t, need.Xattrs, "no attributes or access control lists here: %v", err)
	}
	want := disk.Meta{Mode: 0o751, UID: uint32(os.Geteuid()), GID: uint32(os.Getegid()), Time: time.Unix(5, 7).UTC(), Xattrs: map[string][]byte{"user.b": []byte("2"), "user.c": []byte("3")}}
	if err := d.TakeOver("file", 4, want); err != nil {
		t.Fatal(err)
	}
	all, err := d.Xattrs("file")
	if err != nil || len(all) != 2 || string(all["user.b"]) != "2" || string(all["user.c"]) != "3" {
		t.Errorf("attributes %q, %v", all, err)
	}
	if i := info(t, d, "file"); i.Mode != want.Mode || !i.Time.Equal(want.Time) {
		t.Errorf("%+v", i)
	}
	for path, size := range map[string]int64{"file": 5, "dir": 4, "link": 4} {
		if err := d.TakeOver(path, size, want); james.KindOf(err) != james.KindConflict {
			t.Errorf("%s: %v", path, err)
		}
	}
}
