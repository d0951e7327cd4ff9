// Package mounttest mounts small file systems for tests: some things only show
// on a disk that is nearly full.
package mounttest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/trusch/jamesd/internal/need"
)

// Tmpfs mounts a file system in memory at dir, which it makes, with options such
// as "size=4m,nr_inodes=50". It skips the test where nothing can be mounted.
func Tmpfs(t testing.TB, dir, options string) {
	t.Helper()
	need.Superuser(t)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		need.Lack(t, need.Mounts, "mount: %v", err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
}

// Ext4 mounts a new ext4 of so many MiB at dir, which it makes. It skips the test
// where that cannot be done.
func Ext4(t testing.TB, dir string, size int64) {
	t.Helper()
	need.Superuser(t)
	image := filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, size<<20); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"mkfs.ext4 -q -m 0 " + image, "mount -t ext4 -o loop " + image + " " + dir} {
		argv := strings.Fields(line)
		if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
			need.Lack(t, need.Mounts, "%s: %v: %s", argv[0], err, out)
		}
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", "-l", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
}

// Fill writes a file at path until the file system is full, and returns its
// length.
func Fill(t testing.TB, path string) int64 {
	t.Helper()
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var n int64
	for buf := make([]byte, 64<<10); len(buf) > 0; {
		k, err := file.Write(buf)
		if n += int64(k); err != nil {
			buf = buf[:len(buf)/2]
		}
	}
	if err := file.Sync(); err != nil {
		t.Fatal(err)
	}
	return n
}
