package limit

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/trusch/jamesd/internal/backoff"
	"github.com/trusch/jamesd/internal/throttle"
)

// How many bytes are paid for at once. Those who send take turns, so the less that is, the
// sooner it is somebody's turn; the more, the less it costs.
const (
	leastPiece = 512
	mostPiece  = 64 << 10
	// turns is how many of them one who sends has in a second, if they are not larger
	// or smaller than that.
	turns = 4
)

// pacing is what those who send have in common.
type pacing struct {
	rate   *throttle.Throttle // nil without a limit
	sends  atomic.Int64       // how many do
	waited [reasons]atomic.Int64
}

func newPacing(rate int64) pacing { return pacing{rate: throttle.New(rate)} }

// Pacer holds what one answer sends down to the rates. It is for one goroutine. A nil Pacer
// holds nothing up.
type Pacer struct {
	table *Table
	id    string
	rate  *throttle.Throttle // of the device, nil without a limit
}

// Pace returns what holds an answer to a device down to the rates, which is to be closed:
// nil where there are none. It fails with Rate where so many are being sent that each would
// get less than what is of use.
func (t *Table) Pace(id string) (*Pacer, Reason) {
	if t.o.DeviceRate <= 0 && t.o.Rate <= 0 {
		return nil, Allowed
	}
	if over(&t.pacing.sends, 1, max(t.o.Rate/throttle.Least, min(t.o.Rate, 1))) {
		return nil, t.meet(Rate)
	}
	p := &Pacer{table: t, id: id}
	if t.o.DeviceRate > 0 {
		t.of(id, func(d *device) {
			if d.rate == nil {
				d.rate = throttle.New(t.o.DeviceRate)
			}
			d.paced++
			p.rate = d.rate
		})
	}
	return p, Allowed
}

// PaceOther returns what holds an answer to somebody who is no device down to the rate of
// all. It is never one too many.
func (t *Table) PaceOther() *Pacer {
	if t.o.Rate <= 0 {
		return nil
	}
	t.pacing.sends.Add(1)
	return &Pacer{table: t}
}

// Close ends what Pace has begun.
func (p *Pacer) Close() {
	if p == nil {
		return
	}
	p.table.pacing.sends.Add(-1)
	if p.rate != nil {
		p.table.of(p.id, func(d *device) { d.paced-- })
	}
}

// Piece returns how many bytes to send next at most.
func (p *Pacer) Piece() int {
	if p == nil {
		return mostPiece
	}
	n := int64(mostPiece)
	if rate := p.table.o.Rate; rate > 0 {
		n = min(n, rate/turns/max(1, p.table.pacing.sends.Load()))
	}
	if p.rate != nil {
		n = min(n, p.table.o.DeviceRate/turns)
	}
	return int(max(n, leastPiece))
}

// Wait returns when the next n bytes may be sent. It fails when ctx is done before that.
func (p *Pacer) Wait(ctx context.Context, n int) error {
	if p == nil {
		return nil
	}
	wait, r := p.rate.Pay(n), DeviceRate
	if all := p.table.pacing.rate.Pay(n); all > wait { // of both at once, or one would be waited for while the other is lost
		wait, r = all, Rate
	}
	if wait > 0 {
		p.table.pacing.waited[r].Add(int64(wait))
	}
	return backoff.Sleep(ctx, wait)
}

// Waited returns for how long answers were held up by DeviceRate or by Rate, all of them
// together.
func (t *Table) Waited(r Reason) time.Duration { return time.Duration(t.pacing.waited[r].Load()) }
