package archive_test

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/trusch/jamesd/internal/archive"
	"github.com/trusch/jamesd/pkg/james"
)

// TestBuildUnreadable builds as somebody who may not read a file: nothing is
// denied to the superuser.
func TestBuildUnreadable(t *testing.T) {
	t.Parallel()
	root, err := os.MkdirTemp("", "unreadable")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	if err := os.WriteFile(filepath.Join(root, "f"), nil, 0); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		runtime.LockOSThread() // for good: the thread ends with the test
		if _, err := unix.SetfsuidRetUid(65534); err != nil {
			t.Fatal(err)
		}
	}
	err = archive.Build(context.Background(), io.Discard, root, archive.BuildOptions{})
	checkRefused(t, err, james.KindDenied, "f: could not be read")
}
