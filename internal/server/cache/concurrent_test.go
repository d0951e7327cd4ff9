package cache_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/trusch/jamesd/internal/server/cache"
	"github.com/trusch/jamesd/pkg/james"
)

// TestOneMaking checks that many who ask at once have the bytes made once.
func TestOneMaking(t *testing.T) {
	t.Parallel()
	c := open(t, t.TempDir(), roomy)
	p := content(1, 20*cache.Block)
	var makings atomic.Int32
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			e, err := c.Fill(t.Context(), "k", func(_ context.Context, w io.Writer) error {
				makings.Add(1)
				_, err := io.CopyBuffer(w, io.LimitReader(bytes.NewReader(p), int64(len(p))), make([]byte, 777))
				return err
			})
			if err != nil {
				t.Error(err)
				return
			}
			defer e.Close()
			if got, err := io.ReadAll(e); err != nil || !bytes.Equal(got, p) {
				t.Errorf("%d bytes, error %v", len(got), err)
			}
		})
	}
	wg.Wait()
	if makings.Load() != 1 {
		t.Errorf("made %d times", makings.Load())
	}
	if s := c.Stats(); s.Misses != 1 || s.Hits != 49 {
		t.Errorf("stats are %+v", s)
	}
}

var errSometimes = james.Errorf(james.KindDenied, "making", "it fails sometimes")

// TestManyAtOnce lets many use few keys of a cache that is too small, with makings
// that fail and readers that give up, and checks that nobody reads what is not right.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	c := open(t, t.TempDir(), 30*cache.Page)
	var wg sync.WaitGroup
	var whole atomic.Int32
	for worker := range uint64(8) {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(worker, 2))
			for range 150 {
				if visit(t, c, r) {
					whole.Add(1)
				}
			}
		})
	}
	wg.Wait()
	c.Quiet()
	if s := c.Stats(); s.Used > s.Limit || s.Evictions == 0 || s.Failed == 0 || s.Damaged != 0 || whole.Load() == 0 {
		t.Errorf("stats are %+v, %d were read to the end", s, whole.Load())
	}
}

func visit(t *testing.T, c *cache.Cache, r *rand.Rand) bool {
	n := r.IntN(12)
	p := content(uint64(n), n*cache.Block/3)
	fails := r.IntN(4) == 0
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	e, err := c.Fill(ctx, fmt.Sprint(n), func(_ context.Context, w io.Writer) error {
		for i := 0; i < len(p); i += 5000 {
			if fails && i > len(p)/2 {
				return errSometimes
			}
			if _, err := w.Write(p[i:min(i+5000, len(p))]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		expected(t, err)
		return false
	}
	defer e.Close()
	if r.IntN(5) == 0 {
		cancel()
	}
	got, err := io.ReadAll(e)
	if !bytes.HasPrefix(p, got) || err == nil && len(got) != len(p) {
		t.Errorf("%d bytes of %d came, or others", len(got), len(p))
	}
	expected(t, err)
	return err == nil
}

func expected(t *testing.T, err error) {
	if err != nil && !errors.Is(err, errSometimes) && !errors.Is(err, cache.ErrNoRoom) && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
