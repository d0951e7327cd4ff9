package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/trusch/jamesd/internal/config"
	"github.com/trusch/jamesd/internal/meter"
	"github.com/trusch/jamesd/internal/server/backup"
	"github.com/trusch/jamesd/pkg/james"
)

const aboutBackup = `Write all that jamesd keeps in a directory into one file: the database as it is at
one moment, and every archive, manifest and content that it refers to. It is a tar
archive, compressed with zstd.

jamesd may run, and goes on with everything but deleting what it does not need any
more; the running jamesd is asked through the socket control.sock in the directory.
The file gets its name when it is whole, in the place of an older one. An interrupt
ends it at any time and leaves nothing.

What jamesd keeps in a MongoDB is backed up with that database's own tools.

Exit codes: 0 the backup is whole; 1 there is none; 2 wrong settings; 3 there is one,
and it lacks blobs that are damaged, which jamesd check names.`

func newBackupCommand(p config.Process) *cobra.Command {
	var to string
	cmd := newKeptCommand(p, func(ctx context.Context, o *options) error {
		if err := checkBackup(o.db, "--to", to, p.Out); err != nil {
			return config.UsageError(err)
		}
		return writeBackup(ctx, p, o.db, to)
	})
	cmd.Use, cmd.Short, cmd.Long = "backup --to FILE|-", "Save all that jamesd keeps in a directory", aboutBackup
	cmd.Example = "  jamesd backup --to /backup/jamesd.tar.zst\n  jamesd backup --to - | ssh other 'cat >jamesd.tar.zst'"
	cmd.Flags().StringVar(&to, "to", "", "`file` to write, or - for the standard output")
	return cmd
}

// checkBackup fails for what cannot be meant; stream is what - stands for.
func checkBackup(db, flag, file string, stream any) error {
	f, ok := stream.(*os.File)
	switch {
	case isMongo(db):
		return james.Errorf(james.KindInvalid, "--db", "what is in a MongoDB is backed up with mongodump and restored with mongorestore")
	case file == "":
		return james.Errorf(james.KindInvalid, flag, "is missing").WithHint("Give a file, or - for a stream.")
	case file == "-" && ok && term.IsTerminal(int(f.Fd())):
		return james.Errorf(james.KindInvalid, flag, "a backup is nothing for a terminal").WithHint("Give a file, or redirect it.")
	}
	return nil
}

func writeBackup(ctx context.Context, p config.Process, db, to string) error {
	k, err := openKept(ctx, db)
	if err != nil {
		return james.Cannot("back up", db, err)
	}
	defer k.close()
	var sum backup.Summary
	var size int64
	if to == "-" {
		sum, size, err = sendBackup(ctx, p, k, p.Out)
	} else {
		sum, size, err = saveBackup(ctx, p, k, to)
	}
	if err != nil {
		return james.Cannot("back up", db, err)
	}
	fmt.Fprintf(p.Err, "backed up %s: %s, %s of %s, in %s\n", db, count(int64(sum.Packets), "packet", "packets"), count(sum.Blobs, "blob", "blobs"), amount(sum.Bytes), amount(size))
	return lacks(sum)
}

// lacks fails where a backup has not all that it should have.
func lacks(sum backup.Summary) error {
	if sum.Damaged == 0 {
		return nil
	}
	return problemsError{james.Errorf(james.KindCorrupt, "", "the backup lacks %s", count(sum.Damaged, "blob that was damaged or gone", "blobs that were damaged or gone")).
		WithHint("jamesd check says which packets they belong to, and what to do about it.")}
}

// sendBackup writes a backup to w and returns its size.
func sendBackup(ctx context.Context, p config.Process, k *kept, w io.Writer) (backup.Summary, int64, error) {
	line := meter.New(p.Err)
	defer line.Clear()
	var size int64
	sum, err := k.Backup(ctx, counter{w, func(n int64) {
		size += n
		line.Show("backing up: %s", amount(size))
	}})
	return sum, size, err
}

// counter is a writer that tells how much went through it.
type counter struct {
	io.Writer
	wrote func(more int64)
}

func (c counter) Write(p []byte) (int, error) {
	n, err := c.Writer.Write(p)
	c.wrote(int64(n))
	return n, err
}

// saveBackup writes a backup into a file, which has another name until it is whole
// and on the disk.
func saveBackup(ctx context.Context, p config.Process, k *kept, file string) (sum backup.Summary, size int64, err error) {
	if info, err := os.Stat(file); err == nil && !info.Mode().IsRegular() {
		return sum, 0, james.Errorf(james.KindInvalid, file, "is there and is no regular file").WithHint("Write to it with --to - and a redirection.")
	}
	f, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+".unfinished-*")
	if err != nil {
		return sum, 0, james.Errorf(james.KindInvalid, "--to", "%w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close(), os.Remove(f.Name()))
		}
	}()
	if sum, size, err = sendBackup(ctx, p, k, f); err != nil {
		return sum, size, err
	}
	if err = f.Sync(); err != nil {
		return sum, size, err
	}
	if err = os.Rename(f.Name(), file); err != nil {
		return sum, size, err
	}
	return sum, size, errors.Join(f.Close(), syncDir(filepath.Dir(file)))
}

// syncDir makes the names in dir durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
