package deltabench_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"

	"github.com/trusch/jamesd/internal/delta"
	"github.com/trusch/jamesd/internal/stream"
)

// applyDirectory, in the environment, makes the test binary apply the stream in that
// directory to the file there, and print what the kernel says of its memory.
const applyDirectory = "JAMES_BENCH_APPLY"

func TestMain(m *testing.M) {
	if dir := os.Getenv(applyDirectory); dir != "" {
		if err := applyAndReport(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func applyAndReport(dir string) error {
	old, err := os.Open(dir + "/old")
	if err != nil {
		return err
	}
	defer old.Close()
	sent, err := os.Open(dir + "/stream")
	if err != nil {
		return err
	}
	defer sent.Close()
	out, err := os.Create(dir + "/out")
	if err != nil {
		return err
	}
	defer out.Close()
	s := stream.NewReader(sent)
	defer s.Close()
	for _, err := s.Next(); err != io.EOF; _, err = s.Next() {
		if err != nil {
			return err
		}
		if _, err := io.Copy(out, s.Patch(old)); err != nil {
			return err
		}
	}
	status, err := os.ReadFile("/proc/self/status")
	os.Stdout.Write(status)
	return err
}

// measureMemory applies the stream of a file of 50 MiB and of one of 200 MiB, each in a
// process of its own. The patches of both fill the window of the stream.
func measureMemory(b *testing.B, t *table) {
	for _, codec := range []stream.Codec{stream.Zstd, stream.XZ} {
		small, large := applyPeak(b, codec, 50<<20), applyPeak(b, codec, 200<<20)
		t.check("applying takes constant memory, "+codec.String(), large < small+4,
			"peak RSS %.1f MiB for a file of 200 MiB, %.1f MiB for one of 50 MiB", large, small)
	}
}

// applyPeak returns the peak RSS, in MiB, of applying a patch of a file of which every
// part has moved and every few hundred bytes differ.
func applyPeak(b *testing.B, codec stream.Codec, size int) float64 {
	b.Helper()
	dir := b.TempDir()
	r := rand.NewChaCha8([32]byte{4, 2})
	old := make([]byte, size)
	_, _ = r.Read(old)
	changed := make([]byte, 0, size)
	for len(changed) < size {
		from := int(r.Uint64() % uint64(size-1<<20))
		changed = append(changed, old[from:min(from+int(r.Uint64()%(1<<20)), from+size-len(changed))]...)
	}
	for i := 0; i < size; i += 100 + int(r.Uint64()%400) {
		changed[i]++
	}
	patch, err := delta.Make(context.Background(), old, changed, delta.Limits{})
	must(b, err)
	must(b, os.WriteFile(dir+"/old", old, 0o644))
	must(b, os.WriteFile(dir+"/stream", streamOf(b, stream.Options{Codec: codec}, func(w *stream.Writer) error {
		return w.Patch(stream.Head{Size: patch.Size(), Base: &stream.Base{}}, patch)
	}), 0o644))
	program, err := os.Executable()
	must(b, err)
	cmd := exec.Command(program)
	cmd.Env = append(os.Environ(), applyDirectory+"="+dir)
	report, err := cmd.CombinedOutput()
	if err != nil {
		b.Fatalf("%v: %s", err, report)
	}
	out, err := os.ReadFile(filepath.Join(dir, "out"))
	must(b, err)
	if !bytes.Equal(out, changed) {
		b.Fatal("what was applied is something else")
	}
	peak := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(report)
	kib, err := strconv.ParseFloat(string(peak[1]), 64)
	must(b, err)
	return kib / 1024
}
