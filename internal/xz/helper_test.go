package xz_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/trusch/jamesd/internal/need"
	"github.com/trusch/jamesd/internal/xz"
)

// window is the limit that tests read with: what xz -9 asks for.
const window = 64 << 20

// pack compresses raw with a small dictionary.
func pack(t testing.TB, raw []byte) []byte {
	t.Helper()
	return compressed(t, raw, 1<<16, 1<<20)
}

// unpack reads all of packed, in several ways that must all come to the same: with
// one worker and with several, in small pieces and in large ones.
func unpack(packed []byte) (content []byte, err error) {
	content, err = unpackFrom(bytes.NewReader(packed))
	for workers, r := range map[int]io.Reader{2: iotest.OneByteReader(bytes.NewReader(packed)), 4: bytes.NewReader(packed)} {
		got, failed := unpackWith(r, workers, 1000*workers)
		if !bytes.Equal(got, content) || (failed == nil) != (err == nil) || err != nil && failed.Error() != err.Error() {
			panic(fmt.Sprintf("%d workers read %d bytes (%v), one reads %d (%v)", workers, len(got), failed, len(content), err))
		}
	}
	return content, err
}

func unpackFrom(r io.Reader) ([]byte, error) { return unpackWith(r, 1, 1<<20) }

func unpackWith(r io.Reader, workers, piece int) ([]byte, error) {
	x := xz.NewReader(r, xz.Options{MaxWindow: window, Workers: workers})
	defer x.Close()
	var out bytes.Buffer
	_, err := io.CopyBuffer(struct{ io.Writer }{&out}, struct{ io.Reader }{x}, make([]byte, piece))
	return out.Bytes(), err
}

func mustUnpack(t testing.TB, packed []byte) []byte {
	t.Helper()
	raw, err := unpack(packed)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// sample returns n bytes, of which some compress.
func sample(n int) []byte {
	b := make([]byte, n)
	random := rand.NewChaCha8([32]byte{1})
	for at := 0; at < n; at += 100 {
		random.Read(b[at:min(at+30, n)])
		copy(b[min(at+30, n):min(at+100, n)], strings.Repeat("the same words in many places, ", 3))
	}
	return b
}

// xzTool compresses with the system's xz; a test that needs it where it is not
// there is skipped, or fails where JAMES_TEST_REQUIRE_TOOLS is set.
func xzTool(t testing.TB, input []byte, args ...string) []byte {
	t.Helper()
	if _, err := exec.LookPath("xz"); err != nil {
		need.Lack(t, need.Tools, "xz is not installed")
	}
	cmd := exec.CommandContext(t.Context(), "xz", append(args, "-c")...)
	cmd.Env = append(cmd.Environ(), "LC_ALL=C", "XZ_OPT=")
	cmd.Stdin = bytes.NewReader(input)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("xz %q: %v\n%s", args, err, &stderr)
	}
	return out
}

// setDict changes the dictionary's size in the header of the first block of a
// stream whose header has neither size: size, flags, filter, 1, dictionary.
func setDict(packed []byte, code int) []byte {
	const header = 12
	block := packed[header : header+(int(packed[header])+1)*4]
	block[4] = byte(code)
	sum := len(block) - 4
	binary.LittleEndian.PutUint32(block[sum:], crc32.ChecksumIEEE(block[:sum]))
	return packed
}

// noise returns n bytes that do not compress.
func noise(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{2}).Read(b)
	return b
}
