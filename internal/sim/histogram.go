package sim

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// A histogram counts times in buckets that are at most 1/32 apart: exact enough for
// a percentile, and of one size however much is counted. It is safe for concurrent
// use; its zero value is empty.
type histogram struct {
	buckets [bucketCount]atomic.Uint32
	count   atomic.Uint64
	max     atomic.Int64 // nanoseconds
}

const (
	// fine is how many bits of a number of microseconds tell buckets apart.
	fine        = 5
	bucketCount = (40 - fine + 1) << fine // up to 2^40 µs, twelve days
)

// bucketOf returns the bucket of d, the last one for all that is longer.
func bucketOf(d time.Duration) int {
	us := uint64(max(0, d.Microseconds()))
	if us < 1<<fine {
		return int(us)
	}
	shift := bits.Len64(us) - fine - 1
	return min((shift+1)<<fine+int(us>>shift)&(1<<fine-1), bucketCount-1)
}

// limitOf returns the end of a bucket.
func limitOf(bucket int) time.Duration {
	if bucket < 1<<fine {
		return time.Duration(bucket+1) * time.Microsecond
	}
	shift := bucket>>fine - 1
	first := bucket&(1<<fine-1) + 1<<fine
	return time.Duration((first+1)<<shift) * time.Microsecond
}

func (h *histogram) add(d time.Duration) {
	h.buckets[bucketOf(d)].Add(1)
	h.count.Add(1)
	for old := h.max.Load(); int64(d) > old && !h.max.CompareAndSwap(old, int64(d)); {
		old = h.max.Load()
	}
}

// quantile returns the time within which that part of what was counted is, q in [0,1].
func (h *histogram) quantile(q float64) time.Duration {
	total := h.count.Load()
	if total == 0 {
		return 0
	}
	want, seen := uint64(q*float64(total-1))+1, uint64(0)
	for i := range h.buckets {
		if seen += uint64(h.buckets[i].Load()); seen >= want && i < bucketCount-1 {
			return min(limitOf(i), h.longest())
		}
	}
	return h.longest()
}

func (h *histogram) longest() time.Duration { return time.Duration(h.max.Load()) }
