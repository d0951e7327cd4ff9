package ctl_test

import (
	"context"
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/trusch/jamesd/pkg/james"
)

// tree uploads a packet of what is below a directory.
func (w *world) tree(name, tags, dir string, args ...string) {
	w.Helper()
	w.ok("build-packet", w.path(dir), "-o", w.path(dir+".tar.xz"))
	w.ok(append([]string{"add-packet", name, "--tags", tags, "--data", w.path(dir + ".tar.xz")}, args...)...)
}

func TestDiff(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var text strings.Builder
	for i := range 4000 {
		text.WriteString(strings.Repeat(string(rune('a'+i*i%23)), i%7) + "\n")
	}
	w.file("old/etc/conf", "same")
	w.file("old/bin/tool", text.String())
	w.file("old/gone", "gone")
	w.file("old/run", "#!")
	w.check(os.Symlink("tool", w.path("old/link")))
	w.file("new/etc/conf", "same")
	w.file("new/etc/copy", "same")
	w.file("new/bin/tool", "first\n"+text.String())
	w.file("new/fresh", "fresh")
	w.file("new/run", "#!")
	w.check(os.Chmod(w.path("new/run"), 0o755))
	w.check(os.Symlink("/bin/tool", w.path("new/link")))
	w.tree("app", "v1", "old", "--preinst", w.file("p1", "1"), "--prerm", w.file("r", "rm"))
	w.tree("app", "v2", "new", "--preinst", w.file("p2", "22"), "--postinst", w.file("i", "in"))

	d := w.packets()
	out := w.ok("diff", "app", "--tags", "v1", "--tags", "v2")
	want := "" +
		"app: v1 (" + d[0].Digest.Short() + ") -> v2 (" + d[1].Digest.Short() + ")\n" +
		`   WAY      SIZE   PATH      WHAT
~  pending  COUNT  bin/tool  content, +6 bytes
+  reused   4      etc/copy  file added
+  whole    5      fresh     file added
-  -        -      gone      removed
~  -        -      link      target tool -> /bin/tool
~  reused   2      run       mode 0600 -> 0755
~  -        2      preinst   script
+  -        2      postinst  script
-  -        0      prerm     script

reused:           2 files, 6 B, the device has them
not patched yet:  1 file, KIB, whole until their patches are made
whole:            1 file, 5 B
on the wire:      about WIRE, PART % of the archive's ARCHIVE
`
	unify := strings.NewReplacer("COUNT", `\d{5}`, "KIB", `[\d.]+ KiB`, "WIRE", `[\d.]+ \w+`, "PART", `[\d.]+`, "ARCHIVE", `[\d.]+ \w+`)
	if !regexp.MustCompile("^" + unify.Replace(regexp.QuoteMeta(want)) + "$").MatchString(out) {
		t.Errorf("it printed\n%s\nwant\n%s", out, want)
	}

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go w.supply.Run(ctx)
	var diff james.Difference
	for diff.Cost.Patched.Files == 0 { // until the patch is made that was missing
		diff = james.Difference{}
		w.check(json.Unmarshal([]byte(w.ok("diff", "app", "--tags", "v1", "--tags", "v2", "-o", "json")), &diff))
	}
	if c := diff.Cost; c.Patched.Files != 1 || c.Pending.Files != 0 || c.Wire <= 0 || len(diff.Entries) != 6 || diff.Entries[0].Way != james.WayPatched {
		t.Errorf("%+v", diff)
	}
	if out := w.ok("diff", "app", "--tags", "v1", "--tags", "v2", "-o", "yaml"); !strings.Contains(out, "way: patched") {
		t.Error(out)
	}
	w.prints("app: v1 ("+d[0].Digest.Short()+") -> v1 ("+d[0].Digest.Short()+")\nnothing differs\n", "diff", "app", "--tags", "v1", "--tags", "v1")

	w.fails(2, "--tags is given 1 times, and is needed twice", "diff", "app", "--tags", "v1")
	w.fails(2, "--tags is given 0 times", "diff", "app")
	w.fails(2, "NAME", "diff", "--tags", "v1", "--tags", "v2")
	w.fails(3, "cannot compare the packets app: there is no packet app with exactly the tags v3\nhint: There is: v1 (", "diff", "app", "--tags", "v1", "--tags", "v3")
	w.fails(3, "cannot compare the packets nothing: there is no packet nothing", "diff", "nothing", "--tags", "v1", "--tags", "v3")
}
