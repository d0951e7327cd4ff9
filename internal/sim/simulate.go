package sim

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/trusch/jamesd/internal/config"
	"github.com/trusch/jamesd/pkg/james"
)

// simulate is one run: the fleet is made, simulated, and what was measured is printed.
// A signal ends it early.
func simulate(ctx context.Context, p config.Process, s *settings) error {
	f, err := newFleet(ctx, s)
	if err != nil {
		return unlessStopped(ctx, err)
	}
	a, err := newAdmin(f)
	if err != nil {
		return unlessStopped(ctx, err)
	}
	if a != nil {
		defer a.close()
	}
	show := newProgress(p.Err)
	defer show.clear()
	if err := f.certify(ctx, show.step("making certificates", s.devices)); err != nil {
		return unlessStopped(ctx, err)
	}
	if a != nil {
		if err := a.prepare(ctx, show.step("setting desired states", s.devices)); err != nil {
			return unlessStopped(ctx, err)
		}
	}
	f.simulate(ctx, a, show)
	show.clear()
	if err := printOutcome(p.Out, s.output, f.outcome()); err != nil {
		return james.Cannot("write", "what was measured", err)
	}
	return f.verdict()
}

// unlessStopped is how a run ends before anything could be measured.
func unlessStopped(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		err = james.Errorf(james.KindInterrupted, "", "stopped before any device came")
	}
	return james.Cannot("simulate", "a fleet", err)
}

// simulate runs the devices, the admin and the look at them for --duration.
func (f *fleet) simulate(ctx context.Context, a *admin, show *progress) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	if f.s.duration > 0 {
		// With a deadline of its own, a dial would fail shortly before ctx does.
		defer time.AfterFunc(f.s.duration, stop).Stop()
	}
	var beside sync.WaitGroup
	if a != nil {
		beside.Go(func() { a.run(ctx) })
	}
	beside.Go(func() { f.watch(ctx, show) })
	f.run(ctx)
	beside.Wait()
}

// watch looks at the fleet once a second.
func (f *fleet) watch(ctx context.Context, show *progress) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var before sample
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := f.m.sample()
		show.line("%.0f s: %d of %d connected, %d polls open, %d handshakes/s, %d polls/s, %d plans, %d errors", now.Seconds, now.Connected,
			f.s.devices, now.Asking, now.Full+now.Resumed-before.Full-before.Resumed, now.Polls-before.Polls, now.Plans, now.Errors)
		before = now
	}
}

// verdict fails where no server has taken any of the devices.
func (f *fleet) verdict() error {
	if f.accepted() > 0 || f.m.failed.Load() == 0 {
		return nil
	}
	why := "no device could connect"
	if name := f.m.mostly(); name != "" {
		why += ", mostly: " + name
	}
	return james.Cannot("simulate", "a fleet", james.Errorf(james.KindUnavailable, f.s.addr, "%s", why)).(*james.Error).
		WithHint("Is there a jamesd at this address, and are --ca and --ca-key those of its authority?")
}

// mostly returns the name of the most frequent error, "" where there was none.
func (m *measure) mostly() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	best := ""
	for name, n := range m.errors {
		if best == "" || n > m.errors[best] || n == m.errors[best] && name < best {
			best = name
		}
	}
	return best
}

// progress is a line on a terminal that is written again and again; elsewhere it is
// nothing.
type progress struct {
	w     io.Writer // nil where there is none
	mu    sync.Mutex
	shown time.Time // zero where nothing is
}

// redraw is the least time between two lines.
const redraw = 100 * time.Millisecond

func newProgress(w io.Writer) *progress {
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return &progress{w: w}
	}
	return &progress{}
}

// line replaces the line.
func (p *progress) line(format string, args ...any) {
	if p.w == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if now := time.Now(); now.Sub(p.shown) >= redraw {
		fmt.Fprintf(p.w, "\r\x1b[K"+format, args...)
		p.shown = now
	}
}

// step returns what tells how much of a step is done.
func (p *progress) step(what string, total int) func(int) {
	return func(n int) { p.line("%s: %d of %d", what, n, total) }
}

// clear takes the line away.
func (p *progress) clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.shown.IsZero() {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.shown = time.Time{}
	}
}
