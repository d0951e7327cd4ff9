package budget_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/trusch/jamesd/internal/server/store"
	"github.com/trusch/jamesd/internal/server/store/boltstore"
)

// stormDevices is how many devices come at once, stormTime how long they are looked at.
const (
	stormDevices = 10_000
	stormTime    = 20 * time.Second
)

// measureStorm has devices come at once that have no session, to jamesd and to servers that
// do nothing, and then kills a jamesd at which a fleet waits: once as it is, and once so that
// it has lost the keys of its tickets.
func measureStorm(b *testing.B, m *machine, t *table) {
	s, empty := m.jamesd(b, b.TempDir()), m.empty(b)
	m.rush(b, s.addr) // many of them are new
	x, allowed, ratio := pairs(3, func() float64 { return m.rush(b, s.addr) }, func() float64 { return m.rush(b, empty) })
	t.add("devices come at once: rate of handshakes and polls against an empty net/http mTLS handler", ">= 90 %", ratio >= 0.9, "%.0f %% (%.0f/s against %.0f/s)", 100*ratio, x, allowed)
	s.stop()
	gated, bounded := m.emptyAs(b, emptyGated), m.emptyAs(b, emptyBounded)
	x, y, ratio := pairs(2, func() float64 { return m.rush(b, gated) }, func() float64 { return m.rush(b, bounded) })
	t.note("the same to empty handlers with a limit for handshakes: behind the gate, against net/http alone", "%.0f %% (%.0f/s against %.0f/s)", 100*ratio, x, y)
	measureRestarts(b, m, t, allowed)
}

// rush returns how many devices a second get through, from when all come until nearly all
// have been answered, or until they are looked at no more.
func (m *machine) rush(b *testing.B, addr string) float64 {
	b.Helper()
	n := min(stormDevices, openFiles(b)-1000)
	out := m.fleet(b, addr, "storm", n, "--duration", stormTime.String(), "--mode", "poll", "--interval", "1h", "--keep-alive", "0s").outcome(b)
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
}

// restart is one of a jamesd at which a fleet waits.
type restart struct {
	what                      string
	killed, ready, back, over time.Time
}

// measure kills jamesd and starts it again when between has returned.
func (r *restart) measure(b *testing.B, m *machine, s *server, n int, db string, between func()) *server {
	b.Helper()
	r.killed = time.Now()
	s.stop()
	between()
	s = m.jamesdAt(b, s.addr, db)
	r.ready = time.Now()
	s.waiting(b, n)
	r.back = time.Now()
	time.Sleep(2 * time.Second) // until the fleet has looked at itself
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
