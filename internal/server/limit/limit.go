// Package limit says whether a device may have what it asks for now: how many requests it
// sends, and how many transfers it has at a time, and all devices together.
//
// What is kept of a device is dropped a minute after it has last used any of it, so it is
// bounded by the devices that are active, which are known by their certificates. Asking
// allocates nothing for a device that is known, and devices do not wait for each other.
//
// The package knows no HTTP: whoever asks makes an answer of it.
package limit

import (
	"sync"
	"sync/atomic"
	"time"
)

// Options are the limits; 0 is none.
type Options struct {
	// Requests is how many requests a second a device may send. Burst times as many may
	// come at once.
	Requests int
	// DeviceTransfers is how many archives and streams a device may have sent to it at
	// a time, and Transfers all devices together.
	DeviceTransfers, Transfers int

	Now func() time.Time // time.Now
}

// Burst is for how many seconds a device's requests may come at once.
const Burst = 20

// Reason is the limit that was met.
type Reason int

// The reasons.
const (
	Allowed Reason = iota
	Requests
	DeviceTransfers
	Transfers
	reasons
)

// Table holds what devices have used of the limits. It is safe for concurrent use.
type Table struct {
	o         Options
	start     time.Time
	shards    [64]shard
	transfers atomic.Int64
	met       [reasons]atomic.Uint64
}

type shard struct {
	mu      sync.Mutex
	devices map[string]*device
	sweep   time.Duration // when it is due, from the start of the table
}

// device is what one has used.
type device struct {
	due       time.Duration // when all requests so far would have come at the rate
	transfers int
}

// New returns a table.
func New(o Options) *Table {
	if o.Now == nil {
		o.Now = time.Now
	}
	t := &Table{o: o, start: o.Now()}
	for i := range t.shards {
		t.shards[i].devices = make(map[string]*device)
	}
	return t
}

// Met returns how often a limit was met.
func (t *Table) Met(r Reason) uint64 { return t.met[r].Load() }

// Running returns the number of transfers.
func (t *Table) Running() int64 { return t.transfers.Load() }

// Request takes notice of a request. Where it is one too many, it returns the time after
// which the next one is not.
func (t *Table) Request(id string) (Reason, time.Duration) {
	if t.o.Requests <= 0 {
		return Allowed, 0
	}
	now := t.o.Now().Sub(t.start)
	each := time.Second / time.Duration(t.o.Requests)
	s := t.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.device(id, now)
	due := max(d.due, now)
	if ahead := due - now; ahead > Burst*time.Second {
		t.met[Requests].Add(1)
		return Requests, ahead - Burst*time.Second
	}
	d.due = due + each
	return Allowed, 0
}

// Begin begins a transfer, which is to be ended where it is allowed.
func (t *Table) Begin(id string) Reason {
	if n := t.transfers.Add(1); t.o.Transfers > 0 && n > int64(t.o.Transfers) {
		t.transfers.Add(-1)
		t.met[Transfers].Add(1)
		return Transfers
	}
	s := t.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.device(id, t.o.Now().Sub(t.start))
	if t.o.DeviceTransfers > 0 && d.transfers >= t.o.DeviceTransfers {
		t.transfers.Add(-1)
		t.met[DeviceTransfers].Add(1)
		return DeviceTransfers
	}
	d.transfers++
	return Allowed
}

// End ends a transfer.
func (t *Table) End(id string) {
	t.transfers.Add(-1)
	s := t.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.devices[id].transfers--
}

func (t *Table) shard(id string) *shard {
	h := uint32(2166136261)
	for i := range len(id) {
		h = (h ^ uint32(id[i])) * 16777619
	}
	return &t.shards[(h^h>>16)%uint32(len(t.shards))]
}

// device returns what is known of a device, and drops what need not be known of others
// once a minute; s.mu is held.
func (s *shard) device(id string, now time.Duration) *device {
	if now >= s.sweep {
		s.sweep = now + time.Minute
		for other, d := range s.devices {
			if d.transfers == 0 && d.due <= now && other != id {
				delete(s.devices, other)
			}
		}
	}
	d := s.devices[id]
	if d == nil {
		d = &device{}
		s.devices[id] = d
	}
	return d
}

// Known returns of how many devices something is kept.
func (t *Table) Known() int {
	n := 0
	for i := range t.shards {
		t.shards[i].mu.Lock()
		n += len(t.shards[i].devices)
		t.shards[i].mu.Unlock()
	}
	return n
}
