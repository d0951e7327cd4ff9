package txn

import (
	"context"
	"errors"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/trusch/jamesd/pkg/james"
)

// undoAll undoes the transaction and says how that went. The caller's wish to
// stop does not reach it: a device is not left between.
func (t *txn) undoAll(ctx context.Context) *james.Report {
	ctx = context.WithoutCancel(ctx)
	t.log.WithField("error", t.failed.Error).Warn("undoing")
	var err error
	for range undoTries {
		if err = t.undo(ctx); err == nil {
			break
		}
		t.log.WithError(err).Warn("undoing failed")
	}
	if err != nil {
		t.warn("%v; the agent tries again at its next start", err)
		return t.report(james.Broken, t.failed)
	}
	if err := t.cleanUp(true); err != nil {
		t.log.WithError(err).Warn("undone, but not cleaned up; that is done at the next start")
	}
	return t.report(james.RolledBack, t.failed)
}

// undo brings back what was before. It may be cut off anywhere, also by an
// error, and begun again.
func (t *txn) undo(ctx context.Context) error {
	if err := t.record(&record{Undo: t.failed}); err != nil {
		return err
	}
	t.i.Disk.Forget()
	for n, o := range slices.Backward(t.ops) {
		if err := t.undoOne(ctx, n, o); err != nil {
			return err
		}
	}
	for _, dt := range t.times {
		if err := t.setTime(dt); err != nil {
			return err
		}
		t.areas[dt.Area].batch.Add(string(dt.Path))
	}
	if err := t.flush(); err != nil {
		return err
	}
	return t.record(&record{Undone: true})
}

func (t *txn) undoOne(ctx context.Context, n int, o *op) error {
	switch o.Kind {
	case opScript:
		return t.undoScript(ctx, n, o)
	case opAway:
		return t.undoAway(o)
	case opRmdir:
		return t.undoRmdir(o)
	case opMkdir:
		return t.undoMkdir(o)
	case opPlace:
		return t.undoPlace(o)
	case opMeta:
		return t.restoreMeta(o)
	}
	return nil // a barrier keeps nothing, and times are set back at the end
}

// undoScript runs the mirror of a script whose turn had come. That it fails
// stops nothing.
func (t *txn) undoScript(ctx context.Context, n int, o *op) error {
	name := mirror(o.Script)
	if !t.begun[n] || t.restored[n] || !t.steps[o.Step].side(o.Old).Scripts[name] {
		return nil
	}
	rerun := t.restoring[n]
	if err := t.record(&record{Restore: n + 1}); err != nil {
		return err
	}
	t.restoring[n] = true
	done := &record{Restored: n + 1}
	if err := t.run(ctx, o, name, james.ActionRestore, rerun); err != nil {
		done.Warning = err.Error()
		t.warn("%s", done.Warning)
	}
	t.restored[n] = true
	return t.note(done)
}

// undoAway puts the old file back. Where an empty directory lies in its place, a
// script had removed it, and nothing comes back.
func (t *txn) undoAway(o *op) error {
	old := t.areas[o.Area].old(o.Name)
	info, err := t.i.Disk.Lstat(old)
	if errors.Is(err, os.ErrNotExist) {
		return nil // it never went, or is back
	}
	if err != nil || info.IsDir() {
		return err
	}
	t.moved(o, old)
	return t.putBack(o, old)
}

// putBack renames old to the op's path. What a script made there that a rename
// does not replace is moved aside, and a directory that it removed is made again.
func (t *txn) putBack(o *op, old string) error {
	d, path := t.i.Disk, string(o.Path)
	err := d.Rename(old, path)
	switch {
	case errors.Is(err, unix.EISDIR), errors.Is(err, unix.ENOTEMPTY), errors.Is(err, unix.EEXIST):
		if err := t.moveAside(o); err != nil {
			return err
		}
	case errors.Is(err, os.ErrNotExist), errors.Is(err, unix.ENOTDIR):
		if err := d.MkdirAll(parent(path), 0o755); err != nil {
			return err
		}
	default:
		return err
	}
	return d.Rename(old, path)
}

// moveAside moves what lies at the op's path into the work area, where it is
// removed in the end: it was not there before.
func (t *txn) moveAside(o *op) error {
	aside := t.areas[o.Area].old("aside-" + o.Name)
	if err := t.i.Disk.RemoveAll(aside); err != nil {
		return err
	}
	return t.i.Disk.Rename(string(o.Path), aside)
}

// undoPlace takes a new file away again whose staged copy is gone, so that it
// must be the one at the path. Where an old file went before, it must be gone
// still: else what lies at the path is the old one. A directory there is the old
// one, too.
func (t *txn) undoPlace(o *op) error {
	d, a := t.i.Disk, t.areas[o.Area]
	staged, err := d.Exists(a.new(o.Name))
	if err != nil || staged {
		return err
	}
	if o.Pair != "" {
		if away, err := d.Exists(a.old(o.Pair)); err != nil || !away {
			return err
		}
	}
	info, err := d.Lstat(string(o.Path))
	if errors.Is(err, os.ErrNotExist) || err == nil && info.IsDir() {
		return nil
	}
	if err != nil {
		return err
	}
	t.moved(o, a.new(o.Name))
	return d.Rename(string(o.Path), a.new(o.Name))
}

// undoMkdir removes a directory that was made. One in which a script has left
// something stays.
func (t *txn) undoMkdir(o *op) error {
	info, err := t.i.Disk.Lstat(string(o.Path))
	if errors.Is(err, os.ErrNotExist) || err == nil && !info.IsDir() {
		return nil
	}
	if err != nil {
		return err
	}
	t.areas[o.Area].batch.AddParent(string(o.Path))
	return ignore(t.i.Disk.Rmdir(string(o.Path)), unix.ENOTEMPTY)
}

// undoRmdir makes a directory again that was removed.
func (t *txn) undoRmdir(o *op) error {
	d, path := t.i.Disk, string(o.Path)
	info, err := d.Lstat(path)
	if err == nil && !info.IsDir() {
		if err := t.moveAside(o); err != nil {
			return err
		}
		err = os.ErrNotExist
	}
	if errors.Is(err, os.ErrNotExist) {
		t.areas[o.Area].batch.AddParent(path)
		if err := d.MkdirAll(path, 0o700); err != nil {
			return err
		}
		return t.changed(o, d.SetMeta(path, o.Was.disk()))
	}
	if err != nil {
		return err
	}
	return t.restoreMeta(o)
}

// restoreMeta gives a directory the metadata of before, if it has others.
func (t *txn) restoreMeta(o *op) error {
	d, path, was := t.i.Disk, string(o.Path), o.Was
	info, err := d.Lstat(path)
	if errors.Is(err, os.ErrNotExist) || err == nil && !info.IsDir() {
		return nil
	}
	if err != nil {
		return err
	}
	same := info.Mode == uint32(was.Mode) && (!d.Privileged() || info.UID == was.UID && info.GID == was.GID)
	if same && o.Kind == opRmdir && len(was.Xattrs) == 0 {
		return nil
	}
	return t.changed(o, d.SetMeta(path, was.disk()))
}
