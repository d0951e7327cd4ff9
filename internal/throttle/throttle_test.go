package throttle_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trusch/jamesd/internal/throttle"
)

// slack is what is not lost of the rate, as a time.
const slack = 10 * time.Millisecond

// TestLateTimers: who sends all the time has the whole rate, though each wait takes a
// millisecond longer than it should.
func TestLateTimers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		limit, start := throttle.New(1_000_000), time.Now()
		for range 1000 {
			if err := limit.Wait(t.Context(), 2000); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Millisecond)
		}
		if took := time.Since(start); took > 2*time.Second+slack {
			t.Errorf("2 MB at 1 MB/s took %s", took)
		}
	})
}

func TestThrottle(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		rate    int64
		readers int
		chunk   int // bytes
		chunks  int // of each reader
		want    time.Duration
	}{
		"one reader":        {rate: 20_000, readers: 1, chunk: 16 << 10, chunks: 100, want: 81_920 * time.Millisecond},
		"several readers":   {rate: 20_000, readers: 4, chunk: 16 << 10, chunks: 25, want: 81_920 * time.Millisecond},
		"a byte at a time":  {rate: 1000, readers: 1, chunk: 1, chunks: 5000, want: 5 * time.Second},
		"slower than chunk": {rate: 1000, readers: 1, chunk: 64 << 10, chunks: 2, want: 131_072 * time.Millisecond},
		"no limit":          {readers: 2, chunk: 1 << 30, chunks: 1000},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				limit := throttle.New(row.rate)
				start := time.Now()
				var readers sync.WaitGroup
				for range row.readers {
					readers.Go(func() {
						for range row.chunks {
							if err := limit.Wait(t.Context(), row.chunk); err != nil {
								t.Error(err)
							}
						}
					})
				}
				readers.Wait()
				if took := time.Since(start); took < row.want-slack-time.Millisecond || took > row.want+time.Millisecond {
					t.Errorf("took %s, want %s", took, row.want)
				}
			})
		})
	}
}

// TestNoSavings: who was idle has no more afterwards.
func TestNoSavings(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		limit := throttle.New(1000)
		time.Sleep(time.Hour)
		start := time.Now()
		if err := limit.Wait(t.Context(), 5000); err != nil || time.Since(start) != 5*time.Second-slack {
			t.Errorf("%v after %s", err, time.Since(start))
		}
	})
}

func TestWaitEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		if err := throttle.New(1).Wait(ctx, 1000); err == nil || time.Since(start) != time.Second {
			t.Errorf("%v after %s", err, time.Since(start))
		}
	})
}
