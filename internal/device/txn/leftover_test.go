package txn_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/trusch/jamesd/internal/need"
	"github.com/trusch/jamesd/pkg/james"
)

// TestLeftovers starts the device with work areas that no journal knows.
func TestLeftovers(t *testing.T) {
	t.Parallel()
	own := func(w *world) string { return "owner-" + string(must(os.ReadFile(filepath.Join(w.state, "id")))) }
	for _, row := range []struct {
		name  string
		at    string
		make  func(w *world, area string)
		stays bool
	}{
		{name: "ours, with staged files", make: func(w *world, area string) {
			w.put(area+own(w)+"/", area+"old/", area+"new/0.1")
		}},
		{name: "ours, half removed", make: func(w *world, area string) { w.put(area + own(w) + "/") }},
		{name: "only just made", make: func(w *world, area string) { w.put(area) }},
		{name: "ours, on a mount", at: "mnt/a b/", make: func(w *world, area string) { w.put(area+own(w)+"/", area+"new/0.1") }},
		{name: "ours, with old files", stays: true, make: func(w *world, area string) {
			w.put(area+own(w)+"/", area+"old/0", area+"new/0.1")
		}},
		{name: "of another agent", stays: true, make: func(w *world, area string) {
			w.put(area+"owner-0123456789abcdef0123456789abcdef/", area+"old/", area+"new/0.1")
		}},
		{name: "of a jamesc that did not sign", stays: true, make: func(w *world, area string) { w.put(area+"old/", area+"new/0.1") }},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			if row.at != "" {
				w.mountTmpfs(row.at)
			}
			w.mustStart()
			row.make(w, row.at+".jamesc/")
			w.mustStart()
			if _, err := os.Lstat(filepath.Join(w.root, row.at, ".jamesc")); (err == nil) != row.stays {
				t.Fatalf("afterwards there is %s", w.names())
			}
			r := w.apply(install(w.pack(t, "a v1", nil, file(row.at+"bin/a", "1"))))
			if !strings.HasSuffix(row.name, "with old files") {
				if r.Result != james.Committed {
					t.Fatalf("%+v", r)
				}
				w.checkClean()
				return
			}
			if r.Result != james.Refused || r.Kind != james.KindCorrupt || !strings.Contains(r.Error, ".jamesc/old") {
				t.Errorf("%+v", r)
			}
			if got := w.read(".jamesc/old/0"); got != ".jamesc/old/0" {
				t.Errorf("the old file is %q", got)
			}
		})
	}
}

// mountTmpfs mounts an empty file system at a path of the root.
func (w *world) mountTmpfs(path string) {
	w.t.Helper()
	where := filepath.Join(w.root, path)
	if err := os.MkdirAll(where, 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", where, "tmpfs", 0, ""); err != nil {
		need.Lack(w.t, need.Mounts, "mount: %v", err)
	}
	w.t.Cleanup(func() {
		if err := unix.Unmount(where, unix.MNT_DETACH); err != nil {
			w.t.Error(err)
		}
	})
}
