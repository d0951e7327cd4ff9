package sim

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/trusch/jamesd/internal/backoff"
	"github.com/trusch/jamesd/internal/sim/wire"
	"github.com/trusch/jamesd/pkg/james"
)

// device is one of the fleet. Its own goroutine has all of it but what mu guards.
type device struct {
	fleet *fleet
	m     *measure // of all that behave as it does
	id    string
	role  role
	turns int // of a device that does not behave
	tls   *tls.Config
	from  net.IP // nil for any

	tags     james.TagSet
	apps     []james.App
	revision uint64
	acked    james.Digest  // of the report that the server has
	pending  *james.Report // that the server has not got
	failure  *failure      // of the plan that failed last
	stuck    try           // the plan that has problems and no steps
	left     try           // the plan that the server wanted no more
	interval time.Duration
	turn     time.Time // for the next poll, as the server said; zero where it did not
	tries    int       // in vain since the last answer
	answered bool
	used     time.Time // when the connection was last

	mu     sync.Mutex
	conn   *wire.Conn // nil where there is none
	storm  *storm     // that ended the last one
	change change     // the one of its desired state that it is to get
}

// try identifies a plan that was tried: the same of another revision is another.
type try struct {
	plan     james.Digest
	revision uint64
}

// failure is a plan that was tried in vain.
type failure struct {
	try
	attempts int
	retryAt  time.Time
}

// change is one of a desired state that is under way.
type change struct {
	begun time.Time // zero where there is none
	kind  kind
}

// firstInterval is how long a device waits between polls before the server has said
// that; jamesc has the same.
const firstInterval = time.Minute

// run simulates the device until ctx ends.
func (d *device) run(ctx context.Context) {
	d.interval = firstInterval
	if d.fleet.s.interval > 0 {
		d.interval = d.fleet.s.interval
	}
	round := d.round
	switch d.role {
	case flooding:
		round = d.floods
	case stalling:
		round = d.stalls
	case garbling:
		round = d.garbles
	}
	for ctx.Err() == nil {
		d.rest(ctx, round(ctx))
	}
	d.close()
}

// round goes once through what an agent does, and returns how long it rests then.
func (d *device) round(ctx context.Context) time.Duration {
	started := time.Now()
	if err := d.deliver(ctx); err != nil {
		return d.lost(ctx, err)
	}
	known := d.known()
	answer, err := d.poll(ctx, known)
	if err != nil {
		return d.lost(ctx, err)
	}
	switch plan := answer.Plan; {
	case plan == nil || plan.Empty():
		d.idle(answer, known)
	case len(plan.Steps) == 0:
		if now := (try{plan.ID, plan.Revision}); d.stuck != now {
			d.stuck = now
			return 0
		}
	default:
		err := d.carryOut(ctx, plan)
		if err != nil && !d.outdated(err, plan) {
			return d.lost(ctx, err)
		}
		return 0
	}
	return d.untilTurn(started)
}

// leastRound is the least time between the starts of two polls that found nothing to
// do, whatever the server says.
const leastRound = time.Second

// untilTurn returns how long to rest after a poll that began at started.
func (d *device) untilTurn(started time.Time) time.Duration {
	rest := d.interval - time.Since(started)
	if !d.turn.IsZero() {
		rest = max(time.Until(d.turn), leastRound-time.Since(started))
	}
	if f := d.failure; f != nil && time.Until(f.retryAt) > 0 {
		rest = min(rest, time.Until(f.retryAt))
	}
	return max(0, rest)
}

// idle notes that the server has nothing to do for the device.
func (d *device) idle(answer james.PollResponse, known try) {
	if answer.Revision == 0 && known != (try{}) && !answer.Dropped {
		return
	}
	d.stuck, d.failure = try{}, nil
	if answer.Revision != 0 {
		d.revision = answer.Revision
	}
}

// outdated reports whether a download was refused for the first time as the server
// wants another plan carried out by now.
func (d *device) outdated(err error, plan *james.Plan) bool {
	var refused *refusal
	now := try{plan.ID, plan.Revision}
	if !errors.As(err, &refused) || refused.cause.Kind != james.KindDenied && refused.cause.Kind != james.KindNotFound || d.left == now {
		return false
	}
	d.left = now
	d.m.outdated.Add(1)
	return true
}

// known returns the plan that the server need not send again now.
func (d *device) known() try {
	if f := d.failure; f != nil && time.Until(f.retryAt) > 0 {
		return f.try
	}
	return d.stuck
}

// hold returns how long the next poll may be held, in whole seconds.
func (d *device) hold() time.Duration {
	if d.fleet.s.mode != modeHold || d.role == flooding {
		return 0
	}
	interval := d.interval
	if !d.turn.IsZero() {
		interval += d.interval/4 + time.Second // the server ends it at the device's turn
	}
	wait := min(d.fleet.s.hold, interval, james.MaxWait)
	if f := d.failure; f != nil && time.Until(f.retryAt) > 0 {
		wait = min(wait, time.Until(f.retryAt))
	}
	return (wait + time.Second - 1).Truncate(time.Second)
}

// lost counts an error and returns how long the server is left alone: as an agent
// does, and not less than the server asks for.
func (d *device) lost(ctx context.Context, err error) time.Duration {
	if ctx.Err() != nil {
		return 0
	}
	var refused *refusal
	if !errors.As(err, &refused) { // an answer leaves the connection as it is
		d.drop()
	}
	if !errors.Is(err, net.ErrClosed) { // but it was reset in a storm
		d.m.lost(nameOf(err))
	}
	d.tries++
	return james.Patience(err, backoff.Link(d.fleet.rand).After(d.tries), d.fleet.rand())
}

// rest waits, and closes the connection when it has been idle for --keep-alive.
func (d *device) rest(ctx context.Context, wait time.Duration) {
	if keep := d.fleet.s.keepAlive; wait > keep {
		_ = backoff.Sleep(ctx, keep) // of no matter how it ends
		d.close()
		wait -= keep
	}
	_ = backoff.Sleep(ctx, wait)
}
