package server

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/trusch/jamesd/internal/server/blob"
	"github.com/trusch/jamesd/internal/server/blob/dirblob"
	"github.com/trusch/jamesd/internal/server/blob/gridfs"
	"github.com/trusch/jamesd/internal/server/store"
	"github.com/trusch/jamesd/internal/server/store/boltstore"
	"github.com/trusch/jamesd/internal/server/store/mongostore"
	"github.com/trusch/jamesd/pkg/james"
)

// backend is where jamesd keeps everything.
type backend struct {
	store store.Store
	blobs blob.Store
}

func isMongo(db string) bool {
	return strings.HasPrefix(db, "mongodb://") || strings.HasPrefix(db, "mongodb+srv://")
}

func checkDB(db string) error {
	scheme, _, isURI := strings.Cut(db, "://")
	switch {
	case db == "":
		return james.Errorf(james.KindInvalid, "--db", "is empty")
	case isURI && !isMongo(db):
		return james.Errorf(james.KindInvalid, "--db", "there is no kind of database %q", scheme).
			WithHint("Give a directory, or a URI that begins with mongodb://.")
	}
	return nil
}

// openBackend opens what --db names. It fails with KindConflict for a directory
// that another jamesd has, and with KindUnavailable for a database that does not
// answer.
func openBackend(ctx context.Context, db string) (*backend, error) {
	if isMongo(db) {
		return open(
			func() (store.Store, error) { return mongostore.Open(ctx, db) },
			func() (blob.Store, error) { return gridfs.Open(ctx, db) })
	}
	if err := os.MkdirAll(db, 0o700); err != nil {
		return nil, &james.Error{Kind: james.KindInvalid, Subject: db, Err: err}
	}
	return open(
		func() (store.Store, error) { return boltstore.Open(ctx, filepath.Join(db, databaseFile)) },
		func() (blob.Store, error) { return openDir(ctx, filepath.Join(db, blobsDir)) })
}

// openDir opens the blobs of a directory whose lock this process has got with
// its jamesd.db: what unfinished uploads left there is nobody's any more, and
// the fleet would wait a day before it says so.
func openDir(ctx context.Context, dir string) (blob.Store, error) {
	b, err := dirblob.Open(ctx, dir)
	if err != nil {
		return nil, err
	}
	if err := b.Sweep(ctx, time.Now()); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

func open(openStore func() (store.Store, error), openBlobs func() (blob.Store, error)) (*backend, error) {
	s, err := openStore()
	if err != nil {
		return nil, err
	}
	b, err := openBlobs()
	if err != nil {
		s.Close()
		return nil, err
	}
	return &backend{s, b}, nil
}

func (b *backend) close() error {
	return errors.Join(b.blobs.Close(), b.store.Close())
}
