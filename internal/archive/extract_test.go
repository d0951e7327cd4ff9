package archive_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/trusch/jamesd/internal/archive"
	"github.com/trusch/jamesd/pkg/james"
)

func manifestOf(t testing.TB, raw []byte) *james.Manifest {
	t.Helper()
	m := &james.Manifest{Name: "app", Entries: mustScan(t, raw)}
	if err := m.Validate(); err != nil {
		t.Fatal(err)
	}
	return m
}

func extract(raw []byte, m *james.Manifest, fn func(*james.Entry, io.Reader) error) error {
	return archive.Extract(context.Background(), bytes.NewReader(raw), m, fn)
}

func readAll(_ *james.Entry, content io.Reader) error {
	_, err := io.Copy(io.Discard, content)
	return err
}

func TestExtract(t *testing.T) {
	t.Parallel()
	raw := makeTar(t, dir("./"), file("z", "last in the manifest"), dir("d"), file("d/empty", ""), symlink("l", "z"), hardlink("h", "z"), file("a", noise(100_000)))
	for _, format := range formats {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			packed := pack(t, format, raw)
			m := manifestOf(t, packed)
			var got []string
			err := extract(packed, m, func(e *james.Entry, content io.Reader) error {
				if own, _ := m.Entry(e.Path); own.Digest != e.Digest {
					t.Errorf("%s: not the manifest's entry", e.Path)
				}
				b, err := io.ReadAll(content)
				got = append(got, fmt.Sprintf("%s %d %v", e.Path, len(b), james.DigestOf(b) == e.Digest))
				return err
			})
			want := []string{"z 20 true", "d/empty 0 true", "a 100000 true"}
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("%q, want %q: %v", got, want, err)
			}
		})
	}
}

// TestExtractFixtures: what Scan accepts, Extract accepts.
func TestExtractFixtures(t *testing.T) {
	t.Parallel()
	for _, name := range fixtures(t) {
		raw := fixture(t, name)
		m := manifestOf(t, raw)
		files := 0
		err := extract(raw, m, func(e *james.Entry, content io.Reader) error {
			files++
			return readAll(e, content)
		})
		if want := strings.Count(listing(m.Entries), "file "); err != nil || files != want {
			t.Errorf("%s: %d files, want %d: %v", name, files, want, err)
		}
	}
}

func TestExtractDiffers(t *testing.T) {
	t.Parallel()
	good := []member{dir("d"), file("d/f", "content"), symlink("l", "d/f"), hardlink("h", "d/f"), node(tar.TypeFifo, "p")}
	raw := makeTar(t, good...)
	entries, _, err := archive.Scan(context.Background(), bytes.NewReader(raw), archive.Limits{AllowDevices: true})
	if err != nil {
		t.Fatal(err)
	}
	m := &james.Manifest{Name: "app", Entries: entries}
	change := func(i int, to ...member) []member { return slices.Replace(slices.Clone(good), i, i+1, to...) }
	tests := []struct {
		name    string
		archive []byte
		says    []string
	}{
		{"other content", makeTar(t, change(1, file("d/f", "CONTENT"))...), []string{"d/f: has the content"}},
		{"shorter", makeTar(t, change(1, file("d/f", "conten"))...), []string{"d/f: has 7 bytes in the manifest and 6"}},
		{"longer", makeTar(t, change(1, file("d/f", "content!"))...), []string{"d/f: has 7 bytes in the manifest and 8"}},
		{"entry too many", makeTar(t, append(slices.Clone(good), file("evil", "x"))...), []string{"evil", "is in the archive and not in the manifest"}},
		{"directory too many", makeTar(t, append(slices.Clone(good), dir("evil"))...), []string{"evil: is in the archive and not in the manifest"}},
		{"file missing", makeTar(t, change(1)...), []string{"d/f: is in the manifest and not in the archive"}},
		{"link missing", makeTar(t, change(2)...), []string{"l: is in the manifest and not in the archive"}},
		{"file twice", makeTar(t, change(1, good[1], good[1])...), []string{"d/f: is in the archive twice"}},
		{"file for a link", makeTar(t, change(2, file("l", "x"))...), []string{"l: is a symlink in the manifest"}},
		{"link for a file", makeTar(t, change(1, symlink("d/f", "/etc/passwd"))...), []string{"d/f: is a file in the manifest"}},
		{"other target", makeTar(t, change(2, symlink("l", "/etc/passwd"))...), []string{"l: is a link to d/f in the manifest and to /etc/passwd"}},
		{"other hard link", makeTar(t, change(3, hardlink("h", "l"))...), []string{"h: is a hard link to d/f in the manifest and to l"}},
		{"hard link to outside", makeTar(t, change(3, hardlink("h", "../x"))...), []string{"h: is a hard link to outside"}},
		{"name of outside", makeTar(t, change(2, file("../x", ""))...), []string{`"../x"`}},
		{"truncated", raw[:700], []string{"truncated"}},
		{"truncated in a file", raw[:1027], []string{"d/f", "truncated"}},
		{"damaged", append(bytes.Clone(raw), 1), []string{"data after the end"}},
		{"no archive", []byte("<html>"), []string{"web page"}},
		{"nothing", nil, []string{"is empty"}},
	}
	if err := extract(raw, m, readAll); err != nil {
		t.Fatalf("unchanged: %v", err)
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			checkRefused(t, extract(tt.archive, m, readAll), james.KindCorrupt, tt.says...)
			// Nobody has to read the content for it to be checked.
			err := extract(tt.archive, m, func(*james.Entry, io.Reader) error { return nil })
			checkRefused(t, err, james.KindCorrupt, tt.says...)
		})
	}
}

// TestExtractReader: a file that is wrong never ends with io.EOF.
func TestExtractReader(t *testing.T) {
	t.Parallel()
	m := manifestOf(t, makeTar(t, file("f", "content"), file("g", "")))
	wrong := makeTar(t, file("f", "CONTENT"), file("g", ""))
	var read error
	err := extract(wrong, m, func(_ *james.Entry, content io.Reader) error {
		_, read = io.ReadAll(content)
		return nil // an fn that does not mind
	})
	checkRefused(t, read, james.KindCorrupt, "f: has the content")
	checkRefused(t, err, james.KindCorrupt, "f: has the content")

	err = extract(wrong, m, func(_ *james.Entry, content io.Reader) error {
		_, err := io.ReadAll(content)
		return fmt.Errorf("staging failed: %w", err)
	})
	checkRefused(t, err, james.KindCorrupt, "f: has the content")

	// The last byte comes with the verdict, for who asks for no more than that.
	err = extract(wrong, m, func(_ *james.Entry, content io.Reader) error {
		buf := make([]byte, 100)
		n, err := content.Read(buf)
		if n != 7 || james.KindOf(err) != james.KindCorrupt {
			t.Errorf("%d bytes, %v", n, err)
		}
		return err
	})
	checkRefused(t, err, james.KindCorrupt)
}

func TestExtractCallerFails(t *testing.T) {
	t.Parallel()
	raw := pack(t, "gzip", makeTar(t, file("a", "1"), file("b", "2")))
	m := manifestOf(t, raw)
	full := james.Errorf(james.KindInvalid, "disk", "is full")
	calls := 0
	err := extract(raw, m, func(*james.Entry, io.Reader) error { calls++; return full })
	if err != error(full) || calls != 1 {
		t.Errorf("%v after %d calls", err, calls)
	}
}

func TestExtractSkipsWhatIsLeft(t *testing.T) {
	t.Parallel()
	raw := makeTar(t, file("a", noise(100_000)), file("b", "2"))
	var got string
	err := extract(raw, manifestOf(t, raw), func(e *james.Entry, content io.Reader) error {
		b := make([]byte, 1)
		_, err := io.ReadFull(content, b)
		got += string(e.Path) + " "
		return err
	})
	if err != nil || got != "a b " {
		t.Errorf("%q: %v", got, err)
	}
}

func TestExtractSparse(t *testing.T) {
	t.Parallel()
	raw := fixture(t, "sparse-pax-1.0.tar.xz")
	sizes := map[james.Path]int{}
	err := extract(raw, manifestOf(t, raw), func(e *james.Entry, content io.Reader) error {
		b, err := io.ReadAll(content)
		sizes[e.Path] = len(b)
		return err
	})
	if err != nil || sizes["hole"] != 1000000 || sizes["sparse"] != 2000000 {
		t.Errorf("%v: %v", sizes, err)
	}
}

func TestExtractInterrupted(t *testing.T) {
	t.Parallel()
	raw := makeTar(t, file("a", noise(300_000)))
	m := manifestOf(t, raw)
	ctx, cancel := context.WithCancel(context.Background())
	err := archive.Extract(ctx, bytes.NewReader(raw), m, func(_ *james.Entry, content io.Reader) error {
		cancel()
		return readAll(nil, content)
	})
	checkRefused(t, err, james.KindInterrupted, "stopped")

	lost := errors.New("connection lost")
	err = archive.Extract(context.Background(), &failing{bytes.NewReader(raw[:100_000]), lost}, m, readAll)
	checkRefused(t, err, james.KindInterrupted, "connection lost")
}
