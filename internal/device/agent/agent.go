// Package agent is the loop of a device: it polls the server for a plan, fetches
// what the plan needs, has it applied as one transaction, reports how that went,
// and polls again. It goes on polling while it fetches, so that another plan, or
// none, ends that, and while a plan waits for the time at which it may be fetched
// or applied.
//
// What always holds: the loop never ends by itself, whatever the server, the
// link or a plan does. A server that does not answer is tried again with a
// growing, spread delay. A plan that failed is tried again with a delay that
// grows over hours, also across restarts, and gives way at once to another plan
// or another revision. A report that the server has not got is kept. What was
// downloaded of the contents of files is kept.
//
// The package knows no HTTP and no file system: it is handed a Server, an
// Installer and a directory for what it must remember.
package agent

import (
	"cmp"
	"context"
	"encoding/json"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/trusch/jamesd/internal/backoff"
	"github.com/trusch/jamesd/internal/device/disk"
	"github.com/trusch/jamesd/internal/device/transfer"
	"github.com/trusch/jamesd/internal/device/txn"
	"github.com/trusch/jamesd/internal/throttle"
	"github.com/trusch/jamesd/pkg/james"
)

// Server is what the agent asks of jamesd; *client.Client has it. Every error is
// a *james.Error, of KindUnavailable where the server cannot be reached.
type Server interface {
	Poll(ctx context.Context, req james.PollRequest) (james.PollResponse, error)
	Report(ctx context.Context, r james.Report) error
	// Progress tells how far a plan is; nothing depends on whether it succeeds.
	Progress(ctx context.Context, p james.Progress) error
	transfer.Server
}

// Installer changes the device; *txn.Installer does.
type Installer interface {
	Apps() []james.App
	// Committed returns a report of the plan that was committed last, and a number
	// that is another for each plan; nil and 0 where none was.
	Committed() (*james.Report, uint64)
	Recover(ctx context.Context) (*james.Report, error)
	// Prefetch has src fetch what Apply will need, and changes nothing else. Apps may
	// be called meanwhile.
	Prefetch(ctx context.Context, plan *james.Plan, src txn.Source) error
	Apply(ctx context.Context, plan *james.Plan, src txn.Source) (*james.Report, error)
	// Verify returns what is not as the packets have it. It fails with KindConflict
	// while a transaction is to be recovered.
	Verify(ctx context.Context, v txn.Verification) ([]james.Change, error)
	// Unfinished reports whether another process has left a transaction to recover.
	Unfinished() bool
}

// Options says what an Agent works with. Server, Installer, State, Tags and Log
// are required.
type Options struct {
	Server    Server
	Installer Installer
	// State is the directory for downloads and for what is remembered.
	State *disk.Disk
	// Tags returns the system tags. It is called at the start and after every
	// transaction, as that may have changed them.
	Tags func() james.TagSet
	// Device is the id of the device; "" where it is not known.
	Device string
	// Version says which jamesc this is.
	Version string
	Log     logrus.FieldLogger

	// Interval is the time between the starts of two polls when there is nothing
	// to do; 0 leaves it to the server.
	Interval time.Duration
	// Hold is how long a poll may stay open at the server, so that a change
	// arrives at once; 0 asks for an answer at once. It is never longer than the
	// interval or james.MaxWait.
	Hold time.Duration
	// Stall is how long a download may be silent before it is resumed over a new
	// connection; 0 means 30 seconds.
	Stall time.Duration
	// CacheSize is how many bytes of contents may stay in State that the current plan
	// does not need.
	CacheSize int64
	// RetryFirst and RetryLimit bound the delay after which a failed plan is
	// tried again; 0 means a minute and six hours.
	RetryFirst, RetryLimit time.Duration
	// Download and Apply are when contents may be fetched and when a change may begin,
	// where the desired state does not say that; windows that say nothing are open.
	// Metered has only urgent plans fetched, as the system tag MeteredTag has.
	Download, Apply james.Window
	Metered         bool
	// MaxRate is how many bytes a second are downloaded at most; 0 for no limit.
	MaxRate int64
	// VerifyInterval is the time between two looks whether the files of packets are
	// as those have them; 0 means never. There is one at the start and after every
	// transaction, too.
	VerifyInterval time.Duration
	// StepLimit is how long one step of a plan may take before the watchdog takes
	// the agent for stuck; 0 means an hour.
	StepLimit time.Duration

	// Probation is how long the server may take to be reached after a change before
	// the change is undone; 0 does not ask for it. Reach, needed with it, polls the
	// server once over a connection that is made for it, and fails unless the server
	// has answered.
	Probation time.Duration
	Reach     func(ctx context.Context, req james.PollRequest) error

	// Self watches over the agent's own executable; nil does not.
	Self *Self
	// Notify tells the service manager, in the words of sd_notify(3); nil does
	// not. Watchdog is the time after which it takes a silent agent for stuck, 0
	// for never.
	Notify   func(state string)
	Watchdog time.Duration

	Now  func() time.Time // nil means time.Now
	Rand func() float64   // in [0, 1), safe for concurrent use; nil means math/rand/v2
}

// The defaults of Options, and the waiting times that are not a setting.
const (
	defaultInterval   = time.Minute
	defaultRetryFirst = time.Minute
	defaultRetryLimit = 6 * time.Hour
	defaultStepLimit  = time.Hour

	maxInterval = 24 * time.Hour
	// grace is how long the server may take for an answer beyond the time that it
	// was asked to hold a poll. The client, which knows more of the connection,
	// gives up before that.
	grace = time.Minute
)

// Agent is the loop of one device.
type Agent struct {
	o      Options
	state  *state
	memory Memory
	fetch  *source
	link   link
	sup    *supervisor
	retry  backoff.Backoff
	tags   james.TagSet

	job      *job          // nil where there is no plan to carry out
	limit    time.Duration // how long the installer may be silent, with the plan it has
	teller   atomic.Pointer[teller]
	beside   atomic.Bool  // contents are fetched beside the loop
	metered  atomic.Bool  // the link is, over which they are
	settled  bool         // no transaction is unfinished
	drift    *james.Drift // as it was found last
	verifyAt time.Time    // when the next look is due
	acked    james.Digest // of the report that the server has
	polled   string       // id of the last poll that was answered
	stuck    try          // the plan that has problems and no steps
	done     try          // what was committed last
	interval time.Duration
	turn     time.Time // for the next poll, as the server said; zero where it did not
	// commit makes the plan being applied one that is finished whatever happens,
	// yield one that need not be any more.
	commit func() error
	yield  func()
}

// New returns an agent that remembers what the last one on this state directory
// did. It fails when the directory cannot be used.
func New(o Options) (*Agent, error) {
	o.Interval = min(o.Interval, maxInterval)
	o.RetryFirst = cmp.Or(o.RetryFirst, defaultRetryFirst)
	o.RetryLimit = cmp.Or(o.RetryLimit, defaultRetryLimit)
	o.StepLimit = cmp.Or(o.StepLimit, defaultStepLimit)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Rand == nil {
		o.Rand = rand.Float64
	}
	if o.Notify == nil {
		o.Notify = func(string) {}
	}
	a := &Agent{
		o:        o,
		state:    &state{disk: o.State},
		sup:      newSupervisor(o.Notify, o.Now),
		retry:    backoff.Backoff{First: o.RetryFirst, Limit: o.RetryLimit, Rand: o.Rand},
		link:     link{pause: backoff.Link(o.Rand), log: o.Log},
		interval: cmp.Or(o.Interval, defaultInterval),
	}
	fetcher, err := transfer.New(transfer.Options{Server: o.Server, State: o.State, Log: o.Log, Limit: o.CacheSize, Stall: o.Stall,
		Progress: a.fetched, Throttle: throttle.New(o.MaxRate).Wait, Metered: a.metered.Load, Expect: a.expect, Status: a.sup.status, Now: o.Now, Rand: o.Rand})
	if err != nil {
		return nil, err
	}
	a.fetch = &source{fetcher, a.expect}
	lost := a.recall()
	a.identify()
	if lost {
		a.remember()
	}
	a.tags = o.Tags()
	return a, nil
}

// recall reads the memory. One that cannot be read is lost, which is no reason
// not to start.
func (a *Agent) recall() (lost bool) {
	raw, err := a.state.read(MemoryFile, maxMemory)
	if james.KindOf(err) == james.KindNotFound {
		return false
	}
	if err == nil {
		a.memory, err = DecodeMemory(raw)
	}
	if err != nil {
		a.o.Log.WithError(err).Warn("what the agent remembered is lost")
	}
	return err != nil
}

// identify forgets what was between the server and another device: the state
// directory came with a copied disk, or the device has a new name. What is
// installed is installed whatever the name.
func (a *Agent) identify() {
	before := a.memory.Device
	if before != "" && a.o.Device != "" && before != a.o.Device {
		a.o.Log.WithFields(logrus.Fields{"device": a.o.Device, "before": before}).Warn("this device was another one, its reports and failures are forgotten")
		a.memory = Memory{Apps: a.memory.Apps, Committed: a.memory.Committed}
	}
	a.memory.Device = cmp.Or(a.o.Device, before)
}

// remember writes the memory. Where that fails the agent goes on with what it
// has in mind.
func (a *Agent) remember() {
	raw, err := json.Marshal(&a.memory)
	if err == nil {
		err = a.state.write(MemoryFile, raw)
	}
	if err != nil {
		a.o.Log.WithError(err).Error("what happened cannot be written down")
	}
}
