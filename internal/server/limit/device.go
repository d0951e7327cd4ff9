package limit

import (
	"time"

	"github.com/trusch/jamesd/internal/throttle"
)

// device is what one has used.
type device struct {
	due       time.Duration // when all requests so far would have come at the rate
	transfers int
	bodies    int64
	paced     int                // who holds rate
	rate      *throttle.Throttle // nil until something is sent
}

// idle reports whether nothing is to be known of the device any more.
func (d *device) idle(now time.Duration) bool {
	return d.transfers == 0 && d.bodies == 0 && d.paced == 0 && d.due <= now
}

// of calls f with what is known of a device, which nobody else has meanwhile.
func (t *Table) of(id string, f func(*device)) {
	now := t.now()
	s := t.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s.device(id, now))
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
			if other != id && d.idle(now) {
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
