package txn

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/trusch/jamesd/internal/device/disk"
	"github.com/trusch/jamesd/internal/device/journal"
	"github.com/trusch/jamesd/internal/device/script"
	"github.com/trusch/jamesd/internal/logging"
	"github.com/trusch/jamesd/pkg/james"
)

// Options says what an Installer works with. Disk and StateDir are required.
type Options struct {
	Disk *disk.Disk // the install root; the caller closes it
	// StateDir is the installer's own directory. It may lie in the install root;
	// no packet may put files into it.
	StateDir string
	Scripts  *script.Runner     // nil means the zero Runner
	Log      logrus.FieldLogger // nil means no log
	Now      func() time.Time   // nil means time.Now
	Rand     io.Reader          // nil means crypto/rand.Reader
	// ConfigDirs are the directories whose regular files are configuration; nil
	// means "etc".
	ConfigDirs []james.Path
	// Beside says that another process may be the agent of the state directory.
	Beside bool
	// Waiting, where set, is told that another process has to end its transaction
	// first.
	Waiting func()
	// BeforeApply, where set, is asked when everything is staged and nothing is
	// changed; an error refuses the plan. staged finds the staged copy of a path.
	BeforeApply func(ctx context.Context, plan *james.Plan, staged func(james.Path) (file string, ok bool)) error
	// OnProbation, where set, is told that everything of a plan is done and it is
	// put on probation, and how long its health checks may take at most. From here
	// on the end of ctx leaves the transaction to the next Recover.
	OnProbation func(plan *james.Plan, checks time.Duration)
	// Confirm, where set, has the last word on a change that is done and whose
	// health checks have succeeded: an error undoes it. After a crash on probation
	// it is asked again; of the plan only ID and Revision are known then.
	Confirm func(ctx context.Context, plan *james.Plan) error
	// Sleep waits between the tries of a health check, or until ctx is done, which
	// is an error; nil means to sleep.
	Sleep func(ctx context.Context, d time.Duration) error
}

// Installer changes the device. Its methods are safe for concurrent use; one
// transaction runs at a time.
type Installer struct {
	Options
	state *disk.Disk
	owner string // of the runs of scripts
	// own is the lock of the agent of the state directory, turn that of whoever
	// changes something in it or on the device, of any process.
	own, turn *disk.Lock
	id        string // of the state directory; "" where it has none

	busy sync.Mutex // guards turn, and what is below
	log  *journal.Journal
	// pending says that the journal holds a transaction that has not ended.
	pending bool
	// left is a transaction that is undone but not cleaned up; nil for none.
	left *txn

	verifying sync.Mutex // guards what Verify remembers
	memos     map[string]*memo
	outlines  outlines

	mu  sync.Mutex // guards inv and told
	inv *inventory
	// told is what was logged of the inventory's files.
	told string
}

// Open returns the installer of a device. It fails with KindConflict where
// another process has the state directory, and with KindCorrupt where the
// inventory cannot be read. Recover must be called before anything else, except
// by who works beside the agent.
func Open(o Options) (*Installer, error) {
	if o.Scripts == nil {
		o.Scripts = &script.Runner{}
	}
	if o.Log == nil {
		o.Log = logging.Discard()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Sleep == nil {
		o.Sleep = sleep
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	if o.ConfigDirs == nil {
		o.ConfigDirs = []james.Path{"etc"}
	}
	state, err := o.Disk.At(o.StateDir)
	if err != nil {
		return nil, err
	}
	if state.Root() == o.Disk.Root() {
		return nil, errors.Join(james.Errorf(james.KindInvalid, state.Root(), "is the install root and cannot be the state directory too"), state.Close())
	}
	i := &Installer{Options: o, state: state, memos: map[string]*memo{}, outlines: outlines{known: map[james.Digest]outline{}}}
	if err := i.open(); err != nil {
		_ = i.Close() // what was opened was not written to
		return nil, err
	}
	return i, nil
}

// sleep waits for d; it fails when ctx is done before that.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

func (i *Installer) open() (err error) {
	if i.turn, err = i.state.OpenLock(turnFile); err != nil {
		return err
	}
	if !i.Beside {
		if err := i.beAgent(); err != nil {
			return err
		}
	}
	if i.owner, err = i.runner(); err != nil {
		return err
	}
	if err := i.loadID(!i.Beside); err != nil {
		i.Log.WithError(err).Warn("the state directory has no id")
	}
	return i.loadState()
}

// beAgent takes the lock of the state directory's agent until Close.
func (i *Installer) beAgent() (err error) {
	if i.own, err = i.state.OpenLock(lockFile); err != nil {
		return err
	}
	ok, err := i.own.Try(false)
	if err == nil && !ok {
		err = james.Errorf(james.KindConflict, i.state.Root(), "another agent works with this state directory").
			WithHint("stop it, or give this one a --state-dir and an --install-root of its own")
	}
	return err
}

// openJournal reads the journal anew.
func (i *Installer) openJournal() error {
	if i.log != nil {
		i.log.Close()
		i.log = nil
	}
	log, records, err := journal.Open(i.state, journalFile)
	if err != nil {
		return err
	}
	listed, err := i.state.Exists(listFile)
	i.log, i.pending = log, len(records) > 0 || listed
	return err
}

// Close gives the state directory free. It waits for a transaction to end.
func (i *Installer) Close() error {
	i.busy.Lock()
	defer i.busy.Unlock()
	var err error
	if i.log != nil {
		err = i.log.Close()
	}
	for _, l := range []*disk.Lock{i.turn, i.own} {
		if l != nil {
			l.Close()
		}
	}
	return errors.Join(err, i.state.Close())
}

// Apps returns the installed packets, sorted by name.
func (i *Installer) Apps() []james.App {
	i.mu.Lock()
	defer i.mu.Unlock()
	apps := make([]james.App, len(i.inv.Apps))
	for n, a := range i.inv.Apps {
		apps[n] = a.App
	}
	return apps
}

// Committed returns a report of the plan that was committed last, and a number
// that is another for each plan; nil and 0 where none was. Apply and Recover have
// returned a better one, unless the process ended before anybody took it.
func (i *Installer) Committed() (*james.Report, uint64) {
	last := i.inventory().Last
	if last == nil {
		return nil, 0
	}
	now := i.Now().UTC()
	return &james.Report{Plan: last.Plan, Revision: last.Revision, Result: james.Committed, Started: now, Ended: now, Recovered: true}, last.Serial
}

func (i *Installer) inventory() *inventory {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.inv
}

func (i *Installer) setInventory(inv *inventory) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.inv = inv
}

// Apply carries the plan out as one transaction. The report says how it ended;
// the error is only for what prevents a report: a transaction of before that
// cannot be ended, or ErrOnProbation. When ctx is done before anything is changed
// the plan is refused, afterwards it is undone or, if nothing is left to do,
// committed; one that is on probation is left so.
func (i *Installer) Apply(ctx context.Context, plan *james.Plan, src Source) (*james.Report, error) {
	t := &txn{i: i, src: src, plan: plan, started: i.Now().UTC()}
	log := i.Log.WithFields(logrus.Fields{"txn": plan.ID.Short(), "revision": plan.Revision})
	t.log = log
	leave, err := i.enter(ctx)
	if err != nil {
		return t.refuse(err), nil
	}
	defer leave()
	if err := i.endPending(ctx); err != nil {
		return nil, err
	}
	if len(plan.Steps) == 0 {
		return t.report(james.Committed, nil), nil
	}
	log.WithField("steps", len(plan.Steps)).Debug("transaction begins")
	report, err := t.apply(ctx, src)
	if err != nil {
		return nil, err
	}
	t.logEnd(report)
	return report, nil
}

// Recover ends the transaction that a crash interrupted, back or forward, and
// returns its report; nil when there was none. One that was on probation is put
// on it again. A report of Broken means that it could not be undone; the next
// Recover or Apply tries again. When ctx is done the transaction is ended all the
// same, but for one on probation, which is left so: ErrOnProbation. Then the work
// areas are removed that a power cut has left behind.
func (i *Installer) Recover(ctx context.Context) (*james.Report, error) {
	leave, err := i.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	report, err := i.recover(ctx)
	if err == nil && !i.pending {
		i.removeLeftovers()
		i.mendState()
	}
	return report, err
}

// endPending ends the transaction that somebody has left in the journal.
func (i *Installer) endPending(ctx context.Context) error {
	if !i.pending {
		return nil
	}
	before, err := i.recover(ctx)
	if err != nil {
		return err
	}
	if before != nil && before.Result == james.Broken {
		return james.Errorf(james.KindUnavailable, "device", "the transaction before this one is not undone yet: %s", before.Error)
	}
	return nil
}

// logEnd notes the end for who looks closely: whoever gets the report tells it.
func (t *txn) logEnd(r *james.Report) {
	t.log.WithFields(logrus.Fields{"result": r.Result, "error": r.Error}).Debug("transaction ended")
}

// report returns the report of the transaction's end. f is nil where nothing
// failed.
func (t *txn) report(result james.Result, f *failure) *james.Report {
	r := &james.Report{
		Plan: t.plan.ID, Revision: t.plan.Revision, Result: result,
		Started: t.started, Ended: t.i.Now().UTC(), Recovered: t.recovered,
	}
	if f != nil {
		r.Error, r.Kind, r.App, r.Script, r.Output = f.Error, f.Kind, f.App, f.Script, f.Output
	}
	for _, w := range t.warnings {
		r.Error += "; while undoing: " + w
	}
	return r
}

// failure is what made a transaction fail, as the journal keeps it.
type failure struct {
	Error  string           `json:"error"`
	Kind   james.Kind       `json:"kind"`
	App    string           `json:"app,omitempty"`
	Script james.ScriptName `json:"script,omitempty"`
	Output string           `json:"output,omitempty"`
}

// newFailure describes err, which happened at a step, or at none.
func newFailure(step *step, err error) *failure {
	f := &failure{Kind: james.KindOf(err)}
	if step != nil {
		f.App = step.name()
		err = james.Cannot(string(step.action()), step.app().String(), err)
	}
	var s *script.Error
	if errors.As(err, &s) {
		f.Script, f.Output = s.Name, s.Output
	}
	f.Error = err.Error()
	if hint := james.HintOf(err); hint != "" {
		f.Error = fmt.Sprintf("%s; %s", f.Error, hint)
	}
	return f
}
