package txn

import (
	"context"

	"github.com/sirupsen/logrus"

	"github.com/trusch/jamesd/internal/device/journal"
	"github.com/trusch/jamesd/internal/device/script"
	"github.com/trusch/jamesd/pkg/james"
)

// recover reads the journal and ends the transaction in it. i.busy is held.
func (i *Installer) recover(ctx context.Context) (*james.Report, error) {
	if err := i.openJournal(); err != nil {
		return nil, err
	}
	records, err := journal.Read(i.state, journalFile)
	if err != nil {
		return nil, err
	}
	if len(records) == 0 {
		return nil, nil
	}
	t, err := i.loadTxn(records)
	if err != nil {
		return nil, err
	}
	defer t.close()
	t.log.Info("ending an interrupted transaction")
	t.endRun()
	report, err := t.recover(ctx)
	if err != nil {
		return nil, err
	}
	t.logEnd(report)
	return report, nil
}

// loadTxn makes the transaction that the journal describes.
func (i *Installer) loadTxn(records [][]byte) (*txn, error) {
	t := &txn{i: i, recovered: true, begun: map[int]bool{}, restoring: map[int]bool{}, restored: map[int]bool{}}
	for _, raw := range records {
		if err := t.read(raw); err != nil {
			return nil, err
		}
	}
	if t.plan == nil {
		return nil, james.Errorf(james.KindCorrupt, i.state.Abs(journalFile), "does not begin with a plan")
	}
	t.log = i.Log.WithFields(logrus.Fields{"txn": t.plan.ID.Short(), "revision": t.plan.Revision, "recover": true})
	return t, nil
}

// recover ends the transaction: forward after the commit record, back before it,
// unless everything was done and it only had to prove itself.
func (t *txn) recover(ctx context.Context) (*james.Report, error) {
	switch {
	case t.committed:
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
	if err := t.reopen(); err != nil {
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
	return t.rewriteScripts()
}

// openAreas opens the work areas. One that is missing was not removed by us, as
// the old files in it are still needed: its file system is not there.
func (t *txn) openAreas() error {
	for _, a := range t.areas {
		there, err := t.i.Disk.Exists(a.dir())
		if err == nil && !there {
			err = james.Errorf(james.KindUnavailable, t.i.Disk.Abs(a.dir()), "is missing, with the old files in it").
				WithHint("mount the file system of %s and start the agent again", t.i.Disk.Abs(string(a.Top)))
		}
		if err != nil {
			return err
		}
		if a.batch, err = t.i.Disk.NewBatch(a.dir()); err != nil {
			return err
		}
	}
	return nil
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

// rewriteScripts writes the scripts again that undoing may run: they were not
// made durable.
func (t *txn) rewriteScripts() error {
	if err := t.i.state.MkdirAll(runDir, 0o700); err != nil {
		return err
	}
	for n, s := range t.steps {
		for _, old := range []bool{true, false} {
			side := s.side(old)
			if side == nil || len(side.Scripts) == 0 {
				continue
			}
			m, err := t.i.manifest(side.App)
			if err != nil {
				return err
			}
			for name, body := range m.Scripts {
				if err := script.Write(t.i.state, scriptFile(n, old, name), body); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
