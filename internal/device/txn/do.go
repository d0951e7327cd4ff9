package txn

import (
	"cmp"
	"context"
	"errors"
	"os"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	"github.com/trusch/jamesd/internal/device/disk"
	"github.com/trusch/jamesd/internal/device/script"
	"github.com/trusch/jamesd/pkg/james"
)

// do carries the list of ops out.
func (t *txn) do(ctx context.Context) error {
	for n, o := range t.ops {
		if err := t.doOne(ctx, n, o); err != nil {
			return &stepError{t.steps[o.Step], err}
		}
	}
	return nil
}

func (t *txn) doOne(ctx context.Context, n int, o *op) error {
	switch o.Kind {
	case opScript:
		return t.doScript(ctx, n, o)
	case opAway:
		return t.doAway(o)
	case opRmdir:
		return t.doRmdir(o)
	case opBarrier:
		if err := ctx.Err(); err != nil {
			return err
		}
		return t.flush()
	case opMkdir:
		return t.doMkdir(o)
	case opPlace:
		return t.doPlace(o)
	case opMeta:
		return t.changed(o, t.i.Disk.SetMeta(string(o.Path), t.dirMeta(o)))
	case opTime:
		return t.changed(o, ignore(t.i.Disk.SetTime(string(o.Path), o.entry.Time), os.ErrNotExist))
	}
	return james.Errorf(james.KindInternal, "op", "%q is unknown", o.Kind)
}

// changed notes that the op's path is to be synced, and returns err.
func (t *txn) changed(o *op, err error) error {
	t.areas[o.Area].batch.Add(string(o.Path))
	return err
}

// moved notes that a name has moved between the op's path and its work area.
func (t *txn) moved(o *op, area string) {
	b := t.areas[o.Area].batch
	b.AddParent(string(o.Path))
	b.AddParent(area)
}

// doScript runs a script, if the packet has it. Its turn is noted first.
func (t *txn) doScript(ctx context.Context, n int, o *op) error {
	if err := t.record(&record{Script: n + 1}); err != nil {
		return err
	}
	t.begun[n] = true
	return t.run(ctx, o, o.Script, t.steps[o.Step].action(), false)
}

// run runs a script of the side of the step that the op names.
func (t *txn) run(ctx context.Context, o *op, name james.ScriptName, action james.Action, rerun bool) error {
	if !t.steps[o.Step].side(o.Old).Scripts[name] {
		return nil
	}
	return t.call(ctx, o.Step, o.Old, script.Call{Name: name, Action: action, Rerun: rerun})
}

// call calls a script of a side of the n-th step, as c says and with what else it
// is to be told.
func (t *txn) call(ctx context.Context, n int, old bool, c script.Call) error {
	s := t.steps[n]
	c.Purge = s.Purge
	c.App, c.Root, c.File = s.side(old).App, t.i.Disk.Root(), t.i.state.Abs(scriptFile(n, old, c.Name))
	if s.Old != nil {
		c.Old = &s.Old.App
	}
	if s.New != nil {
		c.New = &s.New.App
	}
	log := t.log.WithFields(logrus.Fields{"packet": c.App.String(), "step": string(c.Name), "action": string(c.Action)})
	log.Debug("script begins")
	err := t.runScript(ctx, c)
	t.i.Disk.Forget() // it may have replaced directories
	if t.ids != nil {
		t.ids.forget()
	}
	if err != nil && (c.Action == james.ActionRestore || c.Try > 0) { // any other is why undoing begins, and told then
		log.WithError(err).Warn("script failed")
	}
	return err
}

// doAway renames the old file into the work area. Where a script has removed it
// already, an empty directory in its place says so: else undoing could not tell
// a file that was never there from one that has been put back.
func (t *txn) doAway(o *op) error {
	to := t.areas[o.Area].old(o.Name)
	t.moved(o, to)
	err := t.i.Disk.Rename(string(o.Path), to)
	if errors.Is(err, os.ErrNotExist) {
		return t.i.Disk.Mkdir(to, 0o700)
	}
	return err
}

func (t *txn) doRmdir(o *op) error {
	t.areas[o.Area].batch.AddParent(string(o.Path))
	err := t.i.Disk.Rmdir(string(o.Path))
	if o.strict {
		return err
	}
	return ignore(err, unix.ENOTEMPTY, unix.EBUSY, unix.ENOTDIR, os.ErrNotExist)
}

// ignore drops an error that is one of those given.
func ignore(err error, these ...error) error {
	for _, this := range these {
		if errors.Is(err, this) {
			return nil
		}
	}
	return err
}

func (t *txn) doMkdir(o *op) error {
	t.areas[o.Area].batch.AddParent(string(o.Path))
	err := t.i.Disk.Mkdir(string(o.Path), 0o755)
	if errors.Is(err, os.ErrExist) {
		info, lerr := t.i.Disk.Lstat(string(o.Path))
		if lerr != nil || !info.IsDir() {
			return err
		}
		err = nil // a script was faster
	}
	if err != nil {
		return err
	}
	if o.entry == nil && !t.i.Disk.Privileged() {
		return nil
	}
	return t.changed(o, t.i.Disk.SetMeta(string(o.Path), t.dirMeta(o)))
}

// dirMeta returns the metadata of a directory, but for its time, which is set
// when its children are there. One that no packet lists is root's.
func (t *txn) dirMeta(o *op) disk.Meta {
	if o.entry == nil {
		return disk.Meta{Mode: 0o755}
	}
	m := t.ids.meta(o.entry)
	m.Time = time.Time{}
	return m
}

func (t *txn) doPlace(o *op) error {
	from, e := t.areas[o.Area].new(o.Name), cmp.Or(o.staged.file, o.entry)
	if o.staged.late && e.Type != james.TypeHardlink {
		if err := t.i.Disk.SetMeta(from, t.ids.meta(e)); err != nil {
			return err
		}
		if e.Type == james.TypeFile {
			t.areas[o.Area].batch.Add(string(o.Path))
		}
	}
	t.moved(o, from)
	return t.i.Disk.Rename(from, string(o.Path))
}
