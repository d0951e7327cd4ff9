package sim

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/trusch/jamesd/pkg/james"
)

// kind is what is measured by the time it takes.
type kind int

// The kinds, in the order in which they are printed.
const (
	handshakeFull    kind = iota
	handshakeResumed      // with the session of an earlier one
	pollKind              // one that is to be answered at once
	heldKind              // one that may be held: the time that it was
	changeOne             // from the beginning of a change of a device's desired state to the plan
	changeAll             // likewise, of all devices at once
	reportKind
	manifestKind
	downloadKind
	setKind   // a desired state, by the admin
	stallKind // from where a device stopped in the middle until the server gave up
	kindCount
)

var kindNames = [kindCount]string{
	"handshake, full", "handshake, resumed", "poll", "held poll", "change of one until its plan", "change of all until their plans",
	"report", "manifest", "download", "set desired state", "given up on",
}

// measure is what was measured so far of some devices. It is safe for concurrent use.
type measure struct {
	begun time.Time
	times [kindCount]histogram

	content atomic.Int64 // bytes of downloads

	connected, asking atomic.Int64 // now
	mostConnected     atomic.Int64
	plans             atomic.Int64
	committed, undone atomic.Int64
	outdated          atomic.Int64 // plans that gave way to others
	failed            atomic.Int64 // errors

	mu     sync.Mutex
	errors map[string]int64
	waves  []*wave
	last   map[waveKey]*wave
	storms []*storm
	line   []sample
}

func newMeasure() *measure {
	return &measure{begun: time.Now(), errors: map[string]int64{}, last: map[waveKey]*wave{}}
}

func (m *measure) took(k kind, d time.Duration) { m.times[k].add(d) }

// Limits of what is kept of one run.
const (
	maxNames   = 64   // names of errors
	maxWaves   = 1000 // the first ones
	maxSamples = 7200 // seconds
)

// lost counts what a device did not get, under a name, or under "other" where there are
// too many names.
func (m *measure) lost(name string) {
	m.failed.Add(1)
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, known := m.errors[name]; !known && len(m.errors) >= maxNames {
		name = "other"
	}
	m.errors[name]++
}

// connect counts a connection.
func (m *measure) connect() {
	now := m.connected.Add(1)
	for most := m.mostConnected.Load(); now > most && !m.mostConnected.CompareAndSwap(most, now); {
		most = m.mostConnected.Load()
	}
}

// wave is the devices that got one plan of one revision.
type wave struct {
	Plan     string    `json:"plan"`
	Revision uint64    `json:"revision"`
	Devices  int       `json:"devices"`
	First    time.Time `json:"first"`
	Last     time.Time `json:"last"`
}

type waveKey struct {
	plan     james.Digest
	revision uint64
}

// got notes that a device has a plan.
func (m *measure) got(plan *james.Plan) {
	now := time.Now()
	m.plans.Add(1)
	m.mu.Lock()
	defer m.mu.Unlock()
	key := waveKey{plan.ID, plan.Revision}
	w := m.last[key]
	if w == nil {
		if len(m.waves) >= maxWaves {
			return
		}
		w = &wave{Plan: plan.ID.Short(), Revision: plan.Revision, First: now}
		m.last[key] = w
		m.waves = append(m.waves, w)
	}
	w.Devices++
	w.Last = now
}

// storm is one in which all connections were reset.
type storm struct {
	at      time.Time
	devices int
	left    atomic.Int64 // that have not asked again
	over    atomic.Int64 // nanoseconds from at; 0 while it is not
}

// back notes that one of its devices has asked again.
func (s *storm) back() {
	if s.left.Add(-1) == 0 {
		s.over.Store(int64(time.Since(s.at)))
	}
}

// sample is how it stood at a time.
type sample struct {
	Seconds   float64 `json:"seconds"`
	Connected int64   `json:"connected"`
	Asking    int64   `json:"asking"` // polls that are not answered
	Full      uint64  `json:"handshakes_full"`
	Resumed   uint64  `json:"handshakes_resumed"`
	Polls     uint64  `json:"polls"` // answered
	Plans     int64   `json:"plans"`
	Errors    int64   `json:"errors"`
}

// sample returns how it stands, and keeps it.
func (m *measure) sample() sample {
	s := sample{
		Seconds: time.Since(m.begun).Seconds(), Connected: m.connected.Load(), Asking: m.asking.Load(),
		Full: m.times[handshakeFull].count.Load(), Resumed: m.times[handshakeResumed].count.Load(),
		Polls: m.times[pollKind].count.Load() + m.times[heldKind].count.Load(),
		Plans: m.plans.Load(), Errors: m.failed.Load(),
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.line) < maxSamples {
		m.line = append(m.line, s)
	}
	return s
}
