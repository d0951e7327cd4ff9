package txn

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/trusch/jamesd/pkg/james"
)

// Verification says how closely Verify looks.
type Verification struct {
	// Quick leaves the content of a file alone unless its size, its time or its
	// inode says that it may have changed since it was installed or since the last
	// Verify of this Installer.
	Quick bool
	// Progress, where set, is told how many bytes of how many were read; it is
	// called for every file and now and then within a large one.
	Progress func(done, total int64)

	// again makes it a quick one for what this Installer has verified before.
	again bool
}

// maxVerifications is how often Verify begins anew because a transaction of
// another process took place meanwhile.
const maxVerifications = 5

// Verify compares what is installed with the manifests and returns what differs,
// sorted by app and path. Files that an app has given up to one that replaces it
// are that one's. It changes nothing, keeps nobody from a transaction, and begins
// anew when there was one meanwhile. It fails with KindConflict while one is
// unfinished that nobody is at, and with KindInterrupted when ctx is done.
func (i *Installer) Verify(ctx context.Context, o Verification) ([]james.Change, error) {
	found, err := i.verify(ctx, o)
	if err != nil {
		return nil, err
	}
	changes := make([]james.Change, len(found))
	for n := range found {
		changes[n] = found[n].Change
	}
	return changes, nil
}

func (i *Installer) verify(ctx context.Context, o Verification) ([]finding, error) {
	i.verifying.Lock()
	defer i.verifying.Unlock()
	for range maxVerifications {
		before, err := i.look(ctx)
		if err != nil {
			return nil, err
		}
		v, failed := i.verifyOnce(ctx, o)
		after, err := i.look(ctx)
		if err != nil {
			return nil, errors.Join(failed, err)
		}
		switch {
		case failed != nil:
			return nil, failed
		case before == after:
			return v.found, nil
		}
	}
	return nil, james.Errorf(james.KindUnavailable, i.state.Root(), "transactions follow each other too fast to verify anything")
}

// moment is a time between two transactions. Each of them writes the journal.
type moment struct {
	inode uint64
	size  int64
	time  time.Time
}

// look waits until no transaction is under way and reads what is installed.
func (i *Installer) look(ctx context.Context) (moment, error) {
	leave, err := i.takeTurn(ctx, true)
	if err != nil {
		return moment{}, err
	}
	defer leave()
	info, err := i.state.Lstat(journalFile)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return moment{}, err
	}
	if info.Size > 0 {
		return moment{}, unfinished(i.state.Root())
	}
	if err := i.loadState(); err != nil {
		return moment{}, err
	}
	return moment{info.Ino, info.Size, info.Time}, nil
}
