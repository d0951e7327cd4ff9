// Package fleet is what jamesd does: it takes packets in, keeps what operators
// want of each device, tells devices what to do and remembers how it went.
//
// A Fleet holds the metadata of all packets, devices and desired states in
// memory and answers from there; an idle poll touches no store. It is the only
// writer of the stores in its process, applies its own writes at once, and
// follows those of other processes on the same store. Of two contents of a row
// the newer always wins, in whatever order they arrive.
//
// So it may be behind by Options.FollowInterval. That loses nothing and has nobody do a
// thing twice: every change is made to the row as the store has it; what an admin asks
// for is looked at after what is in the store was made known; so is what a device is to do
// that has just said something new, so that it is not told to undo what another process
// has told it to do; and what is not known here is looked for there before it is said not
// to exist. One case is
// left, a device that goes back to what it was when it was last seen here, and in the
// meantime told another process something else: its report counts as known here, and the
// store keeps the other one. The device is asked for its report again when that arrives,
// where its poll is held, and else with its next poll, as the digest that it polls with is
// not that of the row.
//
// What always holds: a plan that was handed out was computed from rows that are
// durable; a packet is in the store only after its archive and its manifest are,
// and is marked as having its contents only while each of its files' is a blob; a
// blob that a packet refers to is never deleted. A store that does not answer
// fails what needs it, and nothing else.
//
// The package knows nothing of HTTP, certificates and databases: callers have
// checked who asks, and for what role.
package fleet

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/trusch/jamesd/internal/archive"
	"github.com/trusch/jamesd/internal/server/blob"
	"github.com/trusch/jamesd/internal/server/store"
	"github.com/trusch/jamesd/pkg/james"
)

// Options are what a Fleet is made of. Store and Blobs must be set; every other
// field has a default for its zero value.
type Options struct {
	Store store.Store
	Blobs blob.Store
	Log   logrus.FieldLogger // default: logrus's standard logger
	// Now is the clock, default time.Now.
	Now func() time.Time
	// Rand returns numbers from [0,1) and is safe for concurrent use; default
	// math/rand/v2.
	Rand func() float64
	// Resolved is told how long computing a device's plan took. It must be quick: no
	// poll is answered meanwhile. By default nobody is.
	Resolved func(time.Duration)
	// Limits bound what an uploaded archive may hold.
	Limits archive.Limits
	// PollInterval is the time between two polls of a device, default 30 s.
	// PollIntervals are those of devices with a tag; of several the longest counts.
	PollInterval  time.Duration
	PollIntervals map[james.Tag]time.Duration
	// FollowInterval is the time between two looks for what other processes
	// changed, default 250 ms and at most MaxFollowInterval.
	FollowInterval time.Duration
	// SeenInterval is the time between two writes of when devices were last
	// seen, default 10 s.
	SeenInterval time.Duration
	// CollectInterval is the time between two collections of unused blobs, and
	// CollectAge how old a blob must be to be collected; default 1 h each.
	CollectInterval, CollectAge time.Duration
	// SweepAge is how old the remains of an upload must be to be removed,
	// default 24 h. An upload that takes longer may fail.
	SweepAge time.Duration
}

// MaxFollowInterval keeps the promise that what one jamesd changes is known to
// the others within a second.
const MaxFollowInterval = 500 * time.Millisecond

func (o *Options) setDefaults() {
	set(&o.PollInterval, 30*time.Second)
	set(&o.FollowInterval, 250*time.Millisecond)
	o.FollowInterval = min(o.FollowInterval, MaxFollowInterval)
	set(&o.SeenInterval, 10*time.Second)
	set(&o.CollectInterval, time.Hour)
	set(&o.CollectAge, time.Hour)
	set(&o.SweepAge, 24*time.Hour)
	if o.Log == nil {
		o.Log = logrus.StandardLogger()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Resolved == nil {
		o.Resolved = func(time.Duration) {}
	}
	if o.Rand == nil {
		o.Rand = rand.Float64
	}
}

func set(d *time.Duration, standard time.Duration) {
	if *d <= 0 {
		*d = standard
	}
}

// Fleet is the use-cases of jamesd. Its methods are safe for concurrent use.
type Fleet struct {
	o         Options
	intervals []tagInterval
	follower  follower
	own       own
	counters  counters
	watch     watch
	rate      rate
	// overviews is locked before mu where both are.
	overviews overviews
	drain     func()
	drained   chan struct{} // closed by drain, no poll is held then
	planned   chan struct{} // holds an element where plans have changed
	// uploads is held shared from the first commit of an upload's blobs until
	// its packet is in the store, and exclusively where a blob is deleted.
	uploads sync.RWMutex
	holds   int           // calls of HoldBlobs that are not released; guarded by uploads
	unpacks chan struct{} // has room for one: there is something to unpack
	rubbish rubbish

	mu      sync.Mutex // guards what is below; never held over a call of a store
	cat     *catalogue
	waiting int                  // held polls
	woken   []*Held              // those that are to be looked at again
	waking  bool                 // somebody is at it
	unsaved map[string]time.Time // last-seen times that the store does not have
}

// New returns a Fleet that has loaded everything from its store. It fails with
// james.KindUnavailable when the store does not answer.
func New(ctx context.Context, o Options) (*Fleet, error) {
	o.setDefaults()
	f := &Fleet{
		o:         o,
		intervals: longestFirst(o.PollIntervals),
		follower:  follower{turn: make(chan struct{}, 1)},
		drained:   make(chan struct{}),
		planned:   make(chan struct{}, 1),
		cat:       newCatalogue(o.Resolved),
		unsaved:   make(map[string]time.Time),
		unpacks:   make(chan struct{}, 1),
	}
	f.drain = sync.OnceFunc(f.drainAll)
	if err := f.refresh(ctx); err != nil {
		return nil, err
	}
	if err := f.loadSeen(ctx); err != nil {
		return nil, err
	}
	return f, nil
}

// Ready fails with james.KindUnavailable when the store or the blobs do not
// answer.
func (f *Fleet) Ready(ctx context.Context) error {
	return errors.Join(f.o.Store.Ping(ctx), f.o.Blobs.Ping(ctx))
}

// now returns the time as stores keep it: in UTC and whole milliseconds.
func (f *Fleet) now() time.Time { return f.o.Now().UTC().Truncate(time.Millisecond) }
