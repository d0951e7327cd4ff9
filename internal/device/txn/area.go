package txn

import (
	"errors"
	"maps"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/trusch/jamesd/internal/device/disk"
	"github.com/trusch/jamesd/pkg/james"
)

// area is the work area of one mount.
type area struct {
	Top  james.Path `json:"top"`  // topmost directory of the mount in the install root
	Time time.Time  `json:"time"` // of Top, before the area was made in it
	// Inode is that of Top; 0 where it is not known. Another one is there when the
	// file system is not mounted.
	Inode uint64 `json:"inode,omitzero"`
	// Changed says that the transaction changes names in Top, so that its time is
	// not set back after a commit.
	Changed bool `json:"changed,omitzero"`

	batch *disk.Batch
	// done says that the area was removed already, so that nothing in it is left
	// to undo.
	done bool
}

// workDir is the name of a work area. No packet may have a path of that name.
const workDir = ".jamesc"

// A prefix and the id of the state directory are the name of a directory that
// says whose a work area is; its time is that of the area's Top. It is the last
// one to be removed, by its name.
const (
	ownerPrefix   = "owner-"
	undoingPrefix = "undoing-" // see markUndoing
)

func (a *area) dir() string            { return join(string(a.Top), workDir) }
func (a *area) old(name string) string { return a.dir() + "/old/" + name }
func (a *area) new(name string) string { return a.dir() + "/new/" + name }

// mark is the directory that says whose the area is.
func (a *area) mark(prefix, id string) string { return a.dir() + "/" + prefix + id }

// dirCopy is the directory that undoing puts in the place of one that the rmdir
// of that name removes.
func (a *area) dirCopy(name string) string { return a.new("dir-" + name) }

// checkAreas refuses a plan that needs a work area in which old files lie. They
// belong to a transaction that nobody knows any more, and may be all that is left
// of what it replaced.
func (t *txn) checkAreas() error {
	for _, a := range t.areas {
		n, err := t.i.oldFiles(a)
		if err = errors.Join(err, ownerless(t.i.Disk, a, n)); err != nil {
			return err
		}
	}
	return nil
}

// makeArea makes an area and opens its batch.
func (t *txn) makeArea(a *area) (err error) {
	d := t.i.Disk
	if err := d.RemoveAll(a.dir()); err != nil {
		return err
	}
	if err := d.Mkdir(a.dir(), 0o700); err != nil {
		return err
	}
	if err := t.clearACLs(a.dir()); err != nil {
		return err
	}
	if err := t.markArea(a); err != nil {
		return err
	}
	for _, dir := range []string{a.dir() + "/old", a.dir() + "/new"} {
		if err := d.Mkdir(dir, 0o700); err != nil {
			return err
		}
	}
	a.batch, err = d.NewBatch(a.dir())
	if err == nil {
		a.batch.Add(string(a.Top))
		a.batch.Add(a.dir())
	}
	return err
}

// markArea notes in an area whose it is.
func (t *txn) markArea(a *area) error {
	mark := a.mark(ownerPrefix, t.i.id)
	if err := t.i.Disk.Mkdir(mark, 0o700); err != nil {
		return err
	}
	return t.i.Disk.SetTime(mark, a.Time)
}

// markUndoing notes durably in the work areas that a transaction on probation is
// being undone, where the journal cannot say so: else the next start would go on
// with the probation of what is undone in part. It takes no room.
func (t *txn) markUndoing() error {
	for _, a := range t.areas {
		if a.done {
			continue
		}
		err := t.i.Disk.Rename(a.mark(ownerPrefix, t.i.id), a.mark(undoingPrefix, t.i.id))
		if err := ignore(err, os.ErrNotExist); err != nil {
			return err
		}
		if err := t.i.Disk.Fsync(a.dir()); err != nil {
			return err
		}
	}
	return nil
}

// undoingBegan reports whether a work area says that the transaction is being
// undone, or is gone, as it was undone.
func (t *txn) undoingBegan() (bool, error) {
	for _, a := range t.areas {
		marked, err := t.i.Disk.Exists(a.mark(undoingPrefix, t.i.id))
		if a.done || marked || err != nil {
			return err == nil, err
		}
	}
	return false, nil
}

// clearACLs takes from a directory what it has inherited of the one above: what
// is made in it would have it, too, and keep it where it is renamed to.
func (t *txn) clearACLs(dir string) error {
	have, err := t.i.Disk.Xattrs(dir)
	if err != nil {
		return err
	}
	for _, attr := range slices.Sorted(maps.Keys(have)) {
		if !isACL(attr) {
			continue
		}
		if err := t.i.Disk.RemoveXattr(dir, attr); err != nil {
			return err
		}
	}
	return nil
}

// removeArea durably removes a work area, and with it the old files.
func (t *txn) removeArea(a *area, back bool) error {
	there, err := t.i.Disk.Exists(a.dir())
	if err != nil {
		return err
	}
	if there {
		if err := t.i.Disk.RemoveAll(a.dir()); err != nil {
			return err
		}
	}
	if back || !a.Changed {
		if err := t.setTime(dirTime{Path: a.Top, Time: a.Time}); err != nil {
			return err
		}
	}
	return ignore(t.i.Disk.Fsync(string(a.Top)), os.ErrNotExist)
}

// oldFiles returns how many files lie in old/ of an area.
func (i *Installer) oldFiles(a *area) (int, error) {
	names, err := i.Disk.ReadDir(a.dir() + "/old")
	return len(names), ignore(err, os.ErrNotExist, unix.ENOTDIR)
}

// ownerless says that a work area holds old files of an unknown transaction.
func ownerless(d *disk.Disk, a *area, n int) error {
	if n == 0 {
		return nil
	}
	return james.Errorf(james.KindCorrupt, d.Abs(a.dir()), "holds %d old files of a transaction that is not known any more", n).
		WithHint("look at the files in %s: they are what was replaced; then move %s away", d.Abs(a.dir()+"/old"), d.Abs(a.dir()))
}

// removeLeftovers removes the work areas of this state directory that belong to
// no transaction: the power was cut after the journal had been emptied. One with
// old files in it stays. It must not be called while a transaction is unfinished.
func (i *Installer) removeLeftovers() {
	for _, top := range i.Disk.LocalMounts() {
		a := &area{Top: james.Path(top)}
		if !i.owns(a) {
			continue
		}
		err := i.removeLeftover(a)
		log := i.Log.WithField("path", i.Disk.Abs(a.dir()))
		if err != nil {
			log.WithError(err).WithField("hint", james.HintOf(err)).Warn("a work area that was left behind stays")
			continue
		}
		log.Info("removed a work area that was left behind")
	}
}

// oldAreas returns the work areas of this state directory with old files in them.
func (i *Installer) oldAreas() []*area {
	var all []*area
	for _, top := range i.Disk.LocalMounts() {
		a := &area{Top: james.Path(top)}
		if n, err := i.oldFiles(a); (n > 0 || err != nil) && i.owns(a) {
			all = append(all, a)
		}
	}
	return all
}

func (i *Installer) removeLeftover(a *area) error {
	n, err := i.oldFiles(a)
	if err = errors.Join(err, ownerless(i.Disk, a, n)); err != nil {
		return err
	}
	mark, unmarked := i.Disk.Lstat(a.mark(ownerPrefix, i.id))
	if unmarked != nil {
		mark, unmarked = i.Disk.Lstat(a.mark(undoingPrefix, i.id))
	}
	if err := i.Disk.RemoveAll(a.dir()); err != nil || unmarked != nil {
		return err
	}
	return i.Disk.SetTime(string(a.Top), mark.Time)
}

// owns reports whether there is an area that was made with this state directory,
// or the very beginning of one.
func (i *Installer) owns(a *area) bool {
	names, err := i.Disk.ReadDir(a.dir())
	if err != nil || i.id == "" {
		return false
	}
	return len(names) == 0 || slices.Contains(names, ownerPrefix+i.id) || slices.Contains(names, undoingPrefix+i.id)
}
