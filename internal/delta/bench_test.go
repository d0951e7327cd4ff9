package delta_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"testing"

	"github.com/trusch/jamesd/internal/delta"
)

// applyEnv makes the test binary apply a patch and print its own memory.
const applyEnv = "JAMES_TEST_APPLY"

func TestMain(m *testing.M) {
	if dir := os.Getenv(applyEnv); dir != "" {
		if err := applyAndReport(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// applyAndReport applies the batches of a directory one after the other, as a device
// does, and prints the peak of the process's memory.
func applyAndReport(dir string) error {
	old, err := os.Open(dir + "/old")
	if err != nil {
		return err
	}
	defer old.Close()
	var made int64
	for i := 0; ; i++ {
		raw, err := os.ReadFile(fmt.Sprintf("%s/batch%d", dir, i))
		if os.IsNotExist(err) {
			break
		} else if err != nil {
			return err
		}
		patches, err := delta.DecodeBatch(raw)
		if err != nil {
			return err
		}
		for _, p := range patches {
			n, err := io.Copy(io.Discard, p.Reader(old))
			if made += n; err != nil {
				return err
			}
		}
	}
	status, err := os.ReadFile("/proc/self/status")
	fmt.Printf("made %d\n%s", made, status)
	return err
}

// writeLarge writes an old content and the batches of a patch that makes a new one of
// size bytes, in which every piece has moved and every few bytes differ.
func writeLarge(b *testing.B, dir string, size int) {
	b.Helper()
	r := rand.New(rand.NewPCG(4, 2))
	old := make([]byte, size)
	for i := 0; i+8 <= size; i += 8 {
		binary.LittleEndian.PutUint64(old[i:], r.Uint64())
	}
	want := make([]byte, 0, size)
	for len(want) < size {
		from := r.IntN(size - 1<<20)
		want = append(want, old[from:min(from+r.IntN(1<<20), from+size-len(want))]...)
	}
	for i := 0; i < size; i += 50 + r.IntN(100) {
		want[i]++
	}
	p := mustMake(b, old, want, delta.Limits{MaxMemory: 256 << 20})
	write(b, dir+"/old", old)
	for i, part := range p.Split(delta.MaxBatch) {
		write(b, fmt.Sprintf("%s/batch%d", dir, i), delta.AppendBatch(nil, []*delta.Patch{part}))
	}
}

func write(b *testing.B, path string, content []byte) {
	b.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkApply200MB applies a patch that makes 200 MB in a process of its own, and
// reports the peak of that process's memory.
func BenchmarkApply200MB(b *testing.B) {
	const size = 200 << 20
	dir := b.TempDir()
	writeLarge(b, dir, size)
	program, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(size)
	for b.Loop() {
		cmd := exec.Command(program)
		cmd.Env = append(os.Environ(), applyEnv+"="+dir)
		out, err := cmd.CombinedOutput()
		if err != nil || !bytes.HasPrefix(out, fmt.Appendf(nil, "made %d\n", size)) {
			b.Fatalf("%v: %.200s", err, out)
		}
		peak := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(out)
		kib, err := strconv.ParseFloat(string(peak[1]), 64)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(kib/1024, "peak-MiB")
	}
}
