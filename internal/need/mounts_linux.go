package need

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// smallDisk tells the process that runs in a mount namespace of its own where to
// mount its small disk.
const smallDisk = "JAMES_TEST_SMALL_DISK"

// SmallDisk returns a directory on a file system of 4 MiB. Only the superuser of a
// mount namespace may mount one, so SmallDisk runs the test of that name again as
// such a process, where nobody else sees the mount, and fails as that does: to who
// called it first it returns "", and there is nothing left to do. The test must be
// one of the top, and not be parallel before it calls.
func SmallDisk(t *testing.T) string {
	t.Helper()
	if dir := os.Getenv(smallDisk); dir != "" {
		if err := syscall.Mount("none", dir, "tmpfs", 0, "size=4m"); err != nil {
			Lack(t, Mounts, "this system does not let users mount a tmpfs: %v", err)
		}
		return dir
	}
	t.Parallel()
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), smallDisk+"="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	switch {
	case err != nil && cmd.ProcessState == nil:
		Lack(t, Mounts, "this system has no user namespaces: %v", err)
	case err != nil:
		t.Fatalf("%v\n%s", err, out)
	case strings.Contains(string(out), "--- SKIP"):
		Lack(t, Mounts, "%s", out)
	case !strings.Contains(string(out), "--- PASS: "+t.Name()):
		t.Fatalf("it did not run\n%s", out)
	}
	return ""
}
