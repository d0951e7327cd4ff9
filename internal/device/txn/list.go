package txn

import (
	"errors"
	"os"
	"slices"

	"github.com/trusch/jamesd/internal/device/journal"
	"github.com/trusch/jamesd/pkg/james"
)

// listFile holds what the journal has until "ready" once more, the first record
// and the list of ops, from before anything changes until everything is cleaned
// up. It costs no sync of its own, being made durable with the staged files.
//
// Flash that loses a block takes the end of a journal with it, and without the
// list nobody knows what lies where in the work areas. What losing a record and
// all after it comes to:
//
//	begin, ops, times, ready  the list is here, and the disk shows how far it got
//	script                    one that an op after it was done is known to have begun;
//	                          the mirror of the last one may not be run
//	probation                 undone
//	undo                      undone all the same; why is not known any more
//	restore, restored         the mirror runs again, not told that it does
//	undone                    undone again, which finds nothing to do
//	commit                    the inventory on the disk decides: it is switched before
//	                          anything that undoing needs is removed; until then undone
//
// Where this file is lost, too, the journal decides. A journal that has lost its
// list while old files lie in a work area refuses to be ended: nothing is touched,
// and the error names the files.
//
// The file goes before the journal is emptied, and durably so after an undo: a
// list that comes back after a commit is known as done by the inventory.
const listFile = "journal.list"

// stageList writes the list.
func (t *txn) stageList() error {
	if err := t.noteTimes(); err != nil {
		return err
	}
	list, err := t.list()
	if err != nil {
		return err
	}
	list = slices.Insert(list, 0, t.beginning())
	return t.writeStateFrom(listFile, journal.NewReader(func() ([]byte, error) {
		if len(list) == 0 {
			return nil, nil
		}
		next := list[0]
		list = list[1:]
		return next.encode()
	}), int64(len(t.ops)*opBytes))
}

// loadPending returns the transaction that has not ended, nil where there is none.
func (i *Installer) loadPending() (*txn, error) {
	records, err := journal.Read(i.state, journalFile)
	if err != nil {
		return nil, err
	}
	t, err := i.loadTxn(records, journalFile)
	if err != nil || t != nil && t.ready {
		return t, err
	}
	listed, err := i.loadList()
	if err != nil {
		return nil, err
	}
	if t == nil || t.plan == nil {
		return listed.completed(t)
	}
	if listed == nil || !listed.same(t) {
		return t, nil
	}
	return listed.completed(t)
}

// completed returns a transaction of which the list is known, with what a journal
// says that has lost the list; the disk tells how far it got. It returns nil where
// there was none, or nothing is left of it but records of its end.
func (t *txn) completed(told *txn) (*txn, error) {
	if t == nil {
		if told == nil || told.undone {
			return nil, nil
		}
		return nil, james.Errorf(james.KindCorrupt, told.i.state.Abs(journalFile), "does not begin with a plan")
	}
	if told != nil {
		t.undone, t.failed, t.warnings = told.undone, told.failed, told.warnings
		t.begun, t.restoring, t.restored, t.runs, t.ran = told.begun, told.restoring, told.restored, told.runs, told.ran
	}
	done, err := t.lastDone()
	if err != nil {
		return nil, err
	}
	if t.ready = done >= 0; t.ready && !t.switched() {
		t.warn("the journal was damaged, what had been done was told by what is on the disk")
	}
	return t, nil
}

// loadList returns the transaction whose list is whole, nil where none is.
func (i *Installer) loadList() (*txn, error) {
	records, err := journal.Read(i.state, listFile)
	if err != nil {
		return nil, ignore(err, os.ErrNotExist)
	}
	t, err := i.loadTxn(records, listFile)
	if err != nil || t == nil || t.plan == nil || !t.ready {
		return nil, err
	}
	return t, nil
}

// lastDone returns the index of the last op that the disk shows to be done, -1
// for none.
func (t *txn) lastDone() (int, error) {
	for n, o := range slices.Backward(t.ops) {
		shows, err := t.shows(o)
		if shows || err != nil {
			return n, err
		}
	}
	return -1, nil
}

// shows reports whether the disk shows that the op was done and is not undone. Of
// some kinds it never does.
func (t *txn) shows(o *op) (bool, error) {
	a, d := t.areas, t.i.Disk
	switch o.Kind {
	case opAway:
		return d.Exists(a[o.Area].old(o.Name))
	case opPlace:
		if staged, err := d.Exists(a[o.Area].new(o.Name)); err != nil || staged {
			return false, err
		}
		if o.Pair != "" {
			return d.Exists(a[o.Area].old(o.Pair))
		}
		return t.lies(o, false)
	case opMkdir:
		if o.Pair == "" {
			return t.lies(o, true)
		}
	case opRmdir:
		if copied, err := d.Exists(a[o.Area].dirCopy(o.Name)); err != nil || !copied {
			return false, err
		}
		there, err := d.Exists(string(o.Path))
		return !there, err
	}
	return false, nil
}

// lies reports whether a directory, or something else, lies at the op's path.
func (t *txn) lies(o *op, dir bool) (bool, error) {
	info, err := t.i.Disk.Lstat(string(o.Path))
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return err == nil && info.IsDir() == dir, err
}

// inferBegun notes the scripts that must have begun, as something after them was
// done: the journal may have lost that.
func (t *txn) inferBegun() error {
	done, err := t.lastDone()
	if err != nil {
		return err
	}
	for n, o := range t.ops[:max(done, 0)] {
		if o.Kind == opScript {
			t.begun[n] = true
		}
	}
	return nil
}
