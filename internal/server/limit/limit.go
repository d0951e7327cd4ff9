// Package limit says whether a device may have what it asks for now, and how fast: how
// many requests it sends, what they bring, how many transfers it has at a time and how fast
// those are, and the same of all devices together.
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

// Options are the limits; 0 is none. Those that are named for a device are of each, the
// others of all together.
type Options struct {
	// DeviceRequests and Requests are how many requests a second there may be. Those of
	// Burst seconds may come at once.
	DeviceRequests, Requests int
	// Concurrent is how many requests may be worked on at a time.
	Concurrent int
	// DeviceBodies and Bodies are how many bytes of requests may be held at a time.
	DeviceBodies, Bodies int64
	// DeviceTransfers and Transfers are how many archives and streams may be sent at a time.
	DeviceTransfers, Transfers int
	// DeviceRate and Rate are how many bytes a second may be sent.
	DeviceRate, Rate int64

	Now func() time.Time // time.Now
}

// Reason is the limit that was met.
type Reason int

// The reasons.
const (
	Allowed Reason = iota
	DeviceRequests
	Requests
	Concurrent
	DeviceBodies
	Bodies
	DeviceTransfers
	Transfers
	DeviceRate
	Rate
	reasons
)

// settings are what the limits are called in jamesd's settings and in its metrics.
var settings = [reasons]string{
	DeviceRequests: "device-requests", Requests: "max-requests", Concurrent: "max-concurrent", DeviceBodies: "device-bodies", Bodies: "max-bodies",
	DeviceTransfers: "device-transfers", Transfers: "max-transfers", DeviceRate: "device-rate", Rate: "max-rate",
}

// String returns the setting.
func (r Reason) String() string { return settings[r] }

// Refusals returns the limits for which something is refused, each of which Met counts.
func Refusals() []Reason {
	return []Reason{DeviceRequests, Requests, Concurrent, DeviceBodies, Bodies, DeviceTransfers, Transfers, Rate}
}

// Table holds what devices have used of the limits. It is safe for concurrent use.
type Table struct {
	o      Options
	start  time.Time
	shards [64]shard
	met    [reasons]atomic.Uint64

	due                        atomic.Int64 // as device.due, of all; a time.Duration
	working, bodies, transfers atomic.Int64
	pacing                     pacing
}

type shard struct {
	mu      sync.Mutex
	devices map[string]*device
	sweep   time.Duration // when it is due, from the start of the table
}

// New returns a table.
func New(o Options) *Table {
	if o.Now == nil {
		o.Now = time.Now
	}
	t := &Table{o: o, start: o.Now(), pacing: newPacing(o.Rate)}
	for i := range t.shards {
		t.shards[i].devices = make(map[string]*device)
	}
	return t
}

// Met returns how often something was refused for a limit.
func (t *Table) Met(r Reason) uint64 { return t.met[r].Load() }

// meet counts that a limit was met, and returns it.
func (t *Table) meet(r Reason) Reason {
	t.met[r].Add(1)
	return r
}

func (t *Table) now() time.Duration { return t.o.Now().Sub(t.start) }

// over takes n more of what there may be most of, and takes none where that is too much;
// 0 is no limit.
func over(used *atomic.Int64, n, most int64) bool {
	if now := used.Add(n); most <= 0 || now <= most {
		return false
	}
	used.Add(-n)
	return true
}
