package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/trusch/jamesd/internal/config"
	"github.com/trusch/jamesd/internal/meter"
	"github.com/trusch/jamesd/internal/server/backup"
	"github.com/trusch/jamesd/internal/server/blob"
	"github.com/trusch/jamesd/internal/server/blob/dirblob"
	"github.com/trusch/jamesd/internal/server/fleet"
	"github.com/trusch/jamesd/internal/server/store/boltstore"
	"github.com/trusch/jamesd/pkg/james"
)

const aboutRestore = `Make a directory for --db of what jamesd backup has written. The directory must be
empty or not be there. Everything is compared with its digest while it is read, and
the directory is there when all of it is, or not at all: until then it is one
beside it, NAME.restoring-*, which an interrupt removes.

Run by root, what is restored belongs to whom the empty directory belonged to.

Exit codes: 0 all is there; 1 nothing is; 2 wrong settings; 3 all that is in the
backup is there, and it lacks blobs, as it said when it was made.`

func newRestoreCommand(p config.Process) *cobra.Command {
	var from string
	cmd := newKeptCommand(p, func(ctx context.Context, o *options) error {
		if err := checkBackup(o.db, "--from", from, p.In); err != nil {
			return config.UsageError(err)
		}
		sum, err := restore(ctx, p, o.db, from)
		if err != nil {
			return james.Cannot("restore", o.db, err)
		}
		fmt.Fprintf(p.Err, "restored %s as of %s: %s, %s of %s\n", o.db, sum.Created.Local().Format("2006-01-02 15:04:05"),
			count(int64(sum.Packets), "packet", "packets"), count(sum.Blobs, "blob", "blobs"), amount(sum.Bytes))
		return lacks(sum)
	})
	cmd.Use, cmd.Short, cmd.Long = "restore --from FILE|-", "Make a directory of what jamesd backup has saved", aboutRestore
	cmd.Example = "  jamesd restore --db /var/lib/jamesd --from /backup/jamesd.tar.zst"
	cmd.Flags().StringVar(&from, "from", "", "`file` to read, or - for the standard input")
	return cmd
}

// restore makes db of the backup in a file.
func restore(ctx context.Context, p config.Process, db, from string) (sum backup.Summary, err error) {
	owner, err := mayRestore(db)
	if err != nil {
		return sum, err
	}
	in, size := io.Reader(p.In), int64(0)
	if from != "-" {
		f, err := os.Open(from)
		if err != nil {
			return sum, james.Errorf(james.KindInvalid, "--from", "%w", err)
		}
		defer f.Close()
		if info, err := f.Stat(); err == nil {
			size = info.Size()
		}
		in = f
	}
	abs, err := filepath.Abs(db)
	if err != nil {
		return sum, err
	}
	beside, err := os.MkdirTemp(filepath.Dir(abs), filepath.Base(abs)+".restoring-*") // 0700
	if err != nil {
		return sum, james.Errorf(james.KindDenied, db, "%w", err).WithHint("What is restored is made beside it and then takes its name.")
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(beside))
		}
	}()
	line := meter.New(p.Err)
	defer line.Clear()
	done, show := int64(0), line.Bytes("restoring")
	in = io.TeeReader(in, counter{io.Discard, func(more int64) { done += more; show(done, size) }})
	if sum, err = fill(ctx, beside, in); err != nil {
		return sum, err
	}
	return sum, takePlace(beside, abs, owner)
}

// mayRestore fails where something is in the place of db, and returns to whom what is
// restored is to belong, -1 for whoever runs this.
func mayRestore(db string) (owner int, err error) {
	entries, err := os.ReadDir(db)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return -1, nil
	case err != nil:
		return -1, james.Errorf(james.KindInvalid, db, "%w", err)
	case len(entries) > 0:
		return -1, james.Errorf(james.KindExists, db, "is not empty").
			WithHint("Move it away, or name another directory with --db.")
	}
	info, err := os.Stat(db)
	if err != nil {
		return -1, err
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && os.Geteuid() == 0 {
		return int(stat.Uid), nil
	}
	return -1, nil
}

// fill puts a backup into a new directory, and makes sure of what it has got.
func fill(ctx context.Context, dir string, in io.Reader) (sum backup.Summary, err error) {
	db, err := os.OpenFile(filepath.Join(dir, databaseFile), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return sum, err
	}
	defer db.Close()
	blobs, err := dirblob.Open(ctx, filepath.Join(dir, blobsDir))
	if err != nil {
		return sum, err
	}
	defer blobs.Close()
	if sum, err = backup.Read(ctx, in, db, blobs); err != nil {
		return sum, err
	}
	if err := errors.Join(db.Sync(), syncDir(dir)); err != nil {
		return sum, err
	}
	return sum, complete(ctx, dir, blobs, sum)
}

// complete opens the database, and fails unless all that it refers to is there, but
// for what the backup said that it lacks.
func complete(ctx context.Context, dir string, blobs blob.Store, sum backup.Summary) error {
	s, err := boltstore.Open(ctx, filepath.Join(dir, databaseFile))
	if err != nil {
		return err
	}
	defer s.Close()
	var packets []*james.Packet
	err = s.(backup.Snapshotter).Snapshot(ctx, func(all []*james.Packet, _ int64, _ io.WriterTo) error {
		packets = all
		return nil
	})
	if err != nil {
		return err
	}
	lacking := int64(0)
	err = fleet.EachNeeded(ctx, blobs, packets, func(*james.Packet, error) { lacking++ }, func(b fleet.Blob) error {
		missing, err := blobs.Missing(ctx, []james.Digest{b.Digest})
		lacking += int64(len(missing))
		return err
	})
	if err == nil && lacking > sum.Damaged {
		err = james.Errorf(james.KindCorrupt, "backup", "lacks %s that the database in it refers to", count(lacking, "blob", "blobs"))
	}
	return err
}

// takePlace gives what was restored its name.
func takePlace(beside, db string, owner int) error {
	if owner > 0 {
		err := filepath.WalkDir(beside, func(path string, _ fs.DirEntry, err error) error {
			return errors.Join(err, os.Lchown(path, owner, -1))
		})
		if err != nil {
			return err
		}
	}
	err := syscall.Rename(beside, db) // os.Rename refuses to take the place of an empty directory
	if errors.Is(err, syscall.EBUSY) || errors.Is(err, syscall.EXDEV) {
		return james.Errorf(james.KindInvalid, db, "is a file system of its own, whose place nothing can take").
			WithHint("Name a directory in it with --db, and run jamesd with that.")
	}
	if err != nil {
		return err
	}
	return syncDir(filepath.Dir(db))
}
