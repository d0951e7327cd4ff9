package archive_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/trusch/jamesd/internal/archive"
	"github.com/trusch/jamesd/internal/need"
)

func TestBuildXattrs(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	for _, name := range []string{"d", "d/f"} {
		p := filepath.Join(root, name)
		var err error
		if name == "d" {
			err = os.Mkdir(p, 0o755)
		} else {
			err = os.WriteFile(p, []byte("x"), 0o644)
		}
		for attr, v := range map[string]string{"user.note": "a\x00b", "user.a=b%c": noise(1000), "user.empty": ""} {
			if err == nil {
				err = unix.Setxattr(p, attr, []byte(v), 0)
			}
		}
		if errors.Is(err, unix.ENOTSUP) {
			need.Lack(t, need.Xattrs, "the file system has no extended attributes")
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	// VFS_CAP_REVISION_2 with cap_net_bind_service; only root may set it.
	capability := "\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	hasCap := unix.Setxattr(filepath.Join(root, "d/f"), "security.capability", []byte(capability), 0) == nil
	raw := build(t, root, archive.BuildOptions{})
	entries := mustScan(t, raw)
	for _, e := range entries {
		want := 3
		if e.Path == "d/f" && hasCap {
			want = 4
			if string(e.Xattrs["security.capability"]) != capability {
				t.Errorf("capability %q", e.Xattrs["security.capability"])
			}
		}
		if len(e.Xattrs) != want || string(e.Xattrs["user.note"]) != "a\x00b" || string(e.Xattrs["user.a=b%c"]) != noise(1000) {
			t.Errorf("%s: %q", e.Path, e.Xattrs)
		}
	}
}
