package cache_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/trusch/jamesd/internal/need"
	"github.com/trusch/jamesd/internal/server/cache"
)

// fullDir tells the test process that runs in a mount namespace of its own where to
// mount its small disk.
const fullDir = "CACHE_TEST_FULL_DIR"

// TestRealDiskFull fills a real file system. It runs itself again as a process that
// may mount one where nobody else sees it.
func TestRealDiskFull(t *testing.T) {
	if dir := os.Getenv(fullDir); dir != "" {
		fillDisk(t, dir)
		return
	}
	t.Parallel()
	cmd := exec.Command(os.Args[0], "-test.run=^TestRealDiskFull$", "-test.v")
	cmd.Env = append(os.Environ(), fullDir+"="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	switch {
	case err != nil && cmd.ProcessState == nil:
		need.Lack(t, need.Mounts, "this system has no user namespaces: %v", err)
	case err != nil:
		t.Fatalf("%v\n%s", err, out)
	case strings.Contains(string(out), "--- SKIP"):
		t.Skipf("%s", out)
	}
}

func fillDisk(t *testing.T, mountpoint string) {
	if err := syscall.Mount("none", mountpoint, "tmpfs", 0, "size=4m"); err != nil {
		need.Lack(t, need.Mounts, "this system does not let users mount a tmpfs: %v", err)
	}
	c := open(t, mountpoint, roomy)
	small := content(1, 1<<20)
	fill(t, c, "a", small)
	fill(t, c, "b", small)
	fill(t, c, "c", content(2, 5<<19)) // makes room by itself
	lacks(t, c, "a")
	has(t, c, "b", small)

	p := content(3, 8<<20)
	e, err := c.Fill(t.Context(), "d", writing(p))
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(e)
	if !errors.Is(err, cache.ErrNoRoom) || len(got) < 3<<20 || !bytes.HasPrefix(p, got) {
		t.Errorf("%d bytes came, or others, error %v", len(got), err)
	}
	e.Close()
	c.Quiet()
	fill(t, c, "b", small)
	has(t, c, "b", small)
}
