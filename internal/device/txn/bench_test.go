package txn_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trusch/jamesd/internal/device/txn"
	"github.com/trusch/jamesd/pkg/james"
)

// kernelTree is a packet with the shape of a cloud kernel: 1,144 files of 107 MB
// in 190 directories, a few of them large.
func kernelTree(seed uint64) []member {
	rnd := rand.New(rand.NewPCG(1, 2)) // the shape is the same for every seed
	noise := rand.New(rand.NewPCG(seed, 3))
	var all []member
	left, files := 107<<20, 1144
	for n := range files {
		size := min(left, int(rnd.ExpFloat64()*60e3)+2000)
		if n < 3 {
			size = 13 << 20
		}
		if n == files-1 {
			size = left
		}
		left -= size
		body := make([]byte, size)
		for k := 0; k+8 <= len(body); k += 512 {
			for b := range 8 {
				body[k+b] = byte(noise.Uint32())
			}
		}
		all = append(all, file(fmt.Sprintf("usr/lib/modules/6.1/kernel/d%03d/sub/f%04d.ko", n/6, n), string(body)))
	}
	return all
}

// BenchmarkInstall is the transaction alone: unpack a plain tar, verify, sync,
// journal, place, commit.
func BenchmarkInstall(b *testing.B) {
	benchmark(b, func(w *world, v1, _ *james.Packet) (set func(), steps []james.Step) {
		return func() {
			if len(w.in.Apps()) > 0 {
				w.must(remove(v1))
			}
		}, []james.Step{install(v1)}
	})
}

// BenchmarkUpgrade replaces every file by another.
func BenchmarkUpgrade(b *testing.B) {
	benchmark(b, func(w *world, v1, v2 *james.Packet) (set func(), steps []james.Step) {
		return func() {
			if len(w.in.Apps()) > 0 {
				w.must(remove(v2))
			}
			w.must(install(v1))
		}, []james.Step{upgrade(v1, v2)}
	})
}

// BenchmarkRollback installs it and fails at the end.
func BenchmarkRollback(b *testing.B) {
	benchmark(b, func(w *world, v1, _ *james.Packet) (set func(), steps []james.Step) {
		end := w.pack(b, "z v1", map[james.ScriptName]string{james.Preinst: "exit 1"})
		return func() {}, []james.Step{install(v1), install(end)}
	})
}

func benchmark(b *testing.B, prepare func(w *world, v1, v2 *james.Packet) (func(), []james.Step)) {
	w := newWorld(b)
	w.mustStart()
	v1, v2 := w.pack(b, "kernel v1", nil, kernelTree(1)...), w.pack(b, "kernel v2", nil, kernelTree(2)...)
	if dir := os.Getenv("JAMESC_BENCH_TREE"); dir != "" { // to build a .deb of
		w.must(install(v1))
		if err := os.Rename(w.root, filepath.Join(dir, "tree")); err != nil {
			b.Fatal(err)
		}
		b.SkipNow()
	}
	setUp, steps := prepare(w, v1, v2)
	b.SetBytes(107 << 20)
	for b.Loop() {
		b.StopTimer()
		setUp()
		b.StartTimer()
		w.apply(steps...)
	}
}

// BenchmarkVerify looks at 10,000 files of ten packets, 100 MB: quickly, as the
// agent does by itself when nothing was touched, and reading all of them.
func BenchmarkVerify(b *testing.B) {
	const packets, files = 10, 1000
	w := newWorld(b)
	w.mustStart()
	for n := range packets {
		var members []member
		for k := range files {
			members = append(members, file(fmt.Sprintf("usr/lib/%d/%d/%d", n, k%30, k), strings.Repeat("x", 10_000)))
		}
		w.must(install(w.pack(b, fmt.Sprintf("p%d v1", n), nil, members...)))
	}
	for name, quick := range map[string]bool{"quick": true, "all": false} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if got := w.changes(txn.Verification{Quick: quick}); got != "" {
					b.Fatal(got)
				}
			}
			b.ReportMetric(packets*files/(b.Elapsed().Seconds()/float64(b.N)), "files/s")
		})
	}
}
