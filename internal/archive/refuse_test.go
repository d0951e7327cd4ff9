package archive_test

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trusch/jamesd/internal/archive"
	"github.com/trusch/jamesd/pkg/james"
)

// TestScanRefuses is the catalogue of what a packet must not hold.
func TestScanRefuses(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat("d/", 2500) + "f"
	tests := []struct {
		name    string
		members []member
		says    []string
	}{
		{"dot dot", []member{file("../evil", "x")}, []string{`"../evil"`, `".." component`}},
		{"dot dot inside", []member{file("a/b/../../../evil", "x")}, []string{"a/b/../../../evil", `".."`}},
		{"dot dot that stays inside", []member{file("a/../b", "x")}, []string{"a/../b"}},
		{"dot dot as a directory", []member{dir("..")}, []string{`".."`}},
		{"absolute name", []member{file("/etc/passwd", "x")}, []string{"/etc/passwd", "absolute"}},
		{"absolute name with dots", []member{file("//../etc/passwd", "x")}, []string{"absolute"}},
		{"component too long", []member{file(strings.Repeat("n", 256), "x")}, []string{"nnnn", "component of 256 bytes"}},
		{"name too long", []member{file(deep, "x")}, []string{"d/d/d", "5001 bytes"}},

		{"through a symlink", []member{symlink("evil", "/etc"), file("evil/passwd", "x")}, []string{"evil/passwd", "below evil", "symlink"}},
		{"through a later symlink", []member{file("evil/passwd", "x"), symlink("evil", "/etc")}, []string{"evil/passwd", "below evil", "symlink"}},
		{"deep below a symlink", []member{symlink("a", "b"), file("a/b/c/d", "x")}, []string{"a/b/c/d", "below a"}},
		{"directory below a symlink", []member{symlink("a", "b"), dir("a/c")}, []string{"a/c", "below a"}},
		{"symlink below a symlink", []member{symlink("a", "."), symlink("a/b", "..")}, []string{"a/b", "below a"}},
		{"link below a symlink", []member{file("f", "x"), symlink("a", "b"), hardlink("a/l", "f")}, []string{"a/l", "below a"}},
		{"below a file", []member{file("a", "x"), file("a/b", "x")}, []string{"a/b", "below a", "file"}},
		{"below a hard link", []member{file("f", "x"), hardlink("a", "f"), file("a/b", "x")}, []string{"a/b", "below a"}},
		{"a directory replaced by a symlink", []member{dir("a"), symlink("a", "/etc"), file("a/passwd", "x")}, []string{"a: is listed twice", "dir", "symlink"}},
		{"a directory that is spelled otherwise", []member{symlink("./a/", "/etc"), file("a//passwd", "x")}, []string{"a/passwd"}},

		{"file twice", []member{file("a", "x"), file("a", "y")}, []string{"a: is listed twice"}},
		{"same file twice", []member{file("a", "x"), file("./a", "x")}, []string{"a: is listed twice"}},
		{"file and directory", []member{file("a", "x"), dir("a")}, []string{"a: is listed twice", "file", "dir"}},
		{"directory and file", []member{dir("a"), file("a", "x")}, []string{"a: is listed twice"}},
		{"symlink twice", []member{symlink("a", "b"), symlink("a", "b")}, []string{"a: is listed twice"}},
		{"directory twice with two modes", []member{dir("a"), dir("a/").with(func(h *tar.Header) { h.Mode = 0o700 })}, []string{"a: is listed twice", "another mode"}},
		{"directory twice with two owners", []member{dir("a"), dir("a/").with(func(h *tar.Header) { h.Uid = 1 })}, []string{"a: is listed twice"}},
		{"directory twice with two attributes", []member{dir("a"), dir("a/").with(xattr("user.a", "1"))}, []string{"a: is listed twice"}},

		{"link to nothing", []member{hardlink("a", "b")}, []string{"a: is a hard link to b", "no file"}},
		{"link to outside", []member{hardlink("a", "../../etc/shadow")}, []string{"a: is a hard link", "../../etc/shadow"}},
		{"link to an absolute name", []member{hardlink("a", "/etc/shadow")}, []string{"a: is a hard link", "/etc/shadow"}},
		{"link to a directory", []member{dir("d"), hardlink("a", "d")}, []string{"a: is a hard link to d"}},
		{"link to a symlink", []member{symlink("s", "/etc/shadow"), hardlink("a", "s")}, []string{"a: is a hard link to s"}},
		{"link to itself", []member{hardlink("a", "a")}, []string{"a: is a hard link that leads to itself"}},
		{"links to each other", []member{hardlink("a", "b"), hardlink("b", "a")}, []string{"a: is a hard link that leads to itself"}},
		{"link through a symlink", []member{symlink("s", "/etc"), hardlink("a", "s/shadow")}, []string{"a: is a hard link to s/shadow"}},

		{"character device", []member{node(tar.TypeChar, "dev/null")}, []string{"dev/null: is a character device"}},
		{"block device", []member{node(tar.TypeBlock, "dev/sda")}, []string{"dev/sda: is a block device"}},
		{"fifo", []member{node(tar.TypeFifo, "run/f")}, []string{"run/f: is a fifo"}},
		{"the root as a symlink", []member{symlink("./", "/etc")}, []string{".: is the install root"}},

		{"empty link target", []member{symlink("a", "")}, []string{"a: is a symbolic link"}},
		{"long link target", []member{symlink("a", strings.Repeat("t", 4096))}, []string{"a: is a symbolic link", "4096 bytes"}},
		{"mode", []member{file("a", "").with(func(h *tar.Header) { h.Mode = 0o1000644 })}, []string{"a: has the mode 1000644"}},
		{"negative owner", []member{file("a", "").with(func(h *tar.Header) { h.Gid = -1; h.Format = tar.FormatGNU })}, []string{"a: has the owner 0:-1"}},
		{"time", []member{file("a", "").with(func(h *tar.Header) { h.ModTime = time.Unix(1<<40, 0) })}, []string{"a: has a time"}},
		{"acl", []member{file("a", "").with(record("SCHILY.acl.access", "user::rw-"))}, []string{"a: has an access control list"}},
		{"attribute name", []member{file("a", "").with(xattr("user.\xff", "1"))}, []string{"a: has an extended attribute", "malformed"}},
		{"attribute name too long", []member{file("a", "").with(xattr("user."+strings.Repeat("n", 300), "1"))}, []string{"a: has the extended attribute"}},
		{"attribute value too long", []member{file("a", "").with(xattr("user.a", strings.Repeat("v", 64<<10+1)))}, []string{"a: has the extended attribute", "65537 bytes"}},
		{"global header", []member{{Header: tar.Header{Typeflag: tar.TypeXGlobalHeader, PAXRecords: map[string]string{"path": "x"}}}, file("a", "")}, []string{"global header", "path"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			raw := makeTar(t, tt.members...)
			_, _, err := scan(raw)
			checkRefused(t, err, james.KindInvalid, tt.says...)
			// What comes before and after does not matter.
			all := slices.Concat([]member{file("AAA", "1")}, tt.members, []member{file("zzz", "2")})
			_, _, err = scan(makeTar(t, all...))
			checkRefused(t, err, james.KindInvalid, tt.says...)
		})
	}
}

func xattr(name, value string) func(*tar.Header) { return record("SCHILY.xattr."+name, value) }

func record(key, value string) func(*tar.Header) {
	return func(h *tar.Header) { h.PAXRecords = map[string]string{key: value} }
}

// TestScanRefusesHeaders has headers that no writer of Go would write.
func TestScanRefusesHeaders(t *testing.T) {
	t.Parallel()
	paxRecord := func(s string) string { return fmt.Sprintf("%d %s\n", len(s)+4, s) }
	pax := func(flag byte, records string) []byte {
		b := block("pax", flag, map[int]string{124: fmt.Sprintf("%011o\x00", len(records))})
		return append(b, append([]byte(records), make([]byte, 511-(len(records)-1)%512)...)...)
	}
	flipped := block("f", '0', nil)
	flipped[0] = 'g'
	tests := []struct {
		name   string
		blocks [][]byte
		says   []string
	}{
		{"unknown type", [][]byte{block("f", 'Z', nil)}, []string{"f: is of an unknown kind", "'Z'"}},
		{"unknown type of a vendor", [][]byte{block("f", 'S'+1, nil)}, []string{"f: is of an unknown kind"}},
		{"volume label", [][]byte{block("backup", 'V', nil)}, []string{"backup: is a volume label"}},
		{"continuation", [][]byte{block("f", 'M', nil)}, []string{"f: is the continuation"}},
		{"incremental directory", [][]byte{block("d/", 'D', nil)}, []string{"d: is a directory of an incremental backup"}},
		{"negative size", [][]byte{block("f", '0', map[int]string{124: strings.Repeat("\xff", 12)})}, []string{"f: has a damaged tar header", "size is negative"}},
		{"negative size of a directory", [][]byte{block("d/", '5', map[int]string{124: strings.Repeat("\xff", 12)})}, []string{"d: has the negative size"}},
		{"negative size in a PAX record", [][]byte{pax('x', paxRecord("size=-512")), block("f", '0', nil)}, []string{"f: has a damaged tar header"}},
		{"huge size", [][]byte{block("f", '0', map[int]string{124: "\x80\x00\x00\x00\x7f\xff\xff\xff\xff\xff\xff\xff"})}, []string{"f: has 9223372036854775807 bytes", "limit"}},
		{"size beyond 64 bits", [][]byte{block("f", '0', map[int]string{124: "\x80" + strings.Repeat("\xff", 11)})}, []string{"f: has a damaged tar header"}},
		{"size that is no number", [][]byte{block("f", '0', map[int]string{124: "size?"})}, []string{"f: has a damaged tar header", "size is not a number"}},
		{"mode that is no number", [][]byte{block("f", '0', map[int]string{100: "rw-r--r-"})}, []string{"f: has a damaged tar header", "mode is not a number"}},
		{"owner beyond 31 bits", [][]byte{block("f", '0', map[int]string{108: "\x80\x00\x00\x00\x80\x00\x00\x00"})}, []string{"f: has the owner "}},
		{"wrong checksum", [][]byte{flipped}, []string{"g: has a damaged tar header", "checksum is wrong"}},
		{"damaged PAX record", [][]byte{pax('x', "99 path=x\n"), block("f", '0', nil)}, []string{"damaged"}},
		{"PAX header of 2 MiB", [][]byte{block("pax", 'x', map[int]string{124: "00010000000\x00"}), make([]byte, 2<<20), block("f", '0', nil)}, []string{"extended header of more than 1 MiB"}},
		{"NUL in a PAX path", [][]byte{pax('x', paxRecord("path=a\x00b")), block("f", '0', nil)}, []string{"damaged"}},
		{"dot dot in a PAX path", [][]byte{pax('x', paxRecord("path=../f")), block("f", '0', nil)}, []string{`"../f"`}},
		{"dot dot in a long name", [][]byte{block("././@LongLink", 'L', map[int]string{124: "00000000005\x00", 257: "ustar  \x00"}), append([]byte("../f\x00"), make([]byte, 507)...), block("f", '0', map[int]string{257: "ustar  \x00"})}, []string{`"../f"`}},
		{"dot dot in a prefix", [][]byte{block("f", '0', map[int]string{345: ".."})}, []string{`"../f"`}},
		{"PAX header of nothing", [][]byte{pax('x', paxRecord("path=abc"))}, []string{"header that belongs to no entry"}},
		{"sparse format of the future", [][]byte{pax('x', paxRecord("GNU.sparse.major=9")), block("f", '0', nil)}, []string{"f: is a sparse file of an unknown format"}},
		{"sparse map that goes backwards", [][]byte{pax('x', paxRecord("GNU.sparse.major=0")+paxRecord("GNU.sparse.minor=1")+paxRecord("GNU.sparse.numblocks=2")+paxRecord("GNU.sparse.map=8,8,0,8")), block("f", '0', nil)}, []string{"damaged"}},
		{"file with a slash", [][]byte{block("a/", '0', nil)}, []string{"a: is a file whose name ends in a slash"}},
		{"data after one zero block", [][]byte{make([]byte, 512), block("f", '0', nil)}, []string{"damaged"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			good := makeTar(t, file("AAA", "1"))
			raw := slices.Concat(good[:1024], bytes.Join(tt.blocks, nil), endMarker)
			_, _, err := scan(raw)
			checkRefused(t, err, james.KindInvalid, tt.says...)
		})
	}
}

// TestScanRefusesSockets is for completeness: POSIX has no type for them, and
// what some writers take for one is refused as unknown.
func TestScanRefusesSockets(t *testing.T) {
	t.Parallel()
	raw := slices.Concat(block("run/s", 's', nil), endMarker)
	_, _, err := archive.Scan(context.Background(), bytes.NewReader(raw), archive.Limits{AllowDevices: true})
	checkRefused(t, err, james.KindInvalid, "run/s", "unknown kind")
}

func TestScanNotAnArchive(t *testing.T) {
	t.Parallel()
	pad := strings.Repeat("\x00", 600)
	damaged := slices.Concat(block("f", '0', nil), endMarker)
	damaged[3] ^= 1
	tests := []struct {
		name string
		raw  string
		says string
	}{
		{"nothing", "", "is empty"},
		{"deb", "!<arch>\ndebian-binary   1342943816  0     0     100644  4         `\n2.0\n" + pad, "a .deb package (an ar archive); a packet is a tar"},
		{"ar", "!<arch>\nlib.o/" + pad, "an ar archive"},
		{"zip", "PK\x03\x04" + pad, "a zip file"},
		{"empty zip", "PK\x05\x06" + pad, "an empty zip file"},
		{"7z", "7z\xbc\xaf\x27\x1c" + pad, "a 7z file"},
		{"rpm", "\xed\xab\xee\xdb" + pad, "an .rpm package"},
		{"program", "\x7fELF\x02\x01" + pad, "an ELF program"},
		{"squashfs", "hsqs" + pad, "a squashfs image"},
		{"cpio", "070701" + pad, "a cpio archive"},
		{"lzip", "LZIP\x01" + pad, "an lzip file"},
		{"lzma", "\x5d\x00\x00\x80\x00" + pad, "an .lzma file"},
		{"lz4", "\x04\x22\x4d\x18" + pad, "an lz4 file"},
		{"compress", "\x1f\x9d\x90" + pad, "a compress (.Z) file"},
		{"script", "#!/bin/sh\n", "a script"},
		{"web page", "<!DOCTYPE html>", "a web page"},
		{"text", "no such file", "text"},
		{"text that is cut inside a character", strings.Repeat("ü", 300)[1:], "something that begins with"},
		{"long text", "x" + strings.Repeat("ü", 300), "text"},
		{"noise", "\x80\x01\x02\x03" + pad, "something that begins with the bytes 80 01 02 03"},
		{"one zero", "\x00", "something that begins with the bytes 00"},
		{"damaged first header", string(damaged), "a tar whose first header is damaged"},
		{"xz of a program", string(pack(t, "xz", []byte("\x7fELF"+pad))), "is compressed with xz and holds an ELF program or library, not a tar"},
		{"xz of an xz", string(pack(t, "xz", pack(t, "xz", []byte(pad)))), "holds another xz archive, not a tar"},
		{"xz of nothing", string(pack(t, "xz", nil)), "compressed with xz and holds nothing"},
		{"gzip of text", string(pack(t, "gzip", []byte("hello"))), "compressed with gzip and holds text"},
		{"zstd of nothing", string(pack(t, "zstd", nil)), "compressed with zstd and holds nothing"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, _, err := scan([]byte(tt.raw))
			checkRefused(t, err, james.KindInvalid, tt.says)
		})
	}
}
