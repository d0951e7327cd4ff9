package dirblob_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/trusch/jamesd/internal/need"
	"github.com/trusch/jamesd/internal/server/blob"
	"github.com/trusch/jamesd/internal/server/blob/blobtest"
	"github.com/trusch/jamesd/internal/server/blob/dirblob"
	"github.com/trusch/jamesd/pkg/james"
)

func TestWriteFails(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name string
		err  error
		hint string
	}{
		{"disk full", syscall.ENOSPC, "more room"},
		{"quota", syscall.EDQUOT, "more room"},
		{"read-only", syscall.EROFS, "able to write"},
		{"broken", syscall.EIO, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			s := open(t, dir)
			w := blobtest.Unfinished(t, s, blobtest.Bytes(1, 5000))
			dirblob.FailWrites(w, 700, &os.PathError{Op: "write", Path: dir, Err: row.err})
			n, err := w.Write(blobtest.Bytes(2, 5000))
			if n != 700 {
				t.Errorf("%d bytes written, want 700", n)
			}
			checkFull(t, err, dir, row.hint)
			checkNothingLeft(t, s, w, dir)
		})
	}
}

func checkFull(t *testing.T, err error, dir, hint string) {
	t.Helper()
	blobtest.Kind(t, err, james.KindUnavailable)
	if !strings.HasPrefix(err.Error(), dir+": ") {
		t.Errorf("error %q does not begin with the directory", err)
	}
	if got := james.HintOf(err); !strings.Contains(got, hint) {
		t.Errorf("hint %q does not say %q", got, hint)
	}
}

func checkNothingLeft(t *testing.T, s blob.Store, w blob.Writer, dir string) {
	t.Helper()
	_, err := w.Commit(t.Context(), james.Digest{})
	blobtest.Kind(t, err, james.KindInternal)
	if err := w.Abort(); err != nil {
		t.Error(err)
	}
	if got := files(t, dir); len(got) != 0 {
		t.Errorf("left behind: %v", got)
	}
	if infos := blobtest.Infos(t, s); len(infos) != 0 {
		t.Errorf("listed: %v", infos)
	}
}

// fullDirVariable tells the test process that runs in a mount namespace of its
// own where to mount its small disk.
const fullDirVariable = "DIRBLOB_TEST_FULL_DIR"

// TestDiskFull fills a real file system. It runs itself again as a process that
// may mount one where nobody else sees it.
func TestDiskFull(t *testing.T) {
	if dir := os.Getenv(fullDirVariable); dir != "" {
		fillDisk(t, dir)
		return
	}
	t.Parallel()
	cmd := exec.Command(os.Args[0], "-test.run=^TestDiskFull$", "-test.v")
	cmd.Env = append(os.Environ(), fullDirVariable+"="+t.TempDir())
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
	dir := filepath.Join(mountpoint, "data")
	s := open(t, dir)
	w, err := s.Create(t.Context(), blob.Plain)
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.Write(blobtest.Bytes(1, 8<<20))
	checkFull(t, err, dir, "more room")
	checkNothingLeft(t, s, w, dir)

	content := blobtest.Bytes(2, 3<<20)
	blobtest.Put(t, s, content)
	blobtest.Check(t, s, content)
}
