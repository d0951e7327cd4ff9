package txn

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/trusch/jamesd/internal/device/disk"
	"github.com/trusch/jamesd/internal/logging"
	"github.com/trusch/jamesd/pkg/james"
)

// Fault is something that is not as it should be in a state directory.
type Fault struct {
	Path string // absolute
	What string // is wrong with it, and what that means
	Do   string // what to do about it
}

// Checkup is what Check has found.
type Checkup struct {
	Apps int // installed packets
	// Busy says that a transaction is under way, so that what it works with was
	// not looked at.
	Busy   bool
	Faults []Fault
}

// checkup looks through the state directory of an installer that is not open.
type checkup struct {
	Checkup
	i *Installer
}

// Check looks through the installer's part of a state directory, which must exist,
// and changes nothing. It may be called while an agent runs. An error says that
// something cannot be read.
func Check(root, state *disk.Disk) (*Checkup, error) {
	c := &checkup{i: &Installer{Options: Options{Disk: root, Log: logging.Discard()}, state: state}}
	leave, err := c.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	for _, look := range []func() error{c.checkAccess, c.checkInventory, c.checkID, c.checkJournal, c.checkLeftovers} {
		if err := look(); err != nil {
			return nil, err
		}
	}
	return &c.Checkup, nil
}

func (c *checkup) fault(path, do, format string, args ...any) {
	c.Faults = append(c.Faults, Fault{c.i.state.Abs(path), fmt.Sprintf(format, args...), do})
}

// enter keeps transactions from beginning until leave is called, where none is
// under way.
func (c *checkup) enter() (leave func(), err error) {
	there, err := c.i.state.Exists(turnFile)
	if err != nil || !there { // no agent has run here yet
		return func() {}, err
	}
	lock, err := c.i.state.OpenLock(turnFile)
	if err != nil {
		return nil, err
	}
	free, err := lock.Try(true)
	if err != nil {
		lock.Close()
		return nil, err
	}
	c.Busy = !free
	return lock.Close, nil
}

// checkAccess looks who may write to the directory.
func (c *checkup) checkAccess() error {
	info, err := c.i.state.Lstat(".")
	if err != nil {
		return err
	}
	if info.UID != 0 && int(info.UID) != os.Geteuid() {
		c.fault(".", "give it to the user of jamesc: chown -R", "belongs to user %d, who can have anything run by jamesc", info.UID)
	}
	if info.Mode&0o022 != 0 {
		c.fault(".", "chmod go-w it", "can be written to by others than its owner (mode %04o), who can have anything run by jamesc", info.Mode)
	}
	return nil
}

// checkInventory looks at both copies of the inventory and at the manifests.
func (c *checkup) checkInventory() error {
	inv, faults, err := newest(c.i.state, stateFiles[:])
	if james.KindOf(err) == james.KindCorrupt {
		c.fault(stateFile, james.HintOf(err), "and its copy are damaged: what is installed is not known any more, and jamesc does not start")
		inv = &inventory{}
	} else if err != nil {
		return err
	}
	for n, fault := range faults {
		switch {
		case fault == nil || c.Busy: // they are being switched
		case errors.Is(fault, os.ErrNotExist):
			c.fault(stateFiles[n], "start jamesc, which writes it again", "is missing; its copy is whole")
		default:
			c.fault(stateFiles[n], "start jamesc, which writes it again", "is damaged or old; its copy is whole")
		}
	}
	c.i.setInventory(inv)
	c.Apps = len(inv.Apps)
	for _, a := range inv.Apps {
		if _, err := c.i.manifest(a.App); err != nil {
			c.fault(manifestFile(a.Digest), "jamesc verify --repair fetches it", "is damaged or missing: %s can be neither removed nor upgraded", a)
		}
	}
	return nil
}

func (c *checkup) checkID() error {
	if err := c.i.loadID(false); err != nil {
		return err
	}
	there, err := c.i.state.Exists(lockFile)
	if there && c.i.id == "" {
		c.fault(idFile, "start jamesc, which makes another", "is damaged or missing: work areas that a power cut leaves are not known as those of this directory")
	}
	return err
}

// checkJournal looks whether a transaction has not ended.
func (c *checkup) checkJournal() error {
	if c.Busy {
		return nil
	}
	if there, err := c.i.state.Exists(journalFile); err != nil || !there {
		return err
	}
	t, err := c.i.loadPending()
	switch {
	case james.KindOf(err) == james.KindCorrupt:
		c.fault(journalFile, "somebody must look; the old files are in the directories "+workDir, "is damaged: what it was in the middle of cannot be told (%v)", err)
	case err != nil:
		return err
	case t != nil:
		c.fault(journalFile, "start jamesc, which ends it", "a transaction of revision %d was interrupted %s", t.plan.Revision, t.phase())
	default:
		info, err := c.i.state.Lstat(journalFile)
		if err == nil && info.Size > 0 {
			c.fault(journalFile, "start jamesc, which empties it unless old files are left", "is damaged, and no transaction is known")
		}
		return err
	}
	return nil
}

// phase says in words how far a transaction got.
func (t *txn) phase() string {
	switch {
	case t.committed || t.switched():
		return "after it was committed; what is left is to clean up"
	case t.undone:
		return "after it was undone; what is left is to clean up"
	case t.failed != nil:
		return "while it was undone"
	case t.probation > 0:
		return "while it was on probation"
	case t.ready:
		return "while it changed the device"
	}
	return "before it changed anything"
}

// checkLeftovers looks for work areas that no transaction knows.
func (c *checkup) checkLeftovers() error {
	if c.Busy || slices.ContainsFunc(c.Faults, func(f Fault) bool { return f.Path == c.i.state.Abs(journalFile) }) {
		return nil // they belong to what the journal tells
	}
	for _, top := range c.i.Disk.LocalMounts() {
		a := &area{Top: james.Path(top)}
		if !c.i.owns(a) {
			continue
		}
		n, err := c.i.oldFiles(a)
		if err != nil {
			return err
		}
		f := Fault{c.i.Disk.Abs(a.dir()), "was left behind by a power cut", "start jamesc, which removes it"}
		if old, ok := ownerless(c.i.Disk, a, n).(*james.Error); ok {
			f.What, f.Do = old.Err.Error(), old.Hint
		}
		c.Faults = append(c.Faults, f)
	}
	return nil
}
