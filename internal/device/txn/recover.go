package txn

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"os"
	"slices"

	"github.com/sirupsen/logrus"

	"github.com/trusch/jamesd/internal/device/script"
	"github.com/trusch/jamesd/pkg/james"
)

// recover reads the journal and ends the transaction in it. i.busy is held.
func (i *Installer) recover(ctx context.Context) (*james.Report, error) {
	if err := i.openJournal(); err != nil {
		return nil, err
	}
	t, err := i.loadPending()
	if err != nil {
		return nil, err
	}
	if t == nil {
		return nil, i.forget()
	}
	defer t.close()
	if i.left != nil && i.left.same(t) {
		return nil, i.left.endUndone()
	}
	t.log.Info("ending an interrupted transaction")
	t.endRun()
	report, err := t.recover(ctx)
	if err != nil {
		return nil, err
	}
	t.logEnd(report)
	if t.isRepair() { // no plan of anybody, so nobody waits for its report
		return nil, t.repairEnded(report)
	}
	return report, nil
}

func (t *txn) repairEnded(r *james.Report) error {
	t.log.WithField("result", r.Result).Info("an interrupted repair is ended")
	if r.Result != james.Broken {
		return nil
	}
	return james.Errorf(james.KindUnavailable, "device", "an interrupted repair is not undone yet: %s", r.Error)
}

// forget removes what a transaction left of which nothing is known any more: it
// had changed nothing, or old files in a work area say that it had. Then all stays
// as it is for whoever looks at them.
func (i *Installer) forget() error {
	i.pending = false
	if len(i.oldAreas()) > 0 {
		return nil
	}
	if err := i.cleanState(); err != nil {
		return err
	}
	if i.log.Size()+i.log.Cut == 0 {
		return nil
	}
	return i.log.Reset()
}

// loadTxn makes the transaction that the records of a file describe, nil where
// there are none. Its plan is nil where the first record is lost.
func (i *Installer) loadTxn(records [][]byte, file string) (*txn, error) {
	if len(records) == 0 {
		return nil, nil
	}
	t := &txn{i: i, recovered: true, begun: map[int]bool{}, restoring: map[int]bool{}, restored: map[int]bool{}}
	for _, raw := range records {
		if err := t.read(raw, file); err != nil {
			return nil, err
		}
	}
	if t.plan == nil {
		return t, nil
	}
	t.log = i.Log.WithFields(logrus.Fields{"txn": t.plan.ID.Short(), "revision": t.plan.Revision, "recover": true})
	return t, nil
}

// same reports whether both are the same transaction.
func (t *txn) same(other *txn) bool {
	return t.plan.ID == other.plan.ID && t.started.Equal(other.started)
}

// recover ends the transaction: forward after the commit record, back before it,
// unless everything was done and it only had to prove itself.
func (t *txn) recover(ctx context.Context) (*james.Report, error) {
	switch {
	case t.committed, t.switched():
		return t.recoverForward()
	case t.undone:
		if err := t.cleanUp(true); err != nil {
			return nil, err
		}
		return t.report(james.RolledBack, t.failed), nil
	case t.failed != nil:
		return t.recoverBack(ctx)
	case t.probation > 0:
		return t.recoverProbation(ctx)
	case t.ready:
		t.failed = interrupted("in the middle of the transaction")
		return t.recoverBack(ctx)
	}
	if err := t.checkUntouched(); err != nil {
		return nil, err
	}
	if err := t.discard(); err != nil {
		return nil, err
	}
	return t.report(james.Refused, interrupted("before anything was changed")), nil
}

func interrupted(when string) *failure {
	return &failure{Kind: james.KindInterrupted, Error: "the agent or the device stopped " + when}
}

func (t *txn) recoverForward() (*james.Report, error) {
	if err := t.forward(); err != nil {
		return nil, err
	}
	return t.report(james.Committed, nil), nil
}

// recoverBack undoes the transaction, which has failed.
func (t *txn) recoverBack(ctx context.Context) (*james.Report, error) {
	if err := errors.Join(t.reopen(), t.inferBegun()); err != nil {
		t.warn("%v", err)
		return t.report(james.Broken, t.failed), nil
	}
	return t.undoAll(ctx), nil
}

// reopen makes ready what is needed to go on, in either direction.
func (t *txn) reopen() error {
	if err := t.openAreas(); err != nil {
		return err
	}
	t.rewriteScripts()
	return nil
}

// openAreas opens the work areas. One that is missing was either removed by us,
// when everything was undone and the journal could not say so or has lost that,
// or its file system is not there.
func (t *txn) openAreas() error {
	for n, a := range t.areas {
		there, err := t.i.Disk.Exists(a.dir())
		if err != nil {
			return err
		}
		if !there {
			if a.done, err = t.undoneIn(n); err != nil {
				return err
			}
		}
		if !there && !a.done {
			return james.Errorf(james.KindUnavailable, t.i.Disk.Abs(a.dir()), "is missing, with the old files in it").
				WithHint("mount the file system of %s and start the agent again", t.i.Disk.Abs(string(a.Top)))
		}
		if a.done || a.batch != nil {
			continue
		}
		if a.batch, err = t.i.Disk.NewBatch(a.dir()); err != nil {
			return err
		}
	}
	return nil
}

// undoneIn reports whether the file system of the n-th work area is there and
// looks as before: nothing lies where nothing was, and nothing is missing that no
// script can have removed.
func (t *txn) undoneIn(n int) (bool, error) {
	top, err := t.i.Disk.Lstat(string(t.areas[n].Top))
	if err != nil || top.Ino != t.areas[n].Inode {
		return false, ignore(err, os.ErrNotExist)
	}
	for _, o := range t.ops {
		if o.Area != n || o.Kind != opAway && o.Kind != opRmdir && (o.Kind != opPlace || o.Pair != "") {
			continue
		}
		info, err := t.i.Disk.Lstat(string(o.Path))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return false, err
		}
		placed := err == nil && o.Kind == opPlace && !info.IsDir()
		missing := err != nil && o.Kind != opPlace && !t.steps[o.Step].hasScripts()
		if placed || missing {
			return false, nil
		}
	}
	return true, nil
}

// checkUntouched fails where the journal says that nothing was changed yet and
// the disk says otherwise: then the journal has lost its end, and what is in the
// work area must not be thrown away.
func (t *txn) checkUntouched() error {
	for _, a := range t.areas {
		names, err := t.i.Disk.ReadDir(a.dir() + "/old")
		if err == nil && len(names) > 0 {
			return james.Errorf(james.KindCorrupt, t.i.state.Abs(journalFile), "is damaged: it says that nothing was changed, but %d old files are in %s",
				len(names), t.i.Disk.Abs(a.dir()+"/old")).WithHint("somebody must look: the files there are what was replaced")
		}
	}
	return nil
}

// rewriteScripts writes the scripts again that undoing may run, as they were not
// made durable. What of them cannot be had is told in the report when its turn
// comes, and stops nothing: the files come back without a script.
func (t *txn) rewriteScripts() {
	for n, s := range t.steps {
		for _, old := range []bool{true, false} {
			side := s.side(old)
			if side == nil || len(side.Scripts) == 0 {
				continue
			}
			if err := t.rewriteSide(n, old, side); err != nil {
				t.log.WithError(err).WithField("packet", side.App.String()).Warn("scripts cannot be made ready to undo a packet")
			}
		}
	}
}

func (t *txn) rewriteSide(n int, old bool, s *side) error {
	m, err := t.i.manifest(s.App)
	if err != nil {
		return err
	}
	var failed error
	for _, name := range slices.Sorted(maps.Keys(m.Scripts)) {
		path, body := scriptFile(n, old, name), m.Scripts[name]
		if t.i.holdsScript(path, body) {
			continue // writing it takes room
		}
		failed = errors.Join(failed, script.Write(t.i.state, path, body))
	}
	return failed
}

// holdsScript reports whether the script lies at path, ready to run.
func (i *Installer) holdsScript(path string, body []byte) bool {
	info, err := i.state.Lstat(path)
	if err != nil || info.Mode != 0o700 {
		return false
	}
	have, err := i.state.ReadFile(path, int64(len(body)))
	return err == nil && bytes.Equal(have, body)
}
