package supply

import (
	"runtime"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/trusch/jamesd/internal/server/cache"
	"github.com/trusch/jamesd/internal/server/fleet"
)

// Options are what a Supply is made of. Zero values of the last group have defaults.
type Options struct {
	Fleet *fleet.Fleet
	Cache *cache.Cache
	Log   logrus.FieldLogger // default: logrus's standard logger
	// Scratch is a directory for files that have no names, default the system's for
	// temporary ones.
	Scratch string

	// Makers is how many streams that devices wait for are made at the same time,
	// default two for each processor; the others wait for their turn. Of those for which
	// the cache has no room twice as many go out at the same time, and no more.
	Makers int
	Now    func() time.Time // time.Now
}

// Supply makes streams. It is safe for concurrent use.
type Supply struct {
	fleet     *fleet.Fleet
	cache     *cache.Cache
	log       logrus.FieldLogger
	scratch   string
	manifests *manifests
	makers    chan struct{} // holds an element for each stream that is being made
	// waiting are the streams that wait to be made.
	waiting    atomic.Int64
	maxWaiting int64
	passing    chan struct{} // holds an element for each stream that goes out without the cache
	bypass     bypass
	pairings   *pairings
	queue      *queue
	ahead      *ahead
	current    *work // of the goroutine that makes patches
	counters   counters
}

// New returns a Supply. What it makes ends when the cache is closed.
func New(o Options) *Supply {
	if o.Makers <= 0 {
		o.Makers = 2 * runtime.GOMAXPROCS(0)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = logrus.StandardLogger()
	}
	return &Supply{
		fleet: o.Fleet, cache: o.Cache, log: o.Log, scratch: o.Scratch,
		manifests: newManifests(o.Fleet),
		pairings:  newPairings(),
		queue:     newQueue(),
		ahead:     newAhead(),
		makers:    make(chan struct{}, o.Makers), maxWaiting: maxWaiting,
		passing: make(chan struct{}, 2*o.Makers), bypass: bypass{now: o.Now},
	}
}
