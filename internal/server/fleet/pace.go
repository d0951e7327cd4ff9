package fleet

import (
	"cmp"
	"math"
	"math/bits"
	"slices"
	"time"

	"github.com/trusch/jamesd/pkg/james"
)

// A device has a turn in every interval, at a place that follows from its id: the
// turns of a fleet are even over the interval, whatever it did before, and every
// jamesd on a database whose clock is right knows them without being told. A device
// that does not hold its polls begins each at its turn; of one that does, each ends
// there, and the next begins at once.

// leastTurn is the least time to the end of a poll that is held for the device's turn.
const leastTurn = time.Second

// drainSpread is the longest time after which a device whose poll was ended by
// Drain comes back: soon, to another jamesd or to the next one of this, and not
// all at once.
const drainSpread = 10 * time.Second

// tagInterval is the interval of devices that have the tag.
type tagInterval struct {
	tag      james.Tag
	interval time.Duration
}

// longestFirst returns the intervals of tags in the order in which they are looked
// for.
func longestFirst(of map[james.Tag]time.Duration) []tagInterval {
	var list []tagInterval
	for tag, interval := range of {
		list = append(list, tagInterval{tag, interval})
	}
	slices.SortFunc(list, func(a, b tagInterval) int {
		return cmp.Or(cmp.Compare(b.interval, a.interval), cmp.Compare(a.tag, b.tag))
	})
	return list
}

// intervalOf returns the time between two polls of a device, which may be nil:
// the longest of those of its tags, the standard one where none of them has one.
func (f *Fleet) intervalOf(d *device) time.Duration {
	if d != nil && len(f.intervals) > 0 {
		tags := d.systemTags()
		for _, t := range f.intervals {
			if tags.Has(t.tag) {
				return t.interval
			}
		}
	}
	return f.o.PollInterval
}

// turn is when a device's next turn is.
type turn struct {
	interval time.Duration // from one to the next
	next     time.Duration // until the next one that is not too soon
}

// turnOf returns the turn that matters to a poll that may be held for wait. A device
// that was not expected now does not come again before half its interval is over.
// Fleet.mu is held.
func (f *Fleet) turnOf(id string, d *device, wait time.Duration) turn {
	t := turn{interval: f.intervalOf(d)}
	least := t.interval / 2
	if wait > 0 {
		least = min(least, leastTurn)
	}
	t.next = untilTurn(f.o.Now(), id, t.interval, least)
	return t
}

// untilTurn returns the time from now to the device's first turn that is not before
// least is over.
func untilTurn(now time.Time, id string, interval, least time.Duration) time.Duration {
	turn, _ := bits.Mul64(hash(id), uint64(interval))
	next := time.Duration(turn) - time.Duration(now.UnixNano()%int64(interval))
	for next < least {
		next += interval
	}
	for next-interval >= least {
		next -= interval
	}
	return next
}

// hash returns a number for an id that is as good as random, the same in every
// process: FNV-1a, and then mixed, as ids often differ in their last digits only.
func hash(id string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(id) {
		h = (h ^ uint64(id[i])) * 1099511628211
	}
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

// held returns how long a poll is held that may be for wait: who would wait beyond
// its turn is answered at that, everybody else gets what was asked for.
func (t turn) held(wait time.Duration) time.Duration {
	if wait > t.interval {
		return t.next
	}
	return wait
}

// pace tells a device when to come back. One that would have its next poll held
// until its turn does so at once. An earlier jamesc looks at the interval only, from the
// beginning of one poll to that of the next, and asks to be held for no longer than that:
// its polls are spread by a fifth of the interval, each anew.
func (f *Fleet) pace(resp *james.PollResponse, t turn, wait time.Duration) {
	resp.Pause = t.next
	next := t.next
	switch {
	case f.isDrained():
		next = time.Second + time.Duration(f.o.Rand()*float64(drainSpread-time.Second))
		resp.Pause = next
	case wait > t.interval:
		resp.Pause, next = james.AtOnce, t.interval
	case wait > 0:
		next = time.Duration(float64(t.interval) * (1 - f.o.Rand()/5))
		if wait >= t.next {
			resp.Pause = james.AtOnce
		}
	}
	resp.Interval = max(1, int(math.Round(next.Seconds())))
}
