package supply

import (
	"sync/atomic"

	"github.com/trusch/jamesd/internal/server/cache"
)

// Stats are numbers for monitoring, counted from the start of the process unless
// they say otherwise.
type Stats struct {
	Streams uint64 // that were made for devices that waited
	Hits    uint64 // requests that were answered with a stream that was there
	Resumed uint64 // requests that went on with a stream
	Ahead   uint64 // streams that were made before they were asked for

	Patches    uint64 // that were made and are used
	PatchBytes uint64 // that those take
	Useless    uint64 // patches that would save too little
	Failed     uint64 // patches that could not be made
	Queued     int    // pairs of packets that wait for their patches, now

	Cache cache.Stats
}

type counters struct {
	streams, hits, resumed, ahead        atomic.Uint64
	patches, patchBytes, useless, failed atomic.Uint64
}

// Stats returns the numbers as they are now.
func (s *Supply) Stats() Stats {
	c := &s.counters
	return Stats{
		Streams: c.streams.Load(), Hits: c.hits.Load(), Resumed: c.resumed.Load(), Ahead: c.ahead.Load(),
		Patches: c.patches.Load(), PatchBytes: c.patchBytes.Load(), Useless: c.useless.Load(), Failed: c.failed.Load(),
		Queued: s.queue.waiting(), Cache: s.cache.Stats(),
	}
}
