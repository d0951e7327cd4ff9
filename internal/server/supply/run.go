package supply

import (
	"context"
	"sync"
	"time"

	"github.com/trusch/jamesd/internal/server/fleet"
	"github.com/trusch/jamesd/pkg/james"
)

// Run makes ahead what devices are going to want, one thing after the other and at
// the lowest priority, until ctx is done.
func (s *Supply) Run(ctx context.Context) {
	var wg sync.WaitGroup
	wg.Go(func() { s.follow(ctx) })
	wg.Go(func() {
		yield()
		s.work(ctx)
	})
	wg.Wait()
}

// Pauses between two looks at the plans. A look at a large fleet takes a while, and
// may take one part in lookShare of the time.
const (
	lookPause = time.Second
	lookShare = 20
)

// follow looks at the plans whenever they have changed, and when the queue has room
// again for what it had none for.
func (s *Supply) follow(ctx context.Context) {
	for {
		start := time.Now()
		s.look(ctx)
		timer := time.NewTimer(max(lookPause, lookShare*time.Since(start)))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		select {
		case <-ctx.Done():
			return
		case <-s.fleet.Planned():
		case <-s.queue.room:
		}
	}
}

// work makes what is in the queue.
func (s *Supply) work(ctx context.Context) {
	for ctx.Err() == nil {
		if s.step(ctx) {
			continue
		}
		select {
		case <-ctx.Done():
		case <-s.queue.wake:
		}
	}
}

// step makes the next thing, and reports whether there was any. It is for one
// goroutine.
func (s *Supply) step(ctx context.Context) bool {
	var busy bool
	s.current, busy = s.makePatches(ctx, s.current)
	return busy || s.makeAhead(ctx)
}

// look finds out what is needed: patches for plans, for which a device waits first,
// then those to packets that are likely to be wanted; and the streams of plans that
// several devices have.
func (s *Supply) look(ctx context.Context) {
	var pairs []pair
	var predicted []*james.BlobsRequest
	wanted := make(map[james.Digest]int)
	for _, need := range s.fleet.Needs() {
		pairs = append(pairs, s.pairsOf(&need)...)
		for i := range need.Plan.Steps {
			if new := need.Plan.Steps[i].New; new != nil {
				wanted[new.Digest] += need.Devices
			}
		}
		if need.Devices >= many && len(predicted) < maxAhead {
			if req := s.predict(ctx, &need); req != nil {
				predicted = append(predicted, req)
			}
		}
	}
	for _, next := range s.fleet.Successions() {
		pairs = append(pairs, pair{next.Old, next.New})
	}
	s.ahead.plan(wanted, predicted)
	s.queue.plan(pairs)
}

// pairsOf returns what is installed and what of it a plan brings a successor of.
func (s *Supply) pairsOf(need *fleet.Need) (all []pair) {
	for i := range need.Plan.Steps {
		new := need.Plan.Steps[i].New
		if new == nil {
			continue
		}
		for _, app := range need.Installed {
			old := s.fleet.Known(app.Digest)
			if old != nil && old.Digest != new.Digest && areRelated(old, new) {
				all = append(all, pair{app.Digest, new.Digest})
			}
		}
	}
	return all
}
