package fleet

import (
	"context"
	"sync"
	"time"

	"github.com/trusch/jamesd/pkg/james"
)

// Limits of the calls that nobody waits for.
const (
	followTimeout = 30 * time.Second // of one look for changes
	saveTimeout   = 10 * time.Second // of writing last-seen times
)

// Run follows what other processes change, writes when devices were last seen,
// collects unused blobs, and unpacks archives of which only the whole was kept,
// until ctx is done. It then writes the last-seen
// times once more, and fails when that does.
func (f *Fleet) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	wg.Go(func() { f.every(ctx, f.o.FollowInterval, "follow", limited(followTimeout, f.refresh)) })
	wg.Go(func() { f.every(ctx, f.o.FollowInterval, "watch-events", limited(followTimeout, f.watchEvents)) })
	wg.Go(func() { f.every(ctx, rateEvery, "rate", f.sampleRate) })
	wg.Go(func() { f.every(ctx, f.o.SeenInterval, "save-seen", limited(saveTimeout, f.saveSeen)) })
	wg.Go(func() { f.every(ctx, f.o.CollectInterval, "collect", f.collect) })
	wg.Go(func() { f.unpackAlways(ctx) })
	wg.Wait()
	return limited(saveTimeout, f.saveSeen)(context.WithoutCancel(ctx))
}

// every does the job at each interval until ctx is done. It logs when the job
// begins to fail and when it works again, not every time.
func (f *Fleet) every(ctx context.Context, interval time.Duration, name string, job func(context.Context) error) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		err := job(ctx)
		if ctx.Err() != nil {
			return
		}
		switch log := f.o.Log.WithField("job", name); {
		case err != nil && !failing:
			log.WithError(err).WithField("kind", james.KindOf(err)).Warn("background job fails")
		case err == nil && failing:
			log.Info("background job works again")
		}
		failing = err != nil
	}
}

// limited returns job with a time limit.
func limited(limit time.Duration, job func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		return job(ctx)
	}
}
