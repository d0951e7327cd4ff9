package txn_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/trusch/jamesd/internal/device/txn"
	"github.com/trusch/jamesd/internal/need"
	"github.com/trusch/jamesd/pkg/james"
)

// changes verifies and returns "path kind" of what differs, of other apps than a
// with their name before it.
func (w *world) changes(o txn.Verification) string {
	w.t.Helper()
	return list(must(w.in.Verify(w.t.Context(), o)))
}

func list(changes []james.Change) string {
	var out []string
	for _, c := range changes {
		line := fmt.Sprintf("%s %s", c.Path, c.Kind)
		if c.App != "a" {
			line = c.App + ": " + line
		}
		out = append(out, line)
	}
	return strings.Join(out, ", ")
}

func (w *world) path(name string) string { return filepath.Join(w.root, name) }

func (w *world) do(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// keepTime changes a file and gives it its time back.
func (w *world) keepTime(name string, change func()) {
	w.t.Helper()
	st := must(os.Stat(w.path(name)))
	change()
	w.do(os.Chtimes(w.path(name), st.ModTime(), st.ModTime()))
}

// victim is a packet with one of everything; it goes through the link lib.
func (w *world) victim() *james.Packet {
	w.t.Helper()
	w.put("usr/lib/", "lib>usr/lib", "theirs/")
	members := []member{
		dir("opt").mode(0o750), file("opt/file", "content"), file("opt/other", "other").mode(0o4711),
		file("opt/one", "linked"), hardlink("opt/two", "opt/one"), hardlink("opt/zwei", "opt/one"),
		symlink("opt/link", "file"), fifo("opt/fifo"), file("lib/so", "library"), dir("theirs").mode(0o700),
		file("etc/conf", "configured"), file("etc/more", "configured"), file("opt/empty", ""),
	}
	if os.Geteuid() == 0 {
		members = append(members, file("opt/capable", "can").mode(0o755).xattr("security.capability", capability),
			file("opt/noted", "").xattr("user.x", "y"))
	}
	p := w.pack(w.t, "a v1", nil, members...)
	w.must(install(p))
	return p
}

// damages are what can happen to a victim.
var damages = []struct {
	name    string
	do      func(w *world)
	want    string
	root    bool   // needs the superuser
	fetches bool   // to repair it takes the archive
	leaves  string // why it is not repaired
	unlike  bool   // repaired, the tree is not all as it was
}{
	{name: "nothing", do: func(w *world) {}},
	{name: "times", do: func(w *world) { w.age() }},
	{name: "edited", do: func(w *world) { w.write("opt/file", "edited") }, want: "opt/file content", fetches: true},
	{name: "edited to the same length", do: func(w *world) { w.write("opt/file", "CONTENT") }, want: "opt/file content", fetches: true},
	{name: "edited to the same length and time", do: func(w *world) {
		w.keepTime("opt/file", func() { w.write("opt/file", "CONTENT") })
	}, want: "opt/file content", fetches: true},
	{name: "truncated", do: func(w *world) {
		w.keepTime("opt/file", func() { w.do(os.Truncate(w.path("opt/file"), 0)) })
	}, want: "opt/file content", fetches: true},
	{name: "something in an empty one", do: func(w *world) { w.write("opt/empty", "x") }, want: "opt/empty content"},
	{name: "removed", do: func(w *world) { w.do(os.Remove(w.path("opt/file"))) }, want: "opt/file missing", fetches: true},
	{name: "through a link", do: func(w *world) { w.write("usr/lib/so", "LIBRARY") }, want: "lib/so content", fetches: true},
	{name: "the link of its directory is gone", do: func(w *world) { w.do(os.Remove(w.path("lib"))) }, want: "lib/so missing", fetches: true, unlike: true},
	{name: "the link of its directory leads out", do: func(w *world) {
		w.do(os.Remove(w.path("lib")))
		w.do(os.Symlink("../../out", w.path("lib")))
	}, want: "lib/so type", fetches: true, leaves: "leads out of the install root"},
	{name: "a directory for a file", do: func(w *world) {
		w.do(os.Remove(w.path("opt/file")))
		w.do(os.Mkdir(w.path("opt/file"), 0o755))
	}, want: "opt/file type", fetches: true},
	{name: "a link for a file", do: func(w *world) {
		w.do(os.Rename(w.path("opt/file"), w.path("moved")))
		w.do(os.Symlink("../moved", w.path("opt/file")))
	}, want: "opt/file type", fetches: true, unlike: true},
	{name: "mode", do: func(w *world) { w.do(os.Chmod(w.path("opt/other"), 0o644)) }, want: "opt/other mode"},
	{name: "content before mode", do: func(w *world) {
		w.write("opt/other", "OTHER")
		w.do(os.Chmod(w.path("opt/other"), 0o600))
	}, want: "opt/other content", fetches: true},
	{name: "owner", do: func(w *world) { w.do(os.Lchown(w.path("opt/link"), 0, 7)) }, want: "opt/link owner", root: true},
	{name: "mode before owner", do: func(w *world) { w.do(os.Chown(w.path("opt/other"), 7, 0)) }, want: "opt/other mode", root: true},
	{name: "an attribute", do: func(w *world) { w.do(unix.Setxattr(w.path("opt/noted"), "user.x", []byte("z"), 0)) },
		want: "opt/noted xattrs", root: true},
	{name: "capabilities lost", do: func(w *world) { w.do(unix.Removexattr(w.path("opt/capable"), "security.capability")) },
		want: "opt/capable xattrs", root: true},
	{name: "capabilities gained", do: func(w *world) {
		w.do(unix.Setxattr(w.path("opt/file"), "security.capability", []byte(capability), 0))
	}, want: "opt/file xattrs", root: true},
	{name: "another attribute gained", do: func(w *world) { w.do(unix.Setxattr(w.path("opt/file"), "user.note", []byte("x"), 0)) }, root: true},
	{name: "target", do: func(w *world) {
		w.do(os.Remove(w.path("opt/link")))
		w.do(os.Symlink("other", w.path("opt/link")))
	}, want: "opt/link content"},
	{name: "a fifo that is a file", do: func(w *world) {
		w.do(os.Remove(w.path("opt/fifo")))
		w.write("opt/fifo", "")
	}, want: "opt/fifo type"},
	{name: "a hard link that is a copy", do: func(w *world) {
		w.do(os.Remove(w.path("opt/two")))
		w.write("opt/two", "linked")
	}, want: "opt/two link"},
	{name: "hard links whose file is a copy", do: func(w *world) {
		w.do(os.Remove(w.path("opt/one")))
		w.write("opt/one", "linked")
	}, want: "opt/two link, opt/zwei link"},
	{name: "hard links whose file is gone", do: func(w *world) { w.do(os.Remove(w.path("opt/one"))) }, want: "opt/one missing"},
	{name: "hard links with other content", do: func(w *world) { w.write("opt/two", "LINKED") }, want: "opt/one content", fetches: true},
	{name: "a hard link with other content", do: func(w *world) {
		w.do(os.Remove(w.path("opt/two")))
		w.write("opt/two", "LINKED")
	}, want: "opt/two content"},
	{name: "a hard link that is a directory", do: func(w *world) {
		w.do(os.Remove(w.path("opt/two")))
		w.do(os.Mkdir(w.path("opt/two"), 0o755))
	}, want: "opt/two type"},
	{name: "a directory's mode", do: func(w *world) { w.do(os.Chmod(w.path("opt"), 0o777)) }, want: "opt mode"},
	{name: "the mode of a directory that was there before", do: func(w *world) { w.do(os.Chmod(w.path("theirs"), 0o777)) }},
	{name: "a directory that was there before is gone", do: func(w *world) { w.do(os.Remove(w.path("theirs"))) }, want: "theirs missing", unlike: true},
	{name: "a file for a directory", do: func(w *world) {
		w.do(os.Remove(w.path("theirs")))
		w.write("theirs", "")
	}, want: "theirs type", leaves: "belongs to no packet"},
	{name: "configuration edited", do: func(w *world) { w.write("etc/conf", "edited") }, want: "etc/conf config"},
	{name: "configuration deleted", do: func(w *world) { w.do(os.Remove(w.path("etc/conf"))) }, want: "etc/conf config"},
	{name: "configuration for others", do: func(w *world) { w.do(os.Chmod(w.path("etc/conf"), 0o600)) }, want: "etc/conf config"},
	{name: "configuration linked elsewhere", do: func(w *world) {
		w.do(os.Remove(w.path("etc/conf")))
		w.do(os.Symlink("more", w.path("etc/conf")))
	}, want: "etc/conf config"},
	{name: "much", do: func(w *world) {
		w.do(os.RemoveAll(w.path("opt/file")))
		w.write("etc/conf", "x")
		w.write("lib/so", "x")
	}, want: "etc/conf config, lib/so content, opt/file missing", fetches: true, unlike: true},
	{name: "its manifest", do: func(w *world) {
		for _, e := range must(os.ReadDir(filepath.Join(w.state, "manifests"))) {
			w.do(os.WriteFile(filepath.Join(w.state, "manifests", e.Name()), []byte("{}"), 0o600))
		}
	}, want: ". manifest"},
	{name: "no manifest", do: func(w *world) { w.do(os.RemoveAll(filepath.Join(w.state, "manifests"))) }, want: ". manifest"},
}

func TestVerify(t *testing.T) {
	t.Parallel()
	for _, c := range damages {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if c.root {
				need.Superuser(t)
			}
			w := newWorld(t)
			w.mustStart()
			w.victim()
			for _, quick := range []bool{true, false} {
				if got := w.changes(txn.Verification{Quick: quick}); got != "" {
					t.Fatalf("right after the installation, quick: %t: %s", quick, got)
				}
			}
			c.do(w)
			before := w.tree(true)
			// By one that has not seen the files before, one that has, and all over again.
			if got := list(must(w.beside(nil).Verify(t.Context(), txn.Verification{Quick: true}))); got != c.want {
				t.Errorf("at first sight: %q, want %q", got, c.want)
			}
			for n, quick := range []bool{true, true, false, true, false} {
				if got := w.changes(txn.Verification{Quick: quick}); got != c.want {
					t.Errorf("time %d, quick: %t: %q, want %q", n, quick, got, c.want)
				}
			}
			if d := diff(before, w.tree(true)); d != "" {
				t.Errorf("it changed something:\n%s", d)
			}
		})
	}
}

// A quick verification reads nothing that has not been touched, also where the
// times of files are not those of their packets.
func TestQuickVerificationReadsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	now := time.Now().Add(time.Minute) // long after everything here
	w.opts.Now = func() time.Time { return now }
	w.mustStart()
	p := w.victim()
	w.age()
	unreadable := func() {
		for _, e := range w.manifests[p.Digest].Entries {
			if e.Type == james.TypeFile && e.Xattrs == nil && e.Mode&0o6000 == 0 { // writing takes capabilities and setuid away
				w.keepTime(string(e.Path), func() {
					raw := []byte(w.read(string(e.Path)))
					w.do(os.WriteFile(w.path(string(e.Path)), slices.Repeat([]byte("?"), len(raw)), 0))
				})
			}
		}
	}
	if got := w.changes(txn.Verification{}); got != "" {
		t.Fatal(got)
	}
	unreadable() // before the clock of the installer: as if nothing was written since
	if got := w.changes(txn.Verification{Quick: true}); got != "" {
		t.Errorf("it has read %s", got)
	}
	if got := w.changes(txn.Verification{}); strings.Count(got, "content") < 3 {
		t.Errorf("a whole one has not read everything: %s", got)
	}
}

func TestVerifyBesideFiles(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.mustStart()
	v1, v2 := w.pack(t, "a v1", nil, file("etc/x", "1")), w.pack(t, "a v2", nil, file("etc/x", "2"))
	w.must(install(v1))
	w.write("etc/x", "mine")
	w.must(upgrade(v1, v2))
	if got := w.changes(txn.Verification{}); got != "etc/x config" {
		t.Errorf("with one beside it: %s", got)
	}
	w.do(os.Rename(w.path("etc/x.james-new"), w.path("etc/x")))
	if got := w.changes(txn.Verification{}); got != "" {
		t.Errorf("taken over: %s", got)
	}
}

func TestVerifySharedDirectory(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.mustStart()
	w.must(install(w.pack(t, "a v1", nil, dir("d").mode(0o700), file("d/a", "a"))))
	w.must(install(w.pack(t, "b v1", nil, dir("d").mode(0o755), file("d/b", "b"))))
	if got := w.changes(txn.Verification{}); got != "" {
		t.Errorf("as one of two packets has it: %s", got)
	}
	w.do(os.Chmod(w.path("d"), 0o711))
	if got := w.changes(txn.Verification{}); got != "d mode" {
		t.Errorf("as none has it: %s", got)
	}
}

func TestVerifyReplaced(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.mustStart()
	w.must(install(w.pack(t, "a v1", nil, file("bin/tool", "old"), file("bin/a", "a"), hardlink("bin/link", "bin/tool"), hardlink("bin/more", "bin/tool"))))
	w.must(install(w.packOver(t, "b v1", "a", file("bin/tool", "new"))))
	if got := w.changes(txn.Verification{}); got != "" {
		t.Errorf("taken over: %s", got)
	}
	w.write("bin/tool", "bad")
	w.do(os.Remove(w.path("bin/a")))
	w.do(os.Remove(w.path("bin/more")))
	w.write("bin/more", "old")
	if got := w.changes(txn.Verification{}); got != "bin/a missing, bin/more link, b: bin/tool content" {
		t.Errorf("damaged: %s", got)
	}
}

func TestVerifyIsInterrupted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.mustStart()
	w.must(install(w.pack(t, "a v1", nil, file("big", strings.Repeat("x", 1<<20)), file("small", "x"))))
	ctx, cancel := context.WithCancel(t.Context())
	var calls []int64
	_, err := w.in.Verify(ctx, txn.Verification{Progress: func(done, total int64) {
		calls = append(calls, done)
		if total != 1<<20+1 {
			t.Errorf("%d of %d bytes", done, total)
		}
		cancel()
	}})
	if james.KindOf(err) != james.KindInterrupted || len(calls) != 1 || calls[0] >= 1<<20 {
		t.Errorf("%v after %v", err, calls)
	}
	calls = nil
	must(w.in.Verify(t.Context(), txn.Verification{Progress: func(done, total int64) { calls = append(calls, done) }}))
	if !slices.IsSorted(calls) || calls[len(calls)-1] != 1<<20+1 {
		t.Errorf("the progress was %v", calls)
	}
}

// A transaction of another process in the middle of a verification makes it begin
// anew, and one that nobody has ended is told.
func TestVerifyAndTransactions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.mustStart()
	v1, v2 := w.pack(t, "a v1", nil, file("bin/a", "1"), file("bin/b", "1")), w.pack(t, "a v2", nil, file("bin/a", "2"), file("bin/b", "2"))
	w.must(install(v1))
	b := w.beside(nil)
	times := 0
	got, err := b.Verify(t.Context(), txn.Verification{Progress: func(done, total int64) {
		if times++; times == 1 {
			w.must(upgrade(v1, v2))
		}
	}})
	if err != nil || len(got) != 0 || times < 4 {
		t.Errorf("%v, %v after %d looks", got, err, times)
	}
	w.do(os.WriteFile(filepath.Join(w.state, "journal"), []byte("something"), 0o600))
	if _, err := b.Verify(t.Context(), txn.Verification{}); james.KindOf(err) != james.KindConflict {
		t.Errorf("with an unfinished transaction: %v", err)
	}
}
