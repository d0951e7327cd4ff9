package archive_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/trusch/jamesd/internal/archive"
	"github.com/trusch/jamesd/pkg/james"
)

// holeSize is that of the file of makeTree that has no content, in bytes.
const holeSize = 100_000

// makeTree makes a directory with everything that a packet can hold.
func makeTree(t testing.TB) string {
	t.Helper()
	root := filepath.Join(t.TempDir(), "root")
	write := func(name, content string, mode os.FileMode) {
		t.Helper()
		p := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(p, mode); err != nil {
			t.Fatal(err)
		}
	}
	write("etc/app.conf", "port=1\n", 0o640)
	write("bin/app", noise(60_000), 0o755|os.ModeSetuid|os.ModeSetgid)
	write("bin-x", "sorts between bin and bin/app", 0o644)
	write("with space\nand newline/b\xff\x01%é", "odd", 0o644)
	write("bytes\xfe/inside", "odd", 0o644)
	write(strings.Repeat("l", 200)+"/"+strings.Repeat("m", 200), "long", 0o444)
	write("zero", "", 0o600)
	for _, err := range []error{
		os.Mkdir(filepath.Join(root, "empty"), 0o755),
		os.Chmod(filepath.Join(root, "empty"), 0o777|os.ModeSticky),
		os.Symlink("/etc/app.conf", filepath.Join(root, "etc/absolute")),
		os.Symlink("../../nowhere", filepath.Join(root, "etc/dangling")),
		os.Symlink(strings.Repeat("t", 300), filepath.Join(root, "etc/long")),
		os.Link(filepath.Join(root, "bin/app"), filepath.Join(root, "a-link")),
		os.Link(filepath.Join(root, "bin/app"), filepath.Join(root, "z-link")),
		os.WriteFile(filepath.Join(root, "sparse"), nil, 0o644),
		os.Truncate(filepath.Join(root, "sparse"), holeSize),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func build(t testing.TB, dir string, o archive.BuildOptions) []byte {
	t.Helper()
	var buf bytes.Buffer
	if err := archive.Build(context.Background(), &buf, dir, o); err != nil {
		t.Fatalf("Build: %v", err)
	}
	return buf.Bytes()
}

// treeListing is makeTree as Scan has to see it.
func treeListing() string {
	l, m := strings.Repeat("l", 200), strings.Repeat("m", 200)
	const when = "0:0 : 1970-01-01T00:00:01Z"
	digest := func(s string) string {
		return fmt.Sprint(len(s), " ", james.DigestOf([]byte(s)).Short(), " sparse=false")
	}
	lines := []string{
		"file a-link 6755 " + when + " " + digest(noise(60_000)),
		"dir bin 0755 " + when,
		"file bin-x 0644 " + when + " " + digest("sorts between bin and bin/app"),
		"hardlink bin/app 0000 0:0 : 0001-01-01T00:00:00Z -> a-link",
		"dir bytes%FE 0755 " + when,
		"file bytes%FE/inside 0644 " + when + " " + digest("odd"),
		"dir empty 1777 " + when,
		"dir etc 0755 " + when,
		"symlink etc/absolute 0000 " + when + " -> /etc/app.conf",
		"file etc/app.conf 0640 " + when + " " + digest("port=1\n"),
		"symlink etc/dangling 0000 " + when + " -> ../../nowhere",
		"symlink etc/long 0000 " + when + " -> " + strings.Repeat("t", 300),
		"dir " + l + " 0755 " + when,
		"file " + l + "/" + m + " 0444 " + when + " " + digest("long"),
		"file sparse 0644 " + when + " " + digest(string(make([]byte, holeSize))),
		"dir with space%0Aand newline 0755 " + when,
		"file with space%0Aand newline/b%FF%01%25é 0644 " + when + " " + digest("odd"),
		"hardlink z-link 0000 0:0 : 0001-01-01T00:00:00Z -> a-link",
		"file zero 0600 " + when + " " + digest(""),
	}
	return strings.Join(lines, "\n") + "\n"
}

func TestBuildRoundTrip(t *testing.T) {
	t.Parallel()
	root := makeTree(t)
	for format, want := range map[string]string{"": "xz", "xz": "xz", "zstd": "zstd", "gzip": "gzip", "tar": "tar"} {
		t.Run("format "+format, func(t *testing.T) {
			t.Parallel()
			raw := build(t, root, archive.BuildOptions{Format: format})
			entries, got, err := scan(raw)
			if err != nil || got != want {
				t.Fatalf("format %q: %v", got, err)
			}
			if got := listing(entries); got != treeListing() {
				t.Errorf("got:\n%s\nwant:\n%s", got, treeListing())
			}
			if err := extract(raw, &james.Manifest{Name: "x", Entries: entries}, readAll); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestBuildReproducible: a copy of a tree, made at another time in another
// order, is the same archive.
func TestBuildReproducible(t *testing.T) {
	t.Parallel()
	one, two := makeTree(t), makeTree(t)
	later := time.Now().Add(time.Hour)
	err := filepath.WalkDir(two, func(p string, d os.DirEntry, err error) error {
		if err == nil && d.Type() != os.ModeSymlink {
			err = os.Chtimes(p, later, later)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(two, link); err != nil {
		t.Fatal(err)
	}
	for _, format := range []string{"xz", "zstd", "gzip", "tar"} {
		a := build(t, one, archive.BuildOptions{Format: format})
		if !bytes.Equal(a, build(t, link, archive.BuildOptions{Format: format})) {
			t.Errorf("%s: two copies make two archives", format)
		}
	}
}

// TestBuildOrder: entries lie in the archive as they do in the manifest.
func TestBuildOrder(t *testing.T) {
	t.Parallel()
	raw := build(t, makeTree(t), archive.BuildOptions{Format: "tar"})
	var names []string
	for r := tar.NewReader(bytes.NewReader(raw)); ; {
		hdr, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, strings.TrimSuffix(hdr.Name, "/"))
		if plain := hdr.Name == "zero" || hdr.Name == "etc/app.conf"; plain && hdr.Format != tar.FormatUSTAR {
			t.Errorf("%s has the format %s", hdr.Name, hdr.Format)
		}
	}
	if !slices.IsSorted(names) || len(names) != strings.Count(treeListing(), "\n") {
		t.Errorf("order: %q", names)
	}
}

func TestBuildTime(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	limit := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	for name, at := range map[string]time.Time{"later": limit.Add(time.Hour), "earlier": limit.Add(-time.Hour + time.Millisecond)} {
		p := filepath.Join(root, name)
		if err := os.WriteFile(p, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(p, at, at); err != nil {
			t.Fatal(err)
		}
	}
	entries := mustScan(t, build(t, root, archive.BuildOptions{Time: limit}))
	if !entries[0].Time.Equal(limit.Add(-time.Hour)) || !entries[1].Time.Equal(limit) {
		t.Errorf("times:\n%s", listing(entries))
	}
}

func TestBuildOwner(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	p := filepath.Join(root, "f")
	if err := os.WriteFile(p, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if os.Getuid() == 0 {
		if err := os.Chown(p, 1234567, 50); err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Stat(p)
	if err != nil {
		t.Fatal(err)
	}
	st := info.Sys().(*syscall.Stat_t)
	kept := mustScan(t, build(t, root, archive.BuildOptions{KeepOwner: true}))[0]
	if kept.UID != st.Uid || kept.GID != st.Gid {
		t.Errorf("owner %d:%d, want %d:%d", kept.UID, kept.GID, st.Uid, st.Gid)
	}
	dropped := mustScan(t, build(t, root, archive.BuildOptions{}))[0]
	if dropped.UID != 0 || dropped.GID != 0 || dropped.User != "" || dropped.Group != "" {
		t.Errorf("owner %s", listing([]james.Entry{dropped}))
	}
}

func TestBuildRefuses(t *testing.T) {
	t.Parallel()
	socket := t.TempDir()
	l, err := net.Listen("unix", filepath.Join(socket, "s"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	fifo := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(fifo, "f"), 0o600); err != nil {
		t.Fatal(err)
	}
	plain := filepath.Join(t.TempDir(), "plain")
	if err := os.WriteFile(plain, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, dir, format string
		kind              james.Kind
		says              string
	}{
		{"socket", socket, "", james.KindInvalid, "s: is a socket"},
		{"fifo", fifo, "", james.KindInvalid, "f: is a fifo"},
		{"devices", "/dev", "", james.KindInvalid, "is a"},
		{"a file", plain, "", james.KindInvalid, "is not a directory"},
		{"nothing", filepath.Join(plain + "x"), "", james.KindNotFound, "no such directory"},
		{"unknown format", fifo, "rar", james.KindInvalid, "format rar"},
		{"bzip2", fifo, "bzip2", james.KindInvalid, "none of xz, zstd, gzip, tar"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			err := archive.Build(context.Background(), io.Discard, tt.dir, archive.BuildOptions{Format: tt.format})
			checkRefused(t, err, tt.kind, tt.says)
		})
	}
}

func TestBuildProgress(t *testing.T) {
	t.Parallel()
	var last, total int64
	var paths []james.Path
	build(t, makeTree(t), archive.BuildOptions{Format: "tar", Progress: func(p james.Path, done, of int64) {
		if done < last {
			t.Errorf("%s: %d after %d", p, done, last)
		}
		last, total = done, of
		if len(paths) == 0 || paths[len(paths)-1] != p {
			paths = append(paths, p)
		}
	}})
	if len(paths) != strings.Count(treeListing(), "\n") {
		t.Errorf("%d paths", len(paths))
	}
	// A file of several names is read once.
	if want := mustScan(t, build(t, makeTree(t), archive.BuildOptions{})); last != total || total != (&james.Manifest{Entries: want}).Size() {
		t.Errorf("ended at %d of %d bytes", last, total)
	}
}

// TestBuildChanging: a file that changes under Build must not make an archive
// that lies.
func TestBuildChanging(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(p string) error{
		"grows":    func(p string) error { return os.WriteFile(p, []byte("longer than before"), 0o644) },
		"shrinks":  func(p string) error { return os.Truncate(p, 1) },
		"vanishes": os.Remove,
		"replaced": func(p string) error {
			return errors.Join(os.Rename(p, p+".old"), os.WriteFile(p, []byte("before"), 0o644))
		},
		"a link": func(p string) error { return errors.Join(os.Remove(p), os.Symlink("/etc/passwd", p)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			p := filepath.Join(root, "b")
			for _, f := range []string{filepath.Join(root, "a"), p} {
				if err := os.WriteFile(f, []byte("before"), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			err := archive.Build(context.Background(), io.Discard, root, archive.BuildOptions{Format: "tar", Progress: func(at james.Path, _, _ int64) {
				if at != "a" || change == nil {
					return
				}
				if err := change(p); err != nil {
					t.Error(err)
				}
				change = nil
			}})
			checkRefused(t, err, james.KindConflict, "b: was changed while it was read")
		})
	}
}

func TestBuildStops(t *testing.T) {
	t.Parallel()
	root := makeTree(t)
	ctx, cancel := context.WithCancel(context.Background())
	err := archive.Build(ctx, io.Discard, root, archive.BuildOptions{Progress: func(p james.Path, _, _ int64) {
		if p == "bin" {
			cancel()
		}
		if p > "bin" {
			t.Errorf("went on with %s", p)
		}
	}})
	checkRefused(t, err, james.KindInterrupted, "stopped")
	err = archive.Build(ctx, io.Discard, root, archive.BuildOptions{})
	checkRefused(t, err, james.KindInterrupted, "stopped")
}

// fullDisk takes some bytes and then no more.
type fullDisk struct{ left int }

func (f *fullDisk) Write(p []byte) (int, error) {
	if f.left -= len(p); f.left < 0 {
		return 0, syscall.ENOSPC
	}
	return len(p), nil
}

func TestBuildFullDisk(t *testing.T) {
	t.Parallel()
	root := makeTree(t)
	for _, format := range []string{"xz", "zstd", "gzip", "tar"} {
		for _, left := range []int{0, 20_000} {
			err := archive.Build(context.Background(), &fullDisk{left}, root, archive.BuildOptions{Format: format})
			if !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("%s after %d bytes: %v", format, left, err)
			}
		}
	}
}
