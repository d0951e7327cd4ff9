package txn

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/trusch/jamesd/internal/device/disk"
	"github.com/trusch/jamesd/pkg/james"
)

// txn is one transaction, in the process that began it or in one that recovers.
type txn struct {
	i       *Installer
	src     Source // of the process that began it
	log     logrus.FieldLogger
	plan    *james.Plan
	started time.Time
	// recovered says that this process did not begin it.
	recovered bool

	steps []*step
	areas []*area
	ops   []*op
	next  *inventory
	// contents are those of the files that come, fetched those that were fetched.
	contents []*content
	fetched  []james.Digest
	// nextSum is by which next is known; zero where the journal does not tell.
	nextSum james.Digest
	// times are those of the directories in which names change, before.
	times []dirTime

	ids   *ids
	room  *room
	state *disk.Batch
	// begun are the scripts whose turn came, restored those whose mirror has ended
	// while undoing and restoring those whose mirror has begun; by index of the op.
	begun, restoring, restored map[int]bool
	// runs counts the runs of scripts that have begun, ran those that have ended.
	runs, ran int
	// What the journal says.
	ready, committed, undone bool
	probation                int // how often it was put on probation
	failed                   *failure
	warnings                 []string
	mute                     bool // it was warned that the journal cannot be written
}

// dirTime is the time of a directory.
type dirTime struct {
	Path james.Path `json:"path"`
	Time time.Time  `json:"time"`
	Area int        `json:"area,omitzero"`
}

// undoTries is how often undoing is begun again before it is left to the next
// Recover. Every try goes on from what the one before has reached.
const undoTries = 3

// apply carries the plan out. Everything up to "ready" is refused as a whole and
// leaves no trace; a failure after it is undone. The error is ErrOnProbation.
func (t *txn) apply(ctx context.Context, src Source) (*james.Report, error) {
	defer t.close()
	if err := t.prepare(ctx, src); err != nil {
		return t.refuse(err), nil
	}
	if err := t.stage(ctx, src); err != nil {
		if err := t.discard(); err != nil {
			t.log.WithError(err).Warn("refused, but not cleaned up; that is done before the next transaction")
		}
		return t.refuse(err), nil
	}
	if err := t.do(ctx); err != nil {
		t.failed = t.failure(err)
		return t.undoAll(ctx), nil
	}
	return t.finish(ctx)
}

func (t *txn) refuse(err error) *james.Report { return t.report(james.Refused, t.failure(err)) }

// failure describes err, with the step at which it happened.
func (t *txn) failure(err error) *failure {
	var at *stepError
	if errors.As(err, &at) {
		return newFailure(at.step, at.err)
	}
	return newFailure(nil, err)
}

// close releases what the transaction has open.
func (t *txn) close() {
	t.room.release()
	for _, a := range t.areas {
		if a.batch != nil {
			a.batch.Close()
		}
	}
	if t.state != nil {
		t.state.Close()
	}
}

// flush makes everything durable that the transaction has written until now.
func (t *txn) flush() error {
	var batches []*disk.Batch
	for _, a := range t.areas {
		if a.batch != nil {
			batches = append(batches, a.batch)
		}
	}
	if t.state != nil {
		batches = append(batches, t.state)
	}
	return disk.FlushAll(batches...)
}

// commit makes what was done final. When it is unknown whether the commit record
// is durable, neither going back nor forward is safe: the next Recover reads the
// journal and knows. A record that was not even written whole is not there.
func (t *txn) commit(ctx context.Context) *james.Report {
	before := t.i.log.Mark()
	err := t.record(&record{Commit: true})
	if err != nil {
		t.failed = t.failure(err)
		if err := t.i.log.Rewind(before); err != nil && t.i.log.Unsure() {
			t.warn("the commit record may be written or not: %v", err)
			return t.report(james.Broken, t.failed)
		}
		return t.undoAll(ctx)
	}
	t.i.setInventory(t.next)
	for _, s := range t.steps {
		if s.New != nil && s.New.m != nil { // which is not known after a restart
			t.i.outlines.note(s.New.App.Digest, s.New.m)
		}
	}
	if len(t.fetched) > 0 {
		t.src.Forget(t.fetched) // before forward: what changes after it is verified anew
	}
	if err := t.forward(); err != nil {
		t.log.WithError(err).Warn("committed, but not cleaned up; that is done at the next start")
	}
	return t.report(james.Committed, nil)
}

// forward ends a committed transaction. It may be cut off and begun again.
func (t *txn) forward() error {
	if err := t.switchState(); err != nil {
		return err
	}
	return t.cleanUp(false)
}

// discard ends a transaction that has changed nothing yet. Where the journal may
// say that it was about to, that is ended as if it had been undone.
func (t *txn) discard() error {
	if !t.ready {
		return t.cleanUp(true)
	}
	if err := t.endUndone(); err != nil {
		t.i.left = t
		return err
	}
	return nil
}

// cleanUp removes what the transaction needed, and its journal at last. back
// says that the directories' times are to be those of before.
func (t *txn) cleanUp(back bool) error {
	for _, a := range t.areas {
		if err := t.removeArea(a, back); err != nil {
			return err
		}
	}
	if err := t.i.cleanState(); err != nil {
		return err
	}
	if back { // a list that came back after a commit is known by the inventory
		if err := t.i.state.Fsync("."); err != nil {
			return err
		}
	}
	if err := t.i.log.Reset(); err != nil {
		return err
	}
	t.i.pending, t.i.left = false, nil
	return nil
}

// cleanState removes what a transaction needed in the state directory. After a
// commit that is not synced: after a power cut the next start does it again.
func (i *Installer) cleanState() error {
	for _, path := range append(nextFiles[:], listFile) {
		if err := i.state.RemoveAll(path); err != nil {
			return err
		}
	}
	if err := emptyDir(i.state, runDir); err != nil { // the directory stays: making it takes room
		return err
	}
	return i.dropManifests()
}

// setTime gives a directory its time of before, if it has another.
func (t *txn) setTime(dt dirTime) error {
	info, err := t.i.Disk.Lstat(string(dt.Path))
	if errors.Is(err, os.ErrNotExist) || err == nil && (!info.IsDir() || info.Time.Equal(dt.Time)) {
		return nil
	}
	if err != nil {
		return err
	}
	return t.i.Disk.SetTime(string(dt.Path), dt.Time)
}

func (t *txn) warn(format string, args ...any) {
	t.warnings = append(t.warnings, fmt.Sprintf(format, args...))
}

// stateInRoot returns the physical path of the state directory in the install
// root, or "" where it is not in it.
func (i *Installer) stateInRoot() string {
	root := strings.TrimSuffix(i.Disk.Root(), "/") + "/"
	rel, ok := strings.CutPrefix(i.state.Root(), root)
	if !ok {
		return ""
	}
	return rel
}
