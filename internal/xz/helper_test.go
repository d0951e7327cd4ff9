package xz_test

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"

	"github.com/trusch/jamesd/internal/need"
	"github.com/trusch/jamesd/internal/xz"
)

// window is the limit that tests read with: what xz -9 asks for.
const window = 64 << 20

// pack compresses raw with a small dictionary.
func pack(t testing.TB, raw []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	w, err := xz.NewWriter(&buf, 1<<16)
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

// unpack reads all of packed.
func unpack(packed []byte) ([]byte, error) { return unpackFrom(bytes.NewReader(packed)) }

func unpackFrom(r io.Reader) ([]byte, error) {
	x := xz.NewReader(r, xz.Options{MaxWindow: window})
	defer x.Close()
	return io.ReadAll(x)
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
