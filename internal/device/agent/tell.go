package agent

import (
	"context"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/trusch/jamesd/pkg/james"
)

const (
	// tellFirst is the time after which the server is told how far a plan is, and the
	// least time between two such messages. What takes less is not worth one.
	tellFirst = 5 * time.Second
	// tellLast is the most time between two of them.
	tellLast = time.Minute
	// tellStep is of how many percent more the server is told at once.
	tellStep = 5
	// tellLimit is how long the server may take to hear one.
	tellLimit = 30 * time.Second
	// rateOver is the time over which the rate is measured.
	rateOver = 30 * time.Second
)

// teller tells the server how far a plan is, by a goroutine of its own. Where the
// server does not hear it, that is no matter.
type teller struct {
	server Server
	log    logrus.FieldLogger
	now    func() time.Time
	stop   context.CancelFunc
	gone   chan struct{}

	mu      sync.Mutex
	p       james.Progress
	samples []sample // of the last rateOver
}

// sample is how much was there at a time.
type sample struct {
	at   time.Time
	done int64
}

// announce begins to tell the server of a phase of a plan, until end is called on what
// it returns.
func (a *Agent) announce(ctx context.Context, plan *james.Plan, phase james.Phase) *teller {
	ctx, stop := context.WithCancel(ctx)
	t := &teller{server: a.o.Server, log: a.o.Log, now: a.o.Now, stop: stop, gone: make(chan struct{}),
		p: james.Progress{Plan: plan.ID, Revision: plan.Revision, Phase: phase}}
	a.teller.Store(t)
	go t.run(ctx)
	return t
}

// end returns when nothing is told any more.
func (t *teller) end() {
	t.stop()
	<-t.gone
}

// rename says which revision of the same plan it is by now.
func (t *teller) rename(plan *james.Plan) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.p.Revision = plan.Revision
}

// set notes how many bytes of how many are there; while a plan is applied that is of
// no interest any more.
func (t *teller) set(done, total int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.p.Phase != james.Downloading {
		return
	}
	if len(t.samples) == 0 { // what was there before did not come now
		t.samples = append(t.samples, sample{t.now(), done})
	}
	t.p.Done, t.p.Total = min(done, total), total
}

func (t *teller) run(ctx context.Context) {
	defer close(t.gone)
	tick := time.NewTicker(tellFirst)
	defer tick.Stop()
	var told james.Progress
	var at time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		p := t.look()
		if !at.IsZero() && p.Percent() < told.Percent()+tellStep && t.now().Sub(at) < tellLast {
			continue
		}
		told, at = p, t.now()
		limited, cancel := context.WithTimeout(ctx, tellLimit)
		if err := t.server.Progress(limited, p); err != nil && ctx.Err() == nil {
			t.log.WithError(err).Debug("the server is not told of the progress")
		}
		cancel()
	}
}

// look returns how far the plan is, with the rate.
func (t *teller) look() james.Progress {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	for len(t.samples) > 1 && now.Sub(t.samples[0].at) > rateOver {
		t.samples = t.samples[1:]
	}
	t.p.Rate = 0
	if len(t.samples) > 0 {
		if first := t.samples[0]; now.After(first.at) && t.p.Done > first.done {
			t.p.Rate = int64(float64(t.p.Done-first.done) / now.Sub(first.at).Seconds())
		}
	}
	t.samples = append(t.samples, sample{now, t.p.Done})
	return t.p
}
