package archive_test

import (
	"archive/tar"
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trusch/jamesd/internal/archive"
	"github.com/trusch/jamesd/pkg/james"
)

// tree is what testdata/make.sh packs, as GNU tar stores it; LONG stands for the
// long name.
const tree = `dir empty 1777 0:50 root:staff 2024-02-29T12:00:00Z
dir etc 0755 0:50 root:staff 2024-02-29T12:00:00Z
dir etc/systemd 0755 0:50 root:staff 2024-02-29T12:00:00Z
dir etc/systemd/system 0755 0:50 root:staff 2024-02-29T12:00:00Z
file etc/systemd/system/app.service 0644 0:50 root:staff 2024-02-29T12:00:00Z 23 1c965560c744 sparse=false
dir etc/systemd/system/multi-user.target.wants 0755 0:50 root:staff 2024-02-29T12:00:00Z
symlink etc/systemd/system/multi-user.target.wants/app.service 0000 0:50 root:staff 2024-02-29T12:00:00Z -> /etc/systemd/system/app.service
symlink long-link 0000 0:50 root:staff 2024-02-29T12:00:00Z -> LONG/LONG
dir LONG 0755 0:50 root:staff 2024-02-29T12:00:00Z
file LONG/LONG 0644 0:50 root:staff 2024-02-29T12:00:00Z 5 bbdbb75b415e sparse=false
dir usr 0755 0:50 root:staff 2024-02-29T12:00:00Z
file usr/a name with spaces 0644 0:50 root:staff 2024-02-29T12:00:00Z 7 e47fbedb2823 sparse=false
dir usr/bin 0755 0:50 root:staff 2024-02-29T12:00:00Z
file usr/bin/app 4755 0:50 root:staff 2024-02-29T12:00:00Z 7 58eaf5a78d58 sparse=false
hardlink usr/bin/app-link 0000 0:0 : 0001-01-01T00:00:00Z -> usr/bin/app
file usr/b%FF%01%25yteü 0644 0:50 root:staff 2024-02-29T12:00:00Z 6 95cc8e8ec552 sparse=false
`

// TestScanGNUTar reads what GNU tar makes, in every format it knows.
func TestScanGNUTar(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("n", 120)
	var short strings.Builder
	for line := range strings.Lines(tree) {
		if !strings.Contains(line, "LONG") {
			short.WriteString(line)
		}
	}
	const whole, fraction = "12:00:00Z", "12:00:00.25Z"
	tests := []struct{ file, format, want string }{
		{"seed.tar.xz", "xz", tree},
		{"gnu.tar.xz", "xz", tree},
		{"oldgnu.tar.xz", "xz", tree},
		{"pax.tar.bz2", "bzip2", strings.ReplaceAll(tree, whole, fraction)},
		{"ustar.tar.xz", "xz", short.String()},
		{"v7.tar.xz", "xz", strings.ReplaceAll(short.String(), "root:staff", ":")},
	}
	for _, tt := range tests {
		t.Run(tt.file, func(t *testing.T) {
			t.Parallel()
			entries, format, err := scan(fixture(t, tt.file))
			if err != nil {
				t.Fatal(err)
			}
			if format != tt.format {
				t.Errorf("format %q, want %q", format, tt.format)
			}
			if got := strings.ReplaceAll(listing(entries), long, "LONG"); got != tt.want {
				t.Errorf("got:\n%s\nwant:\n%s", got, tt.want)
			}
		})
	}
}

func fixture(t testing.TB, name string) []byte {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestScanSparse(t *testing.T) {
	t.Parallel()
	pieces := make([]byte, 2000000)
	for i := range 30 {
		copy(pieces[i*65536+4096:], "piece "+string(rune('0'+i/10))+string(rune('0'+i%10)))
	}
	for _, name := range []string{"sparse-gnu", "sparse-pax-0.0", "sparse-pax-0.1", "sparse-pax-1.0"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			entries := mustScan(t, fixture(t, name+".tar.xz"))
			if len(entries) != 2 || entries[0].Path != "hole" || entries[1].Path != "sparse" {
				t.Fatalf("entries:\n%s", listing(entries))
			}
			for i, want := range [][]byte{make([]byte, 1000000), pieces} {
				e := entries[i]
				if data := int64(i) * 30 * james.DataUnit; e.Data != data {
					t.Errorf("%s has %d bytes of data, want %d", e.Path, e.Data, data)
				}
				if !e.Sparse || e.Size != int64(len(want)) || e.Digest != james.DigestOf(want) {
					t.Errorf("not what was packed: %s", listing(entries[i:i+1]))
				}
			}
		})
	}
}

func TestScanXattrs(t *testing.T) {
	t.Parallel()
	entries := mustScan(t, fixture(t, "xattrs.tar.xz"))
	want := map[string]string{"user.note": "a\x00b\xff", "user.equal=sign": "1", "user.empty": ""}
	for name, value := range want {
		if got, ok := entries[0].Xattrs[name]; !ok || string(got) != value {
			t.Errorf("%s: %q, want %q", name, got, value)
		}
	}
	if len(entries[0].Xattrs) != len(want) {
		t.Errorf("attributes: %q", entries[0].Xattrs)
	}
}

func TestScanAccepts(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		members []member
		want    string
	}{
		{"nothing", nil, ""},
		{"the root alone", []member{dir("./")}, ""},
		{"the root with a mode of its own, twice", []member{dir("./").with(func(h *tar.Header) { h.Mode = 0o700 }), dir(".")}, ""},
		{"sorted by bytes", []member{file("b", ""), file("a/b", ""), file("a-b", ""), dir("a")},
			"dir a 0755 0:0 : 2024-02-29T12:00:00Z\n" +
				"file a-b 0644 0:0 : 2024-02-29T12:00:00Z 0 e3b0c44298fc sparse=false\n" +
				"file a/b 0644 0:0 : 2024-02-29T12:00:00Z 0 e3b0c44298fc sparse=false\n" +
				"file b 0644 0:0 : 2024-02-29T12:00:00Z 0 e3b0c44298fc sparse=false\n"},
		{"no implicit directories", []member{symlink("a/b/c", "../x")}, "symlink a/b/c 0000 0:0 : 2024-02-29T12:00:00Z -> ../x\n"},
		{"targets are not followed", []member{symlink("a", "../../../../etc/shadow"), symlink("b", "/"), symlink("c", "c")},
			"symlink a 0000 0:0 : 2024-02-29T12:00:00Z -> ../../../../etc/shadow\n" +
				"symlink b 0000 0:0 : 2024-02-29T12:00:00Z -> /\n" +
				"symlink c 0000 0:0 : 2024-02-29T12:00:00Z -> c\n"},
		{"a directory twice", []member{dir("a"), dir("./a/")}, "dir a 0755 0:0 : 2024-02-29T12:00:00Z\n"},
		{"names that begin alike", []member{symlink("a", "b"), dir("a.d"), symlink("a.d/x", "y")},
			"symlink a 0000 0:0 : 2024-02-29T12:00:00Z -> b\n" +
				"dir a.d 0755 0:0 : 2024-02-29T12:00:00Z\n" +
				"symlink a.d/x 0000 0:0 : 2024-02-29T12:00:00Z -> y\n"},
		{"a link before its file, and one through another", []member{hardlink("a", "./b"), file("c", ""), hardlink("b", "c")},
			"hardlink a 0000 0:0 : 0001-01-01T00:00:00Z -> c\n" +
				"hardlink b 0000 0:0 : 0001-01-01T00:00:00Z -> c\n" +
				"file c 0644 0:0 : 2024-02-29T12:00:00Z 0 e3b0c44298fc sparse=false\n"},
		{"all of st_mode", []member{file("a", "").with(func(h *tar.Header) { h.Mode = 0o106755 })}, "file a 6755 0:0 : 2024-02-29T12:00:00Z 0 e3b0c44298fc sparse=false\n"},
		{"a contiguous file", []member{file("a", "x").with(func(h *tar.Header) { h.Typeflag = tar.TypeCont })}, "file a 0644 0:0 : 2024-02-29T12:00:00Z 1 2d711642b726 sparse=false\n"},
		{"the largest owner", []member{dir("a").with(func(h *tar.Header) { h.Uid, h.Gid = 1<<31-1, 1<<31-1 })}, "dir a 0755 2147483647:2147483647 : 2024-02-29T12:00:00Z\n"},
		{"owner's names", []member{dir("a").with(func(h *tar.Header) { h.Uname, h.Gname = "bücher", "\xff" })}, "dir a 0755 0:0 bücher: 2024-02-29T12:00:00Z\n"},
		{"before 1970", []member{dir("a").with(func(h *tar.Header) {
			h.ModTime, h.Format = time.Unix(-1, 5e8), tar.FormatPAX
		})}, "dir a 0755 0:0 : 1969-12-31T23:59:59.5Z\n"},
		{"git's comment", []member{{Header: tar.Header{Typeflag: tar.TypeXGlobalHeader, PAXRecords: map[string]string{"comment": "0df87f0"}}}, dir("a")}, "dir a 0755 0:0 : 2024-02-29T12:00:00Z\n"},
		{"records nobody knows", []member{dir("a").with(record("VENDOR.thing", "1"))}, "dir a 0755 0:0 : 2024-02-29T12:00:00Z\n"},
		{"attributes of a directory", []member{dir("a").with(xattr("security.capability", "\x00"))}, "dir a 0755 0:0 : 2024-02-29T12:00:00Z map[\"security.capability\":\"\\x00\"]\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			entries := mustScan(t, makeTar(t, tt.members...))
			if got := listing(entries); got != tt.want {
				t.Errorf("got:\n%s\nwant:\n%s", got, tt.want)
			}
			m := james.Manifest{Name: "x", Entries: entries}
			if _, _, err := m.Encode(); err != nil {
				t.Errorf("no manifest: %v", err)
			}
		})
	}
}

func TestScanDirectoryTwiceByGNUTar(t *testing.T) {
	t.Parallel()
	entries := mustScan(t, fixture(t, "dir-twice.tar.xz"))
	if len(entries) != 2 || entries[0].Path != "d" || entries[1].Path != "d/f" {
		t.Errorf("entries:\n%s", listing(entries))
	}
}

func TestScanDevices(t *testing.T) {
	t.Parallel()
	raw := makeTar(t, node(tar.TypeChar, "c"), node(tar.TypeBlock, "b"), node(tar.TypeFifo, "f"))
	entries, _, err := archive.Scan(context.Background(), bytes.NewReader(raw), archive.Limits{AllowDevices: true})
	if err != nil {
		t.Fatal(err)
	}
	want := "block b 0600 0:0 : 2024-02-29T12:00:00Z 1,3\n" +
		"char c 0600 0:0 : 2024-02-29T12:00:00Z 1,3\n" +
		"fifo f 0600 0:0 : 2024-02-29T12:00:00Z\n"
	if got := listing(entries); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	huge := slices.Concat(block("c", '3', map[int]string{329: "\x80\x00\x00\x01\x00\x00\x00\x00"}), endMarker)
	_, _, err = archive.Scan(context.Background(), bytes.NewReader(huge), archive.Limits{AllowDevices: true})
	checkRefused(t, err, james.KindInvalid, "c: has the device number 4294967296,0")
}

func fixtures(t testing.TB) []string {
	t.Helper()
	all, err := filepath.Glob("testdata/*.tar.*")
	if err != nil || len(all) == 0 {
		t.Fatalf("no fixtures: %v", err)
	}
	for i := range all {
		all[i] = filepath.Base(all[i])
	}
	return all
}
