package txn

import (
	"context"
	"io"
	"os"

	"github.com/sirupsen/logrus"

	"github.com/trusch/jamesd/pkg/james"
)

// Refusal is why Prefetch has not all that a plan needs. Report is the one that
// Apply would have returned.
type Refusal struct {
	Report *james.Report
	err    error
}

func (r *Refusal) Error() string { return r.Report.Error }
func (r *Refusal) Unwrap() error { return r.err }

// Prefetch has src fetch what Apply will need. All that Apply refuses it refuses
// before, the want of room among it, with a *Refusal, which is also the error where
// contents cannot be had. It changes nothing on the device but in src, and ends when
// ctx does. While contents are fetched it keeps nobody from a transaction, so what
// it has found out may not hold any more for the Apply that follows. Room is taken
// only for what is fetched: a plan may have to wait for long until it is applied.
func (i *Installer) Prefetch(ctx context.Context, plan *james.Plan, src Source) error {
	t := &txn{i: i, src: src, plan: plan, started: i.Now().UTC()}
	t.log = i.Log.WithFields(logrus.Fields{"txn": plan.ID.Short(), "revision": plan.Revision})
	o, pending, err := t.lookAhead(ctx)
	if pending != nil {
		return pending
	}
	if err == nil && !o.Empty() {
		err = t.store(ctx, o)
	}
	if err != nil {
		return &Refusal{t.refuse(err), err}
	}
	return nil
}

// lookAhead does all that comes before the first change, and returns what there is
// to fetch. pending is why a transaction of before cannot be ended.
func (t *txn) lookAhead(ctx context.Context) (_ *Order, pending, err error) {
	leave, err := t.i.enter(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer leave()
	if err := t.i.endPending(ctx); err != nil {
		return nil, err, nil
	}
	if err := t.prepare(ctx, t.src); err != nil {
		return nil, nil, err
	}
	edited := false
	for _, c := range t.contents {
		had := len(c.places) > 0
		if c.places, err = t.i.soundOf(ctx, c.places, t.sample(c)); err != nil {
			return nil, nil, err
		}
		edited = edited || had && len(c.places) == 0
	}
	if edited {
		if err := t.checkSpace(t.src); err != nil {
			return nil, nil, err
		}
	}
	return t.help(t.order()), nil, nil
}

// soundOf drops the places before the first one at which the content of an entry
// lies. What was not touched since the last transaction is not read: whoever copies
// it verifies it.
func (i *Installer) soundOf(ctx context.Context, all []place, e *james.Entry) ([]place, error) {
	last, err := i.state.Lstat(stateFile)
	if err != nil {
		return nil, ignore(err, os.ErrNotExist) // nothing is installed
	}
	for ; len(all) > 0; all = all[1:] {
		info, err := i.Disk.Lstat(all[0].path)
		if err == nil && info.Changed.Before(last.Changed) && sameTime(info.Time, all[0].time) {
			break
		}
		file, err := i.Disk.OpenFile(all[0].path)
		if err != nil {
			continue
		}
		sound := isContent(ctx, file, e)
		file.Close() // it was only read
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if sound {
			break
		}
	}
	return all, nil
}

// isContent reads a file and reports whether it has the content of an entry.
func isContent(ctx context.Context, file *os.File, e *james.Entry) bool {
	r := newSumReader(ctx, file, e.Size)
	_, err := io.Copy(struct{ io.Writer }{io.Discard}, r) // in larger pieces than io.Discard takes
	return err == nil && r.is(e)
}

// store has the source fetch what is ordered, with the room for it.
func (t *txn) store(ctx context.Context, o *Order) (err error) {
	r, dir := t.room, t.src.Dir()
	if r.missing > 0 {
		if r.source.held, err = dir.Reserve(".", r.missing+r.partial); err != nil {
			return r.source.taken(dir, ".", err)
		}
	}
	defer r.release()
	return t.fetch(ctx, t.src, o)
}
