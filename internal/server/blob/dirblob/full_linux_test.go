package dirblob_test

import (
	"os"
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

// TestDiskFull fills a real file system.
func TestDiskFull(t *testing.T) {
	mountpoint := need.SmallDisk(t)
	if mountpoint == "" {
		return
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
