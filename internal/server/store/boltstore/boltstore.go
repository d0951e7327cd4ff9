// Package boltstore keeps metadata in one bbolt file, for a jamesd that has
// nothing else. One process at a time has the file.
//
// Callers that write at the same time share a commit and its fsync. What a
// method has acknowledged is on the disk. The file holds a bucket for each
// table, one that orders the changes of all of them, and one each for events and
// for last-seen times; keys and values are described at the buckets' names.
package boltstore

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/trusch/jamesd/internal/server/store"
	"github.com/trusch/jamesd/internal/server/store/groupcommit"
	"github.com/trusch/jamesd/pkg/james"
)

// version of the file's layout.
const version = 1

// lockTimeout is how long Open waits for another process to let go of the file.
const lockTimeout = time.Second

// The buckets. A number is 8 bytes, big-endian, so that bytes sort as numbers.
var (
	bucketMeta    = []byte("meta")    // "version" -> number
	bucketChanges = []byte("changes") // sequence number -> table name, 0, row key; one per row
	bucketEvents  = []byte("events")  // sequence number -> event as JSON
	bucketSeen    = []byte("seen")    // device id -> time in nanoseconds since 1970
	bucketSecrets = []byte("secrets") // as a table's bucket; its changes are in no other
)

// bucketOf returns the name of a table's bucket: row key -> sequence number of
// the last change, row as JSON. A deleted row is the number alone, until the
// file is opened again.
func bucketOf(t store.TableName) []byte { return []byte("table-" + t) }

var tables = []store.TableName{store.TablePackets, store.TableDevices, store.TableDesired}

// Store is a store.Store in a bbolt file.
type Store struct {
	db     *bbolt.DB
	file   string
	writes *groupcommit.Queue[*write]
}

var _ store.Store = (*Store)(nil)

// Open opens the file, and makes it if it is not there; its directory must be.
// It fails with james.KindConflict when another process has the file or a newer
// jamesd wrote it, and with james.KindCorrupt when it is not a store.
func Open(ctx context.Context, file string) (store.Store, error) {
	if err := store.Alive(ctx); err != nil {
		return nil, err
	}
	db, err := bbolt.Open(file, 0o600, &bbolt.Options{Timeout: lockTimeout, FreelistType: bbolt.FreelistMapType})
	if err != nil {
		return nil, openError(file, err)
	}
	s := &Store{db: db, file: file}
	if err := db.Update(s.prepare); err != nil {
		db.Close() // the reason why it is closed matters more
		return nil, s.error(err)
	}
	s.writes = groupcommit.New(s.commit)
	return s, nil
}

func openError(file string, err error) error {
	switch {
	case errors.Is(err, berrors.ErrTimeout):
		return james.Errorf(james.KindConflict, file, "is in use by another process").
			WithHint("Stop the other jamesd, or give this one another --db directory.")
	case errors.Is(err, berrors.ErrInvalid), errors.Is(err, berrors.ErrChecksum), errors.Is(err, berrors.ErrVersionMismatch):
		return james.Errorf(james.KindCorrupt, file, "is not a store of jamesd: %w", err).
			WithHint("Restore the file from a backup, or move it away to start with an empty store.")
	case errors.Is(err, os.ErrPermission):
		return james.Errorf(james.KindDenied, file, "opening the store: %w", err)
	}
	return writeError(file, err)
}

// prepare makes the buckets of a new file, refuses a newer one's, and drops the
// deleted rows, which are kept for cursors, which end with the process.
func (s *Store) prepare(tx *bbolt.Tx) error {
	meta, err := tx.CreateBucketIfNotExists(bucketMeta)
	if err != nil {
		return err
	}
	if v := meta.Get([]byte("version")); v != nil && number(v) > version {
		return james.Errorf(james.KindConflict, s.file, "has layout version %d, this jamesd knows those up to %d", number(v), version).
			WithHint("Use the newer jamesd that wrote it.")
	}
	if err := meta.Put([]byte("version"), bytesOf(version)); err != nil {
		return err
	}
	names := [][]byte{bucketChanges, bucketEvents, bucketSeen, bucketSecrets}
	for _, t := range tables {
		names = append(names, bucketOf(t))
	}
	for _, name := range names {
		if _, err := tx.CreateBucketIfNotExists(name); err != nil {
			return err
		}
	}
	for _, t := range tables {
		if err := dropDeleted(tx, t); err != nil {
			return err
		}
	}
	return nil
}

func dropDeleted(tx *bbolt.Tx, t store.TableName) error {
	rows, changes := tx.Bucket(bucketOf(t)), tx.Bucket(bucketChanges)
	var keys [][]byte // bbolt does not allow deleting within an iteration
	err := rows.ForEach(func(key, value []byte) error {
		if len(value) == 8 {
			keys = append(keys, key)
		}
		return nil
	})
	for _, key := range keys {
		err = errors.Join(err, changes.Delete(rows.Get(key)), rows.Delete(key))
	}
	return err
}

// Packets implements store.Store.
func (s *Store) Packets() store.Table[james.Packet] {
	return store.NewTable[james.Packet](s, store.TablePackets)
}

// Devices implements store.Store.
func (s *Store) Devices() store.Table[james.Device] {
	return store.NewTable[james.Device](s, store.TableDevices)
}

// Desired implements store.Store.
func (s *Store) Desired() store.Table[james.Desired] {
	return store.NewTable[james.Desired](s, store.TableDesired)
}

// Ping implements store.Store.
func (s *Store) Ping(ctx context.Context) error {
	return s.view(ctx, func(*bbolt.Tx) error { return nil })
}

// Close implements store.Store.
func (s *Store) Close() error {
	s.writes.Close()
	return s.db.Close() // waits for readers
}

func bytesOf(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

func number(b []byte) uint64 { return binary.BigEndian.Uint64(b) }
