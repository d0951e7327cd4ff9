package xz_test

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/ulikunitz/xz/lzma"
)

// FuzzChunks decodes anything as the chunks of a block, and compares the content,
// as far as there is any, with what the library makes of the same chunks.
func FuzzChunks(f *testing.F) {
	raw := sample(6_000)
	for _, options := range []string{"dict=64KiB", "dict=4KiB,lc=0,lp=4,pb=0", "dict=64KiB,lc=4,lp=0,pb=4", "dict=64KiB,lc=1,lp=3,pb=1,mode=fast"} {
		f.Add(xzTool(f, raw, "--format=raw", "--lzma2="+options))
		f.Add(xzTool(f, append(noise(7_000), raw...), "--format=raw", "--lzma2="+options))
		f.Add(xzTool(f, []byte(strings.Repeat("ab", 10_000)), "--format=raw", "--lzma2="+options))
	}
	f.Fuzz(func(t *testing.T, chunks []byte) {
		got, err := unpack(wrap(chunks))
		ref, refused := lzma.Reader2Config{DictCap: 1 << 16}.NewReader2(io.MultiReader(bytes.NewReader(chunks), bytes.NewReader(make([]byte, 32))))
		if refused != nil {
			return
		}
		want, failed := io.ReadAll(ref)
		// Where either finds a fault, it may give less of what is before it.
		common := min(len(got), len(want))
		if !bytes.Equal(got[:common], want[:common]) {
			t.Fatalf("%d bytes were read (%v), which are others than the %d of the reference: %v", len(got), err, len(want), failed)
		}
		if whole := strings.Contains(err.Error(), "the index"); whole && (failed != nil || len(got) != len(want)) {
			t.Fatalf("%d bytes were read and found right, the reference has %d: %v", len(got), len(want), failed)
		}
	})
}

// wrap makes a stream without a check of the chunks. Its index is wrong, which is
// seen after all content.
func wrap(chunks []byte) []byte {
	header := []byte("\xfd7zXZ\x00\x00\x00")
	header = binary.LittleEndian.AppendUint32(header, crc32.ChecksumIEEE(header[6:]))
	block := []byte{2, 0, 0x21, 1, 8, 0, 0, 0} // a dictionary of 64 KiB
	block = binary.LittleEndian.AppendUint32(block, crc32.ChecksumIEEE(block))
	return slices.Concat(header, block, chunks, make([]byte, -len(chunks)&3+32))
}

// TestChunks: what a decoder of its own must get right, whatever its settings are.
func TestChunks(t *testing.T) {
	t.Parallel()
	raw := slices.Concat(noise(100_000), sample(300_000), make([]byte, 300_000), []byte(strings.Repeat("abc", 20_000)), noise(5))
	for _, options := range []string{
		"dict=4KiB", "dict=64KiB,lc=0,lp=0,pb=0", "dict=256KiB,lc=4,lp=0,pb=4", "dict=8MiB,lc=0,lp=4,pb=4",
		"dict=8MiB,lc=2,lp=2,pb=0,mode=fast", "dict=64MiB,nice=273,mf=bt4,depth=1000",
	} {
		t.Run(options, func(t *testing.T) {
			t.Parallel()
			if got := mustUnpack(t, xzTool(t, raw, "--lzma2="+options)); !bytes.Equal(got, raw) {
				t.Error("something else came out")
			}
		})
	}
}
