package budget_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/trusch/jamesd/internal/server/store"
	"github.com/trusch/jamesd/internal/server/store/boltstore"
)

// rush is devices without a session that come at once, and how long they are looked at.
type rush struct {
	devices int
	time    time.Duration
}

// storm is what two processors can serve while it is looked at, overload is more than they can
// before handshakes are late.
var (
	storm    = rush{10_000, 20 * time.Second}
	overload = rush{15_000, 25 * time.Second}
)

// measureStorm has devices come at once that have no session, to jamesd and to servers that
// do nothing, and then kills a jamesd at which a fleet waits: once as it is, and once so that
// it has lost the keys of its tickets.
func measureStorm(b *testing.B, m *machine, t *table) {
	behind := *m
	behind.behind = true
	s, empty := behind.jamesd(b, b.TempDir()), behind.empty(b)
	storm.rate(b, m, s.addr) // many of them are new
	x, y, ratio := pairs(3, func() float64 { return storm.rate(b, m, s.addr) }, func() float64 { return storm.rate(b, m, empty) })
	t.add("devices come at once: rate of handshakes and polls against an empty net/http mTLS handler", ">= 90 %", ratio >= 0.9, "%.0f %% (%.0f/s against %.0f/s)", 100*ratio, x, y)
	s.stop()
	allowed := y
	gated, bounded := behind.emptyAs(b, emptyGated), behind.emptyAs(b, emptyBounded)
	x, y, ratio = pairs(2, func() float64 { return overload.rate(b, m, gated) }, func() float64 { return overload.rate(b, m, bounded) })
	t.note("more than can be served, to empty handlers that limit handshakes: behind the gate, against net/http alone", "%.1fx (%.0f/s against %.0f/s)", ratio, x, y)
	measureRestarts(b, m, t, allowed)
}

// rate returns how many devices a second get through, from when all come until nearly all
// have been answered, or until they are looked at no more.
func (r rush) rate(b *testing.B, m *machine, addr string) float64 {
	b.Helper()
	n := min(r.devices, openFiles(b)-1000)
	out := m.fleet(b, addr, "storm", n, "--duration", r.time.String(), "--mode", "poll", "--interval", "1h", "--keep-alive", "0s").outcome(b)
	return out.rate(0.95 * float64(n))
}

// rate returns how many polls a second were answered until there were so many.
func (o *simOutcome) rate(enough float64) float64 {
	before := simSample{}
	for _, s := range o.Line {
		if polls := float64(s.Polls); polls >= enough {
			part := (enough - float64(before.Polls)) / (polls - float64(before.Polls))
			return enough / (before.Seconds + part*(s.Seconds-before.Seconds))
		}
		before = s
	}
	return float64(before.Polls) / before.Seconds
}

// measureRestarts has a fleet wait, and notes how long it takes to be back, against how
// long the handshakes alone would at a rate.
func measureRestarts(b *testing.B, m *machine, t *table, rate float64) {
	n, db := min(deviceCount, openFiles(b)-1000), b.TempDir()
	s := m.jamesd(b, db)
	fleet := m.fleet(b, s.addr, "back", n, "--duration", "0", "--boot", "20s", "--interval", "5m")
	s.waiting(b, n)
	kept := &restart{what: "jamesd killed and started again: until all are held"}
	s = kept.measure(b, m, s, n, db, func() {})
	lost := &restart{what: "likewise, the keys of the session tickets lost"}
	s = lost.measure(b, m, s, n, db, func() { loseKeys(b, db) })
	out := fleet.end(b)
	s.stop()
	for _, r := range []*restart{kept, lost} {
		until, after := out.at(r.killed), out.at(r.over)
		full, resumed := after.Full-until.Full, after.Resumed-until.Resumed
		took := r.back.Sub(r.ready).Seconds()
		t.note(r.what, "%.1f s after it is ready (%d devices), %.1f times what %.0f handshakes/s take; %d handshakes, %.0f/s, %.0f %% resumed; %d errors beyond the broken connections",
			took, n, took*rate/float64(n), rate, full+resumed, float64(full+resumed)/took, 100*float64(resumed)/float64(full+resumed), after.Errors-until.Errors-n)
	}
	t.note("errors from when the fleet came until it went, by kind", "%v", out.Errors)
}

// restart is one of a jamesd at which a fleet waits.
type restart struct {
	what                      string
	killed, ready, back, over time.Time
}

// look is how long it takes until the fleet has looked at itself, which it does each second.
const look = 2 * time.Second

// measure kills jamesd and starts it again when between has returned.
func (r *restart) measure(b *testing.B, m *machine, s *server, n int, db string, between func()) *server {
	b.Helper()
	time.Sleep(look)
	r.killed = time.Now()
	s.stop()
	between()
	s = m.jamesdAt(b, s.addr, db)
	r.ready = time.Now()
	s.waiting(b, n)
	r.back = time.Now()
	time.Sleep(look)
	r.over = time.Now()
	return s
}

// loseKeys takes the keys of session tickets out of the store in a directory.
func loseKeys(b *testing.B, db string) {
	b.Helper()
	s, err := boltstore.Open(b.Context(), filepath.Join(db, "jamesd.db"))
	must(b, err)
	row, _, err := s.Secrets().Update(b.Context(), "tls-session-tickets", func(*store.Secret) (*store.Secret, error) { return nil, nil })
	must(b, err)
	if row != nil {
		b.Fatal("the keys are still there")
	}
	must(b, s.Close())
}
