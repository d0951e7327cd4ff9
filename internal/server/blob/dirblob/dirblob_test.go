package dirblob_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/trusch/jamesd/internal/server/blob"
	"github.com/trusch/jamesd/internal/server/blob/blobtest"
	"github.com/trusch/jamesd/internal/server/blob/dirblob"
	"github.com/trusch/jamesd/pkg/james"
)

func TestStore(t *testing.T) {
	blobtest.Run(t, func(t *testing.T) blob.Store { return open(t, t.TempDir()) })
}

func TestDurable(t *testing.T) {
	blobtest.RunDurable(t, func(t *testing.T) blobtest.Place {
		dir := filepath.Join(t.TempDir(), "not", "there", "yet")
		return blobtest.Place{
			Open:    func(t *testing.T) blob.Store { return open(t, dir) },
			Residue: func(t *testing.T) int { return residue(t, dir) },
			Change:  func(t *testing.T, d james.Digest, change func([]byte) []byte) { changeFile(t, path(dir, d), change) },
		}
	})
}

func TestExpiring(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	blobtest.Expiring(t, open(t, dir), open(t, dir))
}

func open(t *testing.T, dir string) blob.Store {
	t.Helper()
	s, err := dirblob.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// path returns the file of a blob.
func path(dir string, digest james.Digest) string {
	return filepath.Join(dir, "blobs", digest.String()[:2], digest.String())
}

func changeFile(t *testing.T, path string, change func([]byte) []byte) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, change(raw), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestFormer reads a directory of before there were compressed blobs: each file is
// the blob as it is, whatever it looks like.
func TestFormer(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	open(t, dir)
	contents := [][]byte{nil, []byte("x"), blobtest.Bytes(1, 300_000), []byte("\x28\xb5\x2f\xfd not zstd"), []byte("\x50\x2a\x4d\x18\x20\x00\x00\x00 skipped"), make([]byte, 100)}
	for _, content := range contents {
		if err := os.WriteFile(path(dir, james.DigestOf(content)), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := open(t, dir)
	for _, content := range contents {
		blobtest.Check(t, s, content)
	}
	if got := blobtest.Infos(t, s); len(got) != len(contents) {
		t.Errorf("%d of %d blobs are listed", len(got), len(contents))
	}
}

// residue counts the files that are not in the place of a blob.
func residue(t *testing.T, dir string) int {
	t.Helper()
	n := 0
	for path := range files(t, dir) {
		name := filepath.Base(path)
		if _, err := james.ParseDigest(name); err != nil || path != filepath.Join("blobs", name[:2], name) {
			n++
		}
	}
	return n
}

// files returns all files below dir with their modes, by their path from there.
func files(t *testing.T, dir string) map[string]fs.FileMode {
	t.Helper()
	found := make(map[string]fs.FileMode)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		found[rel] = fi.Mode()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestLayout(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	s := open(t, dir)
	content := blobtest.Bytes(1, 1000)
	digest := blobtest.Put(t, s, content).Digest.String()

	path := filepath.Join("blobs", digest[:2], digest)
	if got := files(t, dir); len(got) != 1 || got[path] != 0o600 {
		t.Errorf("files are %v, want %s with 0600", got, path)
	}
	if raw, err := os.ReadFile(filepath.Join(dir, path)); err != nil || string(raw) != string(content) {
		t.Errorf("the file differs from the blob, error %v", err)
	}
	for _, d := range []string{"", "blobs", "blobs/00", "blobs/ff", "incoming"} {
		if fi, err := os.Stat(filepath.Join(dir, d)); err != nil || fi.Mode() != fs.ModeDir|0o700 {
			t.Errorf("directory %q: %v, error %v", d, fi, err)
		}
	}
}

func TestDamaged(t *testing.T) {
	t.Parallel()
	content := blobtest.Bytes(2, 1000)
	digest, empty := james.DigestOf(content), james.DigestOf(nil)
	for _, row := range []struct {
		name   string
		digest james.Digest
		damage func(path string) error
		says   string
	}{
		{"cut to nothing", digest, func(p string) error { return os.Truncate(p, 0) }, "is empty"},
		{"not empty", empty, func(p string) error { return os.WriteFile(p, []byte("x"), 0o600) }, "has 1 bytes"},
		{"a directory", digest, func(p string) error { return errors.Join(os.Remove(p), os.Mkdir(p, 0o700)) }, "not a regular file"},
		{"a fifo", digest, func(p string) error { return errors.Join(os.Remove(p), syscall.Mkfifo(p, 0o600)) }, "not a regular file"},
		{"a link", digest, func(p string) error { return errors.Join(os.Remove(p), os.Symlink("/etc/hosts", p)) }, "not a regular file"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			s := open(t, dir)
			blobtest.Put(t, s, content)
			blobtest.Put(t, s, nil)
			name := row.digest.String()
			if err := row.damage(filepath.Join(dir, "blobs", name[:2], name)); err != nil {
				t.Fatal(err)
			}

			_, err := s.Open(t.Context(), row.digest)
			blobtest.Kind(t, err, james.KindCorrupt)
			if !strings.Contains(err.Error(), row.says) || !strings.Contains(err.Error(), name) {
				t.Errorf("error %q does not say %q of %s", err, row.says, name)
			}
			_, err = s.Stat(t.Context(), row.digest)
			blobtest.Kind(t, err, james.KindCorrupt)
			if _, listed := blobtest.Infos(t, s)[row.digest]; !listed {
				t.Error("the damaged blob is not listed")
			}
			if err := s.Delete(t.Context(), row.digest); err != nil {
				t.Fatal(err)
			}
			blobtest.Absent(t, s, row.digest)
		})
	}
}

func TestCutWhileRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	digest := blobtest.Put(t, s, blobtest.Bytes(3, 1000)).Digest
	r, err := s.Open(t.Context(), digest)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := os.Truncate(filepath.Join(dir, "blobs", digest.String()[:2], digest.String()), 400); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 1000)
	if n, err := r.Read(buf); n != 400 || err != nil {
		t.Errorf("first read: %d bytes, error %v", n, err)
	}
	_, err = r.Read(buf)
	blobtest.Kind(t, err, james.KindCorrupt)
}

// TestCommitMends checks that adding a packet again repairs its damaged blob.
func TestCommitMends(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	content := blobtest.Bytes(4, 1000)
	name := blobtest.Put(t, s, content).Digest.String()
	if err := os.WriteFile(filepath.Join(dir, "blobs", name[:2], name), []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	blobtest.Put(t, s, content)
	blobtest.Check(t, s, content)
}

func TestForeignFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	digest := blobtest.Put(t, s, blobtest.Bytes(5, 1000)).Digest
	other := "00"
	if digest[0] == 0 {
		other = "01"
	}
	foreign := []string{
		filepath.Join("blobs", "note"),
		filepath.Join("blobs", other, "note"),
		filepath.Join("blobs", other, digest.String()),
		filepath.Join("incoming", "note"),
	}
	for _, f := range foreign {
		if err := os.WriteFile(filepath.Join(dir, f), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Sweep(t.Context(), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if infos := blobtest.Infos(t, s); len(infos) != 1 {
		t.Errorf("%d blobs are listed, want 1", len(infos))
	}
	if got := files(t, dir); len(got) != len(foreign)+1 {
		t.Errorf("sweep has touched foreign files; left: %v", got)
	}
}

func TestOpenRefused(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name, dir string
		kind      james.Kind
	}{
		{"no name", "", james.KindInvalid},
		{"a file", file, james.KindUnavailable},
		{"below a file", filepath.Join(file, "dir"), james.KindUnavailable},
	} {
		_, err := dirblob.Open(t.Context(), row.dir)
		blobtest.Kind(t, err, row.kind)
		if err != nil && !strings.Contains(err.Error(), row.dir) {
			t.Errorf("%s: error %q does not name %s", row.name, err, row.dir)
		}
	}
}

// TestGone checks that a directory that vanishes, as one does whose disk is
// unmounted, is not taken for an empty store.
func TestGone(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	s := open(t, dir)
	digest := blobtest.Put(t, s, blobtest.Bytes(6, 10)).Digest
	w := blobtest.Unfinished(t, s, []byte("unfinished"))
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	calls := map[string]func() error{
		"ping":   func() error { return s.Ping(t.Context()) },
		"open":   func() error { _, err := s.Open(t.Context(), digest); return err },
		"stat":   func() error { _, err := s.Stat(t.Context(), digest); return err },
		"create": func() error { _, err := s.Create(t.Context(), blob.Plain); return err },
		"commit": func() error { _, err := w.Commit(t.Context(), james.Digest{}); return err },
		"sweep":  func() error { return s.Sweep(t.Context(), time.Now()) },
		"list": func() error {
			for _, err := range s.List(t.Context()) {
				return err
			}
			return nil
		},
	}
	for name, call := range calls {
		err := call()
		if james.KindOf(err) != james.KindUnavailable || !strings.Contains(james.HintOf(err), "mounted") {
			t.Errorf("%s: error %v of kind %q with hint %q", name, err, james.KindOf(err), james.HintOf(err))
		}
	}
}

// TestReadError: a place of the disk that cannot be read is damage of the blob, which
// can be mended; all else is a store that does not answer.
func TestReadError(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	for cause, want := range map[error]james.Kind{
		&fs.PathError{Op: "read", Err: syscall.EIO}:    james.KindCorrupt,
		&fs.PathError{Op: "open", Err: syscall.EACCES}: james.KindUnavailable,
		&fs.PathError{Op: "open", Err: syscall.EMFILE}: james.KindUnavailable,
	} {
		blobtest.Kind(t, dirblob.ReadError(s, james.DigestOf(nil), cause), want)
	}
}
