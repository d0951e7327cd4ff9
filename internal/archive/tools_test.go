package archive_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trusch/jamesd/internal/archive"
	"github.com/trusch/jamesd/internal/need"
	"github.com/trusch/jamesd/pkg/james"
)

// TestCompressors reads what the system's compressors make of one tar, at all
// the settings that change the format of their output.
func TestCompressors(t *testing.T) {
	t.Parallel()
	raw := makeTar(t, dir("./"), file("a", noise(50_000)), file("b", strings.Repeat("compressible ", 4_000)))
	want := listing(mustScan(t, raw))
	for _, command := range []string{
		"xz -0", "xz -6", "xz -9", "xz -9e", "xz -T2 --block-size=30000", "xz -T1 --block-size=20000", "xz -6 --check=none",
		"xz --check=crc32", "xz --check=sha256", "xz --lzma2=dict=64MiB,lc=0,lp=4,pb=0",
		"gzip -1", "gzip -9", "bzip2 -1", "bzip2 -9", "zstd -1", "zstd -19", "zstd --no-check", "zstd -T2 -B30000",
	} {
		t.Run(command, func(t *testing.T) {
			t.Parallel()
			args := strings.Fields(command)
			packed := tool(t, raw, args[0], append(args[1:], "-c")...)
			entries, format, err := scan(packed)
			if err != nil || format != args[0] || listing(entries) != want {
				t.Fatalf("format %q: %v\n%s", format, err, listing(entries))
			}
			for _, less := range []int{1, 4, 12, 29} {
				if _, _, err := scan(packed[:len(packed)-less]); james.KindOf(err) != james.KindInvalid {
					t.Errorf("%d bytes less: %v", less, err)
				}
			}
		})
	}
}

// TestCompressorsRefused: what is legal and still not taken says why.
func TestCompressorsRefused(t *testing.T) {
	t.Parallel()
	raw := makeTar(t, file("a", noise(100_000)))
	for command, says := range map[string]string{
		"xz --x86 --lzma2":           "a filter besides LZMA2",
		"xz --delta=dist=2 --lzma2":  "a filter besides LZMA2",
		"xz --lzma2=dict=65MiB":      "needs a dictionary of 96 MiB, the limit is 64 MiB",
		"zstd --ultra -22 --long=30": "window of more than 64 MiB",
		"xz --format=lzma":           "an .lzma file",
		"zstd --format=lz4":          "an lz4 file",
	} {
		t.Run(command, func(t *testing.T) {
			t.Parallel()
			args := strings.Fields(command)
			_, _, err := scan(tool(t, raw, args[0], append(args[1:], "-c")...))
			checkRefused(t, err, james.KindInvalid, says)
		})
	}
}

// TestFoundingCommand makes a packet as the founding document says, with the
// system's tar, and compares what is read with what was packed.
func TestFoundingCommand(t *testing.T) {
	t.Parallel()
	root := makeTree(t)
	file := filepath.Join(t.TempDir(), "openvpn.tar.xz")
	tool(t, nil, "tar", "cfvJ", file, "-C", root+"/", ".")
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	// Owners and times are those of the tree, and GNU tar writes the first name
	// that it finds of a file: the content and the names have to be the same.
	digests := func(entries []james.Entry) string {
		var b strings.Builder
		m := james.Manifest{Entries: entries}
		for _, e := range entries {
			if e.Type == james.TypeHardlink {
				e, _ = m.Entry(e.Link)
			}
			fmt.Fprintf(&b, "%s %04o %s %s\n", e.Type, uint32(e.Mode), e.Digest, e.Target)
		}
		return b.String()
	}
	got, want := mustScan(t, raw), mustScan(t, build(t, root, archive.BuildOptions{Format: "tar"}))
	if digests(got) != digests(want) {
		t.Errorf("got:\n%s\nwant:\n%s", listing(got), listing(want))
	}
	if err := extract(raw, manifestOf(t, raw), readAll); err != nil {
		t.Error(err)
	}
}

// TestBuildForTar: the system's tools read what Build writes, and find the same.
func TestBuildForTar(t *testing.T) {
	t.Parallel()
	root := makeTree(t)
	for format, command := range map[string]string{"xz": "xz", "zstd": "zstd", "gzip": "gzip", "tar": "cat"} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			packed := build(t, root, archive.BuildOptions{Format: format})
			plain := packed
			if command != "cat" {
				plain = tool(t, packed, command, "-d", "-c")
			}
			if want := build(t, root, archive.BuildOptions{Format: "tar"}); !bytes.Equal(plain, want) {
				t.Fatal("another tar came out")
			}
			need.Tool(t, "tar")
			out := t.TempDir()
			tool(t, plain, "tar", "-xpf", "-", "-C", out)
			if got := listing(mustScan(t, build(t, out, archive.BuildOptions{}))); got != treeListing() {
				t.Errorf("unpacked:\n%s\nwant:\n%s", got, treeListing())
			}
		})
	}
}
