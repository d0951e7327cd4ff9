package logging_test

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/trusch/jamesd/internal/logging"
)

// TestBusy: of many who log at a time, beside a terminal that takes its time, each line
// comes out whole and once, and those of one in their order.
func TestBusy(t *testing.T) {
	t.Parallel()
	const senders, each = 50, 40
	var out strings.Builder
	log, flush, err := logging.NewBusy(&out, "info", "text")
	must(t, err)
	var work sync.WaitGroup
	for s := range senders {
		work.Go(func() {
			for n := range each {
				log.WithField("n", fmt.Sprintf("%d/%d", s, n)).Info("line")
			}
		})
	}
	work.Wait()
	flush()
	next := make(map[int]int)
	for line := range strings.Lines(out.String()) {
		var s, n int
		_, rest, _ := strings.Cut(line, " n=")
		if _, err := fmt.Sscanf(rest, "%d/%d\n", &s, &n); err != nil || next[s] != n {
			t.Fatalf("after %d lines of %d comes %q", next[s], s, line)
		}
		next[s]++
	}
	for s := range senders {
		if next[s] != each {
			t.Errorf("%d lines of %d came out, want %d", next[s], s, each)
		}
	}
}

// TestBusyDoesNotWait: who logs while a line is being written goes on, until too much
// waits; nothing of that is lost.
func TestBusyDoesNotWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		in, out := io.Pipe()
		log, flush, err := logging.NewBusy(out, "info", "text")
		must(t, err)
		go log.Info("the first") // nobody reads
		synctest.Wait()
		log.Info("the second")
		var came sync.WaitGroup
		came.Go(func() {
			for range 3 {
				log.Info(strings.Repeat("x", 1<<20))
			}
		})
		synctest.Wait()
		var got []byte
		go func() {
			came.Wait()
			flush()
			out.Close()
		}()
		got, err = io.ReadAll(in)
		must(t, err)
		if n := strings.Count(string(got), "\n"); n != 5 || !strings.Contains(string(got), "the second") {
			t.Errorf("%d lines came out", n)
		}
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
