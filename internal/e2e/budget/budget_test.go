package budget_test

import (
	"os"
	"testing"
)

// emptyServer, in the environment, makes the test binary the server that idle
// polls are compared with; its value is the directory of the certificates. emptyWay is in
// which way.
const (
	emptyServer = "JAMES_BENCH_EMPTY_SERVER"
	emptyWay    = "JAMES_BENCH_EMPTY_WAY"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(emptyServer); dir != "" {
		serveEmpty(dir, os.Getenv(emptyWay))
		return
	}
	os.Exit(m.Run())
}

// BenchmarkBudgets prints the table. It measures once, however often it is told
// to run: run it with -benchtime 1x.
func BenchmarkBudgets(b *testing.B) {
	m := newMachine(b)
	t := &table{}
	b.Cleanup(func() { t.print(os.Stdout) })
	for _, part := range []struct {
		name    string
		measure func(b *testing.B, m *machine, t *table)
	}{
		{"polls", measurePolls},
		{"transaction", measureTransaction},
		{"install", measureInstall},
		{"links", measureLinks},
		{"agent", measureAgent},
	} {
		b.Run(part.name, func(b *testing.B) { part.measure(b, m, t) })
	}
}
