package limit

import "time"

// Burst is for how many seconds requests may come at once.
const Burst = 20

// Request takes notice of a request. Where it is one too many, it returns the time after
// which the next one is not.
func (t *Table) Request(id string) (Reason, time.Duration) {
	if t.o.DeviceRequests > 0 {
		var ahead time.Duration
		now := t.now()
		s := t.shard(id)
		s.mu.Lock()
		d := s.device(id, now)
		d.due, ahead = take(d.due, now, t.o.DeviceRequests)
		s.mu.Unlock()
		if ahead > 0 {
			return t.meet(DeviceRequests), ahead
		}
	}
	if t.o.Requests > 0 {
		if ahead := t.takeOne(); ahead > 0 {
			return t.meet(Requests), ahead
		}
	}
	return Allowed, 0
}

// takeOne counts a request of all devices together.
func (t *Table) takeOne() time.Duration {
	now := t.now()
	for {
		due := t.due.Load()
		next, ahead := take(time.Duration(due), now, t.o.Requests)
		if ahead > 0 || t.due.CompareAndSwap(due, int64(next)) {
			return ahead
		}
	}
}

// take returns when the requests so far and one more would have come at the rate, or for
// how long there may be no other.
func take(due, now time.Duration, rate int) (next, ahead time.Duration) {
	due = max(due, now)
	if ahead := due - now; ahead > Burst*time.Second {
		return due, ahead - Burst*time.Second
	}
	return due + time.Second/time.Duration(rate), 0
}

// Work begins to work on a request, which is to be ended where it is allowed.
func (t *Table) Work() Reason {
	if over(&t.working, 1, int64(t.o.Concurrent)) {
		return t.meet(Concurrent)
	}
	return Allowed
}

// Rest ends what Work has begun.
func (t *Table) Rest() { t.working.Add(-1) }

// Working returns the number of requests that are worked on.
func (t *Table) Working() int64 { return t.working.Load() }

// Hold takes notice of n bytes more of a device's requests, which are to be dropped where
// they are allowed.
func (t *Table) Hold(id string, n int64) (r Reason) {
	if over(&t.bodies, n, t.o.Bodies) {
		return t.meet(Bodies)
	}
	t.of(id, func(d *device) {
		if t.o.DeviceBodies > 0 && d.bodies+n > t.o.DeviceBodies {
			t.bodies.Add(-n)
			r = t.meet(DeviceBodies)
			return
		}
		d.bodies += n
	})
	return r
}

// Drop ends what Hold has begun.
func (t *Table) Drop(id string, n int64) {
	t.bodies.Add(-n)
	t.of(id, func(d *device) { d.bodies -= n })
}

// Held returns the bytes of requests that are held.
func (t *Table) Held() int64 { return t.bodies.Load() }
