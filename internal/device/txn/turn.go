package txn

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"github.com/trusch/jamesd/pkg/james"
)

// turnPause is the time between two looks whether another process is done.
const turnPause = 50 * time.Millisecond

// enter waits until nobody else changes the device, and keeps everybody else from
// it until leave is called. The journal and the inventory are read anew: another
// process may have changed them, or ended in the middle of it.
func (i *Installer) enter(ctx context.Context) (leave func(), err error) {
	if leave, err = i.takeTurn(ctx, false); err != nil {
		return nil, err
	}
	if err := i.reread(); err != nil {
		leave()
		return nil, err
	}
	return leave, nil
}

// takeTurn takes the lock of transactions. Shared, it only waits for those that
// are under way and keeps none from beginning in this process.
func (i *Installer) takeTurn(ctx context.Context, shared bool) (leave func(), err error) {
	i.busy.Lock()
	if err := i.await(ctx, shared); err != nil {
		i.busy.Unlock()
		return nil, err
	}
	return func() { i.turn.Release(); i.busy.Unlock() }, nil
}

func (i *Installer) await(ctx context.Context, shared bool) error {
	for told := false; ; told = true {
		if ok, err := i.turn.Try(shared); ok || err != nil {
			return err
		}
		if !told {
			i.waiting()
		}
		if sleep(ctx, turnPause) != nil {
			return james.Errorf(james.KindInterrupted, i.state.Root(), "stopped while another jamesc was in a transaction: %w", context.Cause(ctx))
		}
	}
}

func (i *Installer) waiting() {
	if i.Waiting != nil {
		i.Waiting()
		return
	}
	i.Log.Info("waiting for another jamesc to end its transaction")
}

// reread reads what other processes may have changed.
func (i *Installer) reread() error {
	i.Disk.Forget() // they may have replaced directories
	i.state.Forget()
	for _, dir := range []string{manifestDir, runDir} {
		if err := i.state.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	if err := i.openJournal(); err != nil {
		return err
	}
	return i.loadState()
}

// Interrupted reports whether a transaction in that state directory may have to be
// ended; it changes and locks nothing.
func Interrupted(stateDir string) bool {
	info, err := os.Stat(filepath.Join(stateDir, journalFile))
	return err == nil && info.Size() > 0
}

// Unfinished reports whether a transaction is unfinished that nobody is at, as
// another process ended in the middle of it. It costs next to nothing.
func (i *Installer) Unfinished() bool {
	i.busy.Lock()
	defer i.busy.Unlock()
	if ok, err := i.turn.Try(true); !ok || err != nil {
		return false // the next look tells
	}
	defer i.turn.Release()
	info, err := i.state.Lstat(journalFile)
	return err == nil && info.Size > 0
}
