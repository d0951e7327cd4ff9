package archive_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/trusch/jamesd/internal/archive"
	"github.com/trusch/jamesd/internal/need"
	"github.com/trusch/jamesd/pkg/james"
)

// dataOf returns the tree of a .deb, as it is in it: the member data.tar.*.
func dataOf(t testing.TB, deb string) []byte {
	t.Helper()
	f, err := os.Open(deb)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r := bufio.NewReader(f)
	r.Discard(len("!<arch>\n"))
	for {
		var head [60]byte
		if _, err := io.ReadFull(r, head[:]); err != nil {
			t.Fatalf("%s: no data: %v", deb, err)
		}
		size, err := strconv.Atoi(strings.TrimSpace(string(head[48:58])))
		if err != nil {
			t.Fatal(err)
		}
		body := make([]byte, size+size%2)
		if _, err := io.ReadFull(r, body); err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(string(head[:16]), "data.tar") {
			return body[:size]
		}
	}
}

func TestPublished(t *testing.T) {
	t.Parallel()
	for _, deb := range need.Packages(t) {
		t.Run(filepath.Base(deb), func(t *testing.T) {
			t.Parallel()
			raw := dataOf(t, deb)
			entries, format, err := scan(raw)
			if err != nil || format != "xz" {
				t.Fatalf("format %q: %v", format, err)
			}
			m := &james.Manifest{Name: "real", Entries: entries}
			_, digest, err := m.Encode()
			if err != nil {
				t.Fatal(err)
			}
			files := 0
			if err := extract(raw, m, func(e *james.Entry, content io.Reader) error { files++; return readAll(e, content) }); err != nil {
				t.Fatal(err)
			}
			if files == 0 {
				t.Error("no files")
			}
			// dpkg's own unpacking of it, by another program, is the same tar.
			need.Tool(t, "dpkg-deb")
			m.Entries = mustScan(t, tool(t, nil, "dpkg-deb", "--fsys-tarfile", deb))
			if _, d, err := m.Encode(); err != nil || d != digest {
				t.Errorf("dpkg-deb's tar has another manifest: %v", err)
			}
			checkDpkgList(t, deb, entries)
		})
	}
}

// checkDpkgList compares with what dpkg-deb says of it: names and sizes.
func checkDpkgList(t *testing.T, deb string, entries []james.Entry) {
	t.Helper()
	sizes := map[string]string{}
	for line := range strings.Lines(string(tool(t, nil, "dpkg-deb", "--contents", deb))) {
		f := strings.Fields(line)
		sizes[strings.TrimSuffix(strings.TrimPrefix(f[5], "./"), "/")] = f[2]
	}
	delete(sizes, "")
	for _, e := range entries {
		if got := fmt.Sprint(e.Size); sizes[string(e.Path)] != got {
			t.Errorf("%s has %s bytes, dpkg-deb says %q", e.Path, got, sizes[string(e.Path)])
		}
		delete(sizes, string(e.Path))
	}
	if len(sizes) > 0 {
		t.Errorf("not found: %v", sizes)
	}
}

// TestPublishedRefused: a .deb itself, and any part of its tree, is no packet.
func TestPublishedRefused(t *testing.T) {
	t.Parallel()
	deb := need.Packages(t)[0]
	raw, err := os.ReadFile(deb)
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = scan(raw)
	checkRefused(t, err, james.KindInvalid, "a .deb package")
	data := dataOf(t, deb)
	for _, n := range []int{len(data) - 1, len(data) - 12, len(data) / 2, len(data) / 100} {
		_, _, err = scan(data[:n])
		checkRefused(t, err, james.KindInvalid, "truncated")
	}
	flipped := bytes.Clone(data)
	flipped[len(data)/2] ^= 1
	_, _, err = scan(flipped)
	checkRefused(t, err, james.KindInvalid, "damaged")
}

// TestPublishedRebuilt: dpkg unpacks a tree, Build packs it again, and it is the
// same but for owners and times.
func TestPublishedRebuilt(t *testing.T) {
	t.Parallel()
	deb := need.Packages(t)[0]
	root := filepath.Join(t.TempDir(), "root")
	tool(t, nil, "dpkg-deb", "-x", deb, root)
	want := mustScan(t, dataOf(t, deb))
	var buf bytes.Buffer
	if err := archive.Build(context.Background(), &buf, root, archive.BuildOptions{Format: "zstd"}); err != nil {
		t.Fatal(err)
	}
	got := mustScan(t, buf.Bytes())
	if len(got) != len(want) {
		t.Fatalf("%d entries, want %d", len(got), len(want))
	}
	for i := range want {
		if got[i].Path != want[i].Path || got[i].Type != want[i].Type || got[i].Mode != want[i].Mode || got[i].Digest != want[i].Digest || got[i].Target != want[i].Target {
			t.Errorf("got %swant %s", listing(got[i:i+1]), listing(want[i:i+1]))
		}
	}
}
