package txn

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/trusch/jamesd/internal/device/disk"
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
	if err := t.endUndone(); err != nil {
		t.i.left = t
		t.log.WithError(err).Warn("undone, but not cleaned up; that is done before the next transaction")
	}
	return t.report(james.RolledBack, t.failed)
}

// undo brings back what was before. It may be cut off anywhere, also by an
// error, and begun again. It does not need a journal that can be written.
func (t *txn) undo(ctx context.Context) error {
	if err := t.checkStillThere(); err != nil {
		return err
	}
	if told := t.tell(&record{Undo: t.failed}); !told && t.probation > 0 {
		if err := t.markUndoing(); err != nil {
			return err
		}
	}
	t.i.Disk.Forget()
	for n, o := range slices.Backward(t.ops) {
		if err := t.undoOne(ctx, n, o); err != nil {
			return err
		}
	}
	for _, dt := range t.times {
		if t.areas[dt.Area].done {
			continue
		}
		if err := t.setTime(dt); err != nil {
			return err
		}
		t.areas[dt.Area].batch.Add(string(dt.Path))
	}
	return t.flush()
}

// checkStillThere fails where somebody, such as a script, has removed a work area: what
// was in it cannot be brought back.
func (t *txn) checkStillThere() error {
	for _, a := range t.areas {
		there, err := t.i.Disk.Exists(a.dir())
		if err == nil && !there && !a.done {
			err = james.Errorf(james.KindCorrupt, t.i.Disk.Abs(a.dir()), "was removed, with the old files in it").
				WithHint("jamesc verify lists what is missing, and with --repair fetches it")
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// tell notes durably how far undoing is. That it cannot stops nothing: what a
// next start then does not know is that a mirror has begun or ended, so that it
// runs again, and why the transaction failed.
func (t *txn) tell(r *record) (told bool) {
	err := t.record(r)
	if err != nil {
		t.untold(err)
	}
	return err == nil
}

// untold warns, once, that the journal cannot be written.
func (t *txn) untold(err error) {
	if !t.mute {
		t.mute = true
		t.warn("the journal could not be written: %v", err)
	}
}

// endUndone cleans up after undoing, in an order that is safe wherever it is cut
// off, also for good because the state directory cannot be written any more.
//
// Everything is as before and durable. With the record that says so the rest is
// simple: whoever reads it goes on with cleaning up. Where it cannot be written,
// a next start would undo once more. That changes nothing as long as the staged
// files lie where they are, as it is by their absence that a placed file is
// known; with the work areas gone it would look for them for ever. So first goes
// what is left in old/, which nothing is put back from any more, and in the state
// directory, then the journal itself, and only when that is durably empty the
// work areas: those are known as left behind by their empty old/. Where the journal cannot be emptied either,
// the work areas stay until it can: this process tries again before its next
// transaction, the next one after having undone nothing.
func (t *txn) endUndone() error {
	if err := t.record(&record{Undone: true}); err != nil {
		t.untold(err)
		if err := t.dropJournal(); err != nil {
			return err
		}
	}
	return t.cleanUp(true)
}

// dropJournal empties the journal of a transaction that is undone.
func (t *txn) dropJournal() error {
	d := t.i.Disk
	for _, a := range t.areas {
		old := a.dir() + "/old"
		if err := emptyDir(d, old); err != nil {
			return err
		}
		if err := ignore(d.Fsync(old), os.ErrNotExist); err != nil {
			return err
		}
	}
	if err := t.i.cleanState(); err != nil {
		return err
	}
	if err := t.i.state.Fsync("."); err != nil {
		return err
	}
	return t.i.log.Reset()
}

// emptyDir removes everything in a directory, which may be missing.
func emptyDir(d *disk.Disk, dir string) error {
	names, err := d.ReadDir(dir)
	if err != nil {
		return ignore(err, os.ErrNotExist)
	}
	for _, name := range names {
		if err := d.RemoveAll(join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}

func (t *txn) undoOne(ctx context.Context, n int, o *op) error {
	if o.Kind != opScript && o.Kind != opBarrier && t.areas[o.Area].done {
		return nil
	}
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
	t.tell(&record{Restore: n + 1})
	t.restoring[n] = true
	done := &record{Restored: n + 1}
	if err := t.run(ctx, o, name, james.ActionRestore, rerun); err != nil {
		done.Warning = err.Error()
		t.warn("%s", done.Warning)
	}
	t.restored[n] = true
	if err := t.note(done); err != nil {
		t.untold(err)
	}
	return nil
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
// something stays, and so does one that is back from before the transaction.
func (t *txn) undoMkdir(o *op) error {
	if o.Pair != "" {
		if removed, err := t.i.Disk.Exists(t.areas[o.Area].dirCopy(o.Pair)); err != nil || !removed {
			return err
		}
	}
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

// undoRmdir puts the copy of a directory that was removed in its place, which
// takes no room on the disk. Where the copy is gone, the directory is back.
func (t *txn) undoRmdir(o *op) error {
	d, path, copied := t.i.Disk, string(o.Path), t.areas[o.Area].dirCopy(o.Name)
	info, err := d.Lstat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
	case err != nil:
		return err
	case info.IsDir():
		return t.restoreMeta(o)
	default:
		if err := t.moveAside(o); err != nil {
			return err
		}
	}
	t.moved(o, copied)
	err = d.Rename(copied, path)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ENOTDIR) || immovable(err) {
		err = t.remake(path, copied)
	}
	if err != nil {
		return err
	}
	return t.changed(o, t.restoreMeta(o))
}

// immovable reports whether err is how a file system refuses to rename a
// directory: overlayfs does so, and others do for some.
func immovable(err error) bool {
	return errors.Is(err, unix.EXDEV) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.ENOSYS) ||
		errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM)
}

// remake makes a directory whose copy cannot be put in its place: there is none,
// the directory above it is missing, or directories cannot be renamed here.
func (t *txn) remake(path, copied string) error {
	if err := t.i.Disk.MkdirAll(path, 0o700); err != nil {
		return err
	}
	return ignore(t.i.Disk.Rmdir(copied), os.ErrNotExist)
}

// restoreMeta gives a directory the metadata of before, as far as it has others:
// what is as it was is not written, as that may need room on the disk.
func (t *txn) restoreMeta(o *op) error {
	d, path := t.i.Disk, string(o.Path)
	info, err := d.Lstat(path)
	if errors.Is(err, os.ErrNotExist) || err == nil && !info.IsDir() {
		return nil
	}
	if err != nil {
		return err
	}
	have, err := d.Xattrs(path)
	if err != nil {
		return err
	}
	was := o.Was.disk()
	for _, attr := range slices.Sorted(maps.Keys(have)) {
		if _, ok := was.Xattrs[attr]; ok || strings.HasPrefix(attr, "security.") {
			continue // a label that the system gives by itself
		}
		if err := t.changed(o, d.RemoveXattr(path, attr)); err != nil {
			return err
		}
	}
	was.Xattrs = maps.Clone(was.Xattrs)
	maps.DeleteFunc(was.Xattrs, func(attr string, value []byte) bool { return bytes.Equal(value, have[attr]) })
	same := info.Mode == was.Mode && (!d.Privileged() || info.UID == was.UID && info.GID == was.GID)
	if same && len(was.Xattrs) == 0 {
		return nil
	}
	return t.changed(o, d.SetMeta(path, was))
}

// isACL reports whether an extended attribute holds permissions, which a new
// directory inherits of the one above it.
func isACL(attr string) bool { return strings.HasPrefix(attr, "system.posix_acl_") }
