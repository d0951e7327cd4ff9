package fleet

import (
	"context"
	"sync"
	"time"

	"github.com/trusch/jamesd/pkg/james"
)

// The rate of polls is that of the last rateSamples times rateEvery.
const (
	rateEvery   = 5 * time.Second
	rateSamples = 12
)

// rate knows how many polls were answered at some times.
type rate struct {
	mu      sync.Mutex
	samples []sample // the oldest first
}

type sample struct {
	at time.Time
	n  uint64
}

// sampleRate is to be called every rateEvery.
func (f *Fleet) sampleRate(context.Context) error {
	r := &f.rate
	r.mu.Lock()
	defer r.mu.Unlock()
	r.samples = append(r.samples[max(0, len(r.samples)-rateSamples+1):], sample{time.Now(), f.counters.polls()})
	return nil
}

// pollStatus returns how polls go.
func (f *Fleet) pollStatus() james.PollStatus {
	f.mu.Lock()
	s := james.PollStatus{Held: f.waiting}
	f.mu.Unlock()
	r := &f.rate
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.samples) == 0 {
		return s
	}
	if took := time.Since(r.samples[0].at).Seconds(); took > 0 {
		s.Rate = float64(f.counters.polls()-r.samples[0].n) / took
	}
	return s
}
