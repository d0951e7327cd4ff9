package boltstore

import (
	"context"
	"encoding/json"
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/trusch/jamesd/internal/server/store"
	"github.com/trusch/jamesd/pkg/james"
)

// Verify implements store.Store. It reads the file through its buckets, as all
// else does: what bbolt itself has for this ends the process where a page is damaged.
func (s *Store) Verify(ctx context.Context, damaged func(error)) error {
	return s.view(ctx, func(tx *bbolt.Tx) (err error) {
		defer func() {
			if cause := recover(); cause != nil { // a page that is not what refers to it says
				damaged(s.corrupt("reading it failed: %v", cause))
			}
		}()
		v := verifier{Store: s, ctx: ctx, tx: tx, damaged: damaged}
		for _, t := range tables {
			if err := v.table(t); err != nil {
				return err
			}
		}
		if n := tx.Bucket(bucketChanges).Stats().KeyN; n != v.rows {
			damaged(s.corrupt("has %d rows and an order of %d", v.rows, n))
		}
		return v.rest()
	})
}

func (s *Store) corrupt(format string, args ...any) error {
	return james.Errorf(james.KindCorrupt, s.file, "%w", fmt.Errorf(format, args...))
}

// verifier is one look at everything.
type verifier struct {
	*Store
	ctx     context.Context
	tx      *bbolt.Tx
	damaged func(error)
	rows    int // also deleted ones
}

// table looks at the rows of a table, each of which must be readable and in its
// place in the order of changes.
func (v *verifier) table(t store.TableName) error {
	changes := v.tx.Bucket(bucketChanges)
	return v.tx.Bucket(bucketOf(t)).ForEach(func(key, value []byte) error {
		v.rows++
		if len(value) < 8 {
			v.damaged(v.corrupt("%s %q is cut off", t, key))
			return store.Alive(v.ctx)
		}
		seq, raw := parseRow(value)
		row := store.Row{Table: t, Key: string(key), Seq: seq, JSON: raw}
		if err := row.Verify(); err != nil {
			v.damaged(err)
		}
		if name := changes.Get(bytesOf(seq)); string(name) != string(t)+"\x00"+string(key) {
			v.damaged(v.corrupt("%s %q is not in its place among the changes", t, key))
		}
		return store.Alive(v.ctx)
	})
}

// rest looks at events, secrets and last-seen times.
func (v *verifier) rest() error {
	err := v.tx.Bucket(bucketEvents).ForEach(func(seq, raw []byte) error {
		var e james.Event
		if len(seq) != 8 {
			v.damaged(v.corrupt("event %q has no number", seq))
		} else if err := json.Unmarshal(raw, &e); err != nil {
			v.damaged(v.corrupt("decoding event %d: %w", number(seq), err))
		}
		return store.Alive(v.ctx)
	})
	if err != nil {
		return err
	}
	err = v.tx.Bucket(bucketSecrets).ForEach(func(key, value []byte) error {
		if len(value) < 8 {
			v.damaged(v.corrupt("the secret %q is cut off", key))
			return nil
		}
		seq, raw := parseRow(value)
		row := store.Row{Table: store.TableSecrets, Key: string(key), Seq: seq, JSON: raw}
		if err := row.Verify(); err != nil {
			v.damaged(err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return v.tx.Bucket(bucketSeen).ForEach(func(device, at []byte) error {
		if len(at) != 8 {
			v.damaged(v.corrupt("the last-seen time of device %q is cut off", device))
		}
		return nil
	})
}
