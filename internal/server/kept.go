package server

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/trusch/jamesd/internal/logging"
	"github.com/trusch/jamesd/internal/server/backup"
	"github.com/trusch/jamesd/internal/server/blob"
	"github.com/trusch/jamesd/internal/server/blob/dirblob"
	"github.com/trusch/jamesd/internal/server/control"
	"github.com/trusch/jamesd/internal/server/fleet"
	"github.com/trusch/jamesd/internal/server/store"
	"github.com/trusch/jamesd/internal/server/store/boltstore"
	"github.com/trusch/jamesd/pkg/james"
)

// The names in a directory of --db.
const (
	databaseFile = "jamesd.db"
	blobsDir     = "blobs"
)

// operationsOf returns what can be asked of the jamesd that has b.
func operationsOf(b *backend, f *fleet.Fleet) control.Operations {
	o := control.Operations{Check: f.Check}
	if s, ok := b.store.(backup.Snapshotter); ok {
		o.Backup = func(ctx context.Context, w io.Writer) (backup.Summary, error) {
			return backup.Write(ctx, w, backup.Source{Store: s, Blobs: b.blobs, Hold: f.HoldBlobs, Now: time.Now})
		}
	}
	return o
}

// kept is what can be done with what a jamesd keeps, whether one runs or not.
type kept struct {
	control.Operations
	// running is set where the jamesd that has the directory does it.
	running bool
	close   func() error
}

// openKept reaches what --db names: through the jamesd that has the directory, or by
// opening it, or the database, itself. It makes nothing that is not there. It fails
// with KindNotFound where nothing is kept.
func openKept(ctx context.Context, db string) (*kept, error) {
	if isMongo(db) {
		b, err := openBackend(ctx, db)
		if err != nil {
			return nil, err
		}
		return keptBy(b), nil
	}
	k, err := askRunning(ctx, db)
	if james.KindOf(err) != james.KindNotFound {
		return k, err
	}
	if _, err := os.Stat(filepath.Join(db, databaseFile)); err != nil {
		return nil, noStore(db, err)
	}
	b, err := open(
		func() (store.Store, error) { return boltstore.Open(ctx, filepath.Join(db, databaseFile)) },
		func() (blob.Store, error) { return dirblob.Open(ctx, filepath.Join(db, blobsDir)) })
	if err == nil {
		return keptBy(b), nil
	}
	if james.KindOf(err) != james.KindConflict {
		return nil, err
	}
	if k, again := askRunning(ctx, db); again == nil {
		return k, nil // it has only just started
	}
	return nil, err
}

func askRunning(ctx context.Context, db string) (*kept, error) {
	c, err := control.Dial(ctx, db)
	if err != nil {
		return nil, err
	}
	return &kept{control.Operations{Check: c.Check, Backup: c.Backup}, true, func() error { return nil }}, nil
}

func noStore(db string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return james.Errorf(james.KindNotFound, db, "no jamesd has kept anything there").
			WithHint("--db, or db in the settings file, names the directory that jamesd runs with.")
	}
	return james.Errorf(james.KindDenied, db, "%w", err).WithHint("Run it as the user that jamesd runs as, or as root.")
}

// keptBy returns what can be done with b, which it closes. Loading all rows is part
// of each operation: where they are damaged, a check can still say so.
func keptBy(b *backend) *kept {
	load := func(ctx context.Context) (control.Operations, error) {
		f, err := fleet.New(ctx, fleet.Options{Store: b.store, Blobs: b.blobs, Log: logging.Discard()})
		if err != nil {
			return control.Operations{}, err
		}
		return operationsOf(b, f), nil
	}
	return &kept{close: b.close, Operations: control.Operations{
		Check: func(ctx context.Context, o fleet.CheckOptions) (fleet.Checkup, error) {
			ops, err := load(ctx)
			if james.KindOf(err) == james.KindCorrupt {
				return checkRows(ctx, b, o, err)
			}
			if err != nil {
				return fleet.Checkup{}, err
			}
			return ops.Check(ctx, o)
		},
		Backup: func(ctx context.Context, w io.Writer) (backup.Summary, error) {
			ops, err := load(ctx)
			if err != nil {
				return backup.Summary{}, err
			}
			return ops.Backup(ctx, w)
		},
	}}
}

// checkRows tells what is wrong with rows that cannot be loaded for cause.
func checkRows(ctx context.Context, b *backend, o fleet.CheckOptions, cause error) (fleet.Checkup, error) {
	var sum fleet.Checkup
	found := func(err error) {
		sum.Problems++
		o.Found(fleet.Problem{What: err.Error() + "; the packets could not be looked at", Do: fleet.RestoreHint})
	}
	if err := b.store.Verify(ctx, found); err != nil && james.KindOf(err) != james.KindCorrupt {
		return sum, err
	}
	if sum.Problems == 0 {
		found(cause)
	}
	return sum, nil
}

// ownerOnly fails where what this process writes into a directory could not be read
// by the jamesd that runs with it.
func ownerOnly(db string) error {
	info, err := os.Stat(filepath.Join(db, databaseFile))
	if err != nil {
		return noStore(db, err)
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok || int(owner.Uid) == os.Geteuid() {
		return nil
	}
	return james.Errorf(james.KindDenied, db, "belongs to the user with number %d, who could not read what is repaired", owner.Uid).
		WithHint("Run it as that user, or while jamesd runs, which then does it.")
}
