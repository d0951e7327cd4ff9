package archive_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/trusch/jamesd/internal/archive"
	"github.com/trusch/jamesd/internal/need"
	"github.com/trusch/jamesd/internal/xz"
	"github.com/trusch/jamesd/pkg/james"
)

// member is one entry of an archive that a test makes.
type member struct {
	tar.Header
	content string
}

func file(name, content string) member {
	return member{tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(content)), ModTime: noon}, content}
}

func dir(name string) member {
	return member{Header: tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: 0o755, ModTime: noon}}
}

func symlink(name, target string) member {
	return member{Header: tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target, Mode: 0o777, ModTime: noon}}
}

func hardlink(name, target string) member {
	return member{Header: tar.Header{Typeflag: tar.TypeLink, Name: name, Linkname: target, Mode: 0o644, ModTime: noon}}
}

func node(flag byte, name string) member {
	return member{Header: tar.Header{Typeflag: flag, Name: name, Mode: 0o600, ModTime: noon, Devmajor: 1, Devminor: 3}}
}

// with changes the header of m.
func (m member) with(change func(*tar.Header)) member {
	change(&m.Header)
	return m
}

var noon = time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC)

// makeTar returns a tar of the members.
func makeTar(t testing.TB, members ...member) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for i := range members {
		m := &members[i]
		if err := w.WriteHeader(&m.Header); err != nil {
			t.Fatalf("header of %q: %v", m.Name, err)
		}
		if _, err := io.WriteString(w, m.content); err != nil {
			t.Fatalf("content of %q: %v", m.Name, err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// block returns one tar block that holds a header as written by hand, with a
// right checksum.
func block(name string, flag byte, fields map[int]string) []byte {
	b := make([]byte, 512)
	copy(b, name)
	for at, v := range map[int]string{100: "0000644\x00", 108: "0000000\x00", 116: "0000000\x00", 124: "00000000000\x00", 136: "00000000000\x00", 257: "ustar\x0000"} {
		copy(b[at:], v)
	}
	b[156] = flag
	for at, v := range fields {
		copy(b[at:], v)
	}
	copy(b[148:], "        ")
	sum := 0
	for _, c := range b {
		sum += int(c)
	}
	copy(b[148:], fmt.Sprintf("%06o\x00 ", sum))
	return b
}

var endMarker = make([]byte, 1024)

var formats = []string{"tar", "xz", "gzip", "bzip2", "zstd"}

// pack compresses raw in a format; bzip2, which Go does not write, is left to
// the tool.
func pack(t testing.TB, format string, raw []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	var w io.WriteCloser
	var err error
	switch format {
	case "tar":
		return raw
	case "xz":
		w, err = xz.NewWriter(&buf, 1<<16)
	case "gzip":
		w = gzip.NewWriter(&buf)
	case "zstd":
		w, err = zstd.NewWriter(&buf, zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(true))
	default:
		return tool(t, raw, format, "-1", "-c")
	}
	if err == nil {
		_, err = w.Write(raw)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// tool runs a program of the system on input; a test that needs one that is
// not there is skipped, or fails where JAMES_TEST_REQUIRE_TOOLS is set.
func tool(t testing.TB, input []byte, name string, args ...string) []byte {
	t.Helper()
	need.Tool(t, name)
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Env = append(cmd.Environ(), "LC_ALL=C", "XZ_OPT=", "GZIP=")
	cmd.Stdin = bytes.NewReader(input)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, &stderr)
	}
	return out
}

func scan(raw []byte) ([]james.Entry, string, error) {
	return archive.Scan(context.Background(), bytes.NewReader(raw), archive.Limits{})
}

func mustScan(t testing.TB, raw []byte) []james.Entry {
	t.Helper()
	entries, _, err := scan(raw)
	if err != nil {
		t.Fatalf("Scan: %v", err)
	}
	return entries
}

// checkRefused fails unless err is of that kind and names all of want.
func checkRefused(t *testing.T, err error, kind james.Kind, want ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("it was accepted")
	}
	if got := james.KindOf(err); got != kind {
		t.Errorf("kind %q, want %q: %v", got, kind, err)
	}
	for _, w := range want {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("the error %q does not say %q", err, w)
		}
	}
}

// listing describes entries, one a line.
func listing(entries []james.Entry) string {
	var b strings.Builder
	for _, e := range entries {
		fmt.Fprintf(&b, "%s %s %04o %d:%d %s:%s %s", e.Type, e.Path, uint32(e.Mode), e.UID, e.GID, e.User, e.Group, e.Time.Format(time.RFC3339Nano))
		if e.Type == james.TypeFile {
			fmt.Fprintf(&b, " %d %s sparse=%v", e.Size, e.Digest.Short(), e.Sparse)
		}
		if e.Target != "" || e.Link != "" {
			fmt.Fprintf(&b, " -> %s%s", e.Target, e.Link)
		}
		if e.Major != 0 || e.Minor != 0 {
			fmt.Fprintf(&b, " %d,%d", e.Major, e.Minor)
		}
		if len(e.Xattrs) > 0 {
			fmt.Fprintf(&b, " %q", e.Xattrs)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// fixCRC puts the right checksum behind a header of xz.
func fixCRC(header []byte) {
	n := len(header) - 4
	binary.LittleEndian.PutUint32(header[n:], crc32.ChecksumIEEE(header[:n]))
}
