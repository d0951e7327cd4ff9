package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/trusch/jamesd/internal/e2e/powercut/load"
)

// phase is what jamesc is doing, as it can be seen from outside.
type phase int

// The phases, in their order.
const (
	waiting phase = iota
	downloading
	staging
	applying   // from the first script to the end of the last
	committing // and cleaning up
	done
	recovering
)

var phaseNames = [...]string{"waiting", "download", "staging", "applying", "commit", "done", "recovery"}

func (p phase) String() string { return phaseNames[p] }

// leavesWork reports whether a cut in the phase leaves something to recover.
func (p phase) leavesWork() bool { return p >= staging && p != done }

// durations is how long each phase usually takes.
type durations struct {
	mu    sync.Mutex
	usual map[phase]time.Duration
}

func newDurations() durations { return durations{usual: map[phase]time.Duration{}} }

// of returns a second for a phase that was not seen yet.
func (d *durations) of(p phase) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	if known, ok := d.usual[p]; ok {
		return known
	}
	return time.Second
}

func (d *durations) saw(p phase, took time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if known, ok := d.usual[p]; ok {
		took = (2*known + took) / 3
	}
	d.usual[p] = took
}

// moment is when the power is to be cut: a part of the usual time after a phase
// has begun.
type moment struct {
	phase phase
	part  float64
}

// chooseMoment chooses among the phases first, as they take times that differ a
// lot.
func (d *device) chooseMoment() *moment {
	phases := []phase{downloading, staging, staging, applying, applying, applying, committing, committing, committing, done}
	return &moment{phases[d.rnd.IntN(len(phases))], d.rnd.Float64()}
}

// progress follows one transaction on the console.
type progress struct {
	phase   phase
	began   map[phase]time.Time
	scripts int // that have not ended
}

// follow notes what a line of the console tells. A plan that fails is an error.
func (p *progress) follow(l line) error {
	now := p.phase
	switch text := l.text; {
	case strings.Contains(text, `msg="carrying out a plan"`), text == "@download" && p.phase < applying:
		now = downloading
	case text == "@downloaded" && p.phase < applying:
		now = staging
	case strings.HasPrefix(text, "@script "):
		now = applying
	case strings.HasPrefix(text, "@end of script "):
		if p.scripts--; p.scripts == 0 {
			now = committing
		}
	case strings.Contains(text, `msg="plan carried out"`):
		now = done
	case strings.Contains(text, `msg="plan failed"`):
		return fmt.Errorf("a plan failed: %s", text)
	}
	p.phase = now
	if p.began[now].IsZero() {
		p.began[now] = l.at
	}
	return nil
}

// travel has the device go to another state; start says that jamesc is not running
// yet. With a moment the power is to be cut then, and travel returns the cut; without
// one it returns when the device has arrived.
func (d *device) travel(ctx context.Context, m *machine, to load.State, start bool, when *moment) (*result, error) {
	if err := d.server.want(ctx, d.id, to); err != nil {
		return nil, err
	}
	if start {
		if err := m.tell("agent"); err != nil {
			return nil, err
		}
	}
	p := &progress{began: map[phase]time.Time{}, scripts: load.Scripts(d.at, to)}
	var timer <-chan time.Time
	for {
		l, cut, err := m.nextOr(ctx, timer)
		switch {
		case err != nil:
			return nil, err
		case cut:
			return newResult(d, to, p), nil
		}
		if err := p.follow(l); err != nil {
			return nil, err
		}
		if when != nil && timer == nil && p.phase >= when.phase {
			timer = time.After(time.Duration(when.part * float64(d.usual.of(when.phase))))
		}
		if p.phase == done && when == nil {
			d.learnFrom(p)
			return nil, nil
		}
	}
}

// nextOr is next, unless the timer is first.
func (m *machine) nextOr(ctx context.Context, timer <-chan time.Time) (l line, fired bool, err error) {
	select {
	case <-timer:
		return line{}, true, nil
	default:
	}
	if timer == nil {
		l, err = m.next(ctx)
		return l, false, err
	}
	select {
	case <-timer:
		return line{}, true, nil
	case l, ok := <-m.lines:
		if !ok {
			return l, false, errOff
		}
		if text, failed := strings.CutPrefix(l.text, "@failed "); failed {
			return l, false, fmt.Errorf("the guest says: %s", text)
		}
		return l, false, nil
	case <-ctx.Done():
		return line{}, false, ctx.Err()
	}
}

func (d *device) learnFrom(p *progress) {
	for _, at := range []phase{downloading, staging, applying, committing} {
		for next := at + 1; next <= done; next++ {
			if !p.began[at].IsZero() && !p.began[next].IsZero() {
				d.usual.saw(at, p.began[next].Sub(p.began[at]))
				break
			}
		}
	}
	d.usual.saw(done, 400*time.Millisecond)
}
