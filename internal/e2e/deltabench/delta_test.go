package deltabench_test

import (
	"os"
	"syscall"
	"testing"
	"time"
)

// result is what one way of upgrading costs.
type result struct {
	bytes       int64
	make, apply time.Duration // of processors
	note        string
}

// BenchmarkDelta prints the tables. It measures once, however often it is told to run:
// run it with -benchtime 1x.
func BenchmarkDelta(b *testing.B) {
	t := &table{}
	b.Cleanup(func() { t.print(os.Stdout) })
	for _, u := range upgrades {
		b.Run(u.name, func(b *testing.B) { u.measure(b, t) })
	}
	b.Run("memory", func(b *testing.B) { measureMemory(b, t) })
}

func (u upgrade) measure(b *testing.B, t *table) {
	p, err := u.open(b)
	if err != nil {
		t.absent(u.name, err)
		return
	}
	row := row{pair: p, ours: measureOurs(b, p), theirs: make([]result, len(tools)), manifest: p.manifest(b)}
	for i, tool := range tools {
		if tool.missing() == "" {
			row.theirs[i] = tool.measure(b, p)
		}
	}
	t.rows = append(t.rows, row)
}

// ownTime returns the time that processors worked for this process while f ran.
func ownTime(b *testing.B, f func()) time.Duration {
	b.Helper()
	before := usage(b)
	f()
	return usage(b) - before
}

func usage(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	must(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
