package boltstore

import (
	"bytes"
	"context"
	"errors"

	"go.etcd.io/bbolt"

	"github.com/trusch/jamesd/internal/server/store"
	"github.com/trusch/jamesd/pkg/james"
)

// GetRow implements store.Rows.
func (s *Store) GetRow(ctx context.Context, table store.TableName, key string) (raw []byte, err error) {
	err = s.view(ctx, func(tx *bbolt.Tx) error {
		_, found := parseRow(tx.Bucket(bucketOf(table)).Get([]byte(key)))
		raw = bytes.Clone(found) // bbolt's memory ends with the transaction
		return nil
	})
	return raw, err
}

// UpdateRow implements store.Rows.
func (s *Store) UpdateRow(ctx context.Context, table store.TableName, key string, change func([]byte) ([]byte, error)) (seq uint64, err error) {
	if len(key) > bbolt.MaxKeySize {
		return 0, james.Errorf(james.KindInvalid, string(table), "a key has %d bytes, the limit is %d", len(key), bbolt.MaxKeySize)
	}
	err = s.update(ctx, func(tx *bbolt.Tx) (refusal, failure error) {
		var old, raw []byte
		seq, old = parseRow(tx.Bucket(bucketOf(table)).Get([]byte(key)))
		raw, refusal = change(old)
		if errors.Is(refusal, store.ErrUnchanged) {
			return nil, nil
		}
		if refusal == nil {
			seq, failure = putRow(tx, table, key, seq, raw)
		}
		return refusal, failure
	})
	if err != nil {
		return 0, err
	}
	return seq, nil
}

// putRow writes a row, or a deleted row where raw is nil, in the place of the
// one whose last change is former.
func putRow(tx *bbolt.Tx, table store.TableName, key string, former uint64, raw []byte) (uint64, error) {
	changes := tx.Bucket(bucketChanges)
	seq, err := changes.NextSequence()
	if err != nil {
		return 0, err
	}
	if former != 0 {
		if err := changes.Delete(bytesOf(former)); err != nil {
			return 0, err
		}
	}
	if err := changes.Put(bytesOf(seq), []byte(string(table)+"\x00"+key)); err != nil {
		return 0, err
	}
	return seq, tx.Bucket(bucketOf(table)).Put([]byte(key), append(bytesOf(seq), raw...))
}

// parseRow takes a row's value apart; it returns nil for a row that is deleted
// or never was.
func parseRow(value []byte) (seq uint64, raw []byte) {
	if value == nil {
		return 0, nil
	}
	seq = number(value)
	if len(value) > 8 {
		raw = value[8:]
	}
	return seq, raw
}

// Changes implements store.Store. It costs one look at a number when nothing
// has changed.
func (s *Store) Changes(ctx context.Context, since store.Cursor) (changes []store.Change, next store.Cursor, err error) {
	after, _ := since.Position.(uint64)
	next = since
	err = s.view(ctx, func(tx *bbolt.Tx) error {
		head := tx.Bucket(bucketChanges).Sequence()
		next = store.Cursor{Position: head}
		if head == after {
			return nil
		}
		var rows []store.Row
		c := tx.Bucket(bucketChanges).Cursor()
		for k, v := c.Seek(bytesOf(after + 1)); k != nil; k, v = c.Next() {
			row, err := readRow(tx, number(k), v)
			if err != nil {
				return err
			}
			if after > 0 || row.JSON != nil {
				rows = append(rows, row)
			}
			if len(rows) == store.ManyChanges {
				next = store.Cursor{Position: row.Seq}
				break
			}
		}
		// Decoding ends before the transaction, and with it the memory of the rows, does.
		changes, err = store.ChangesOf(len(rows), func(i int) (store.Row, error) { return rows[i], nil })
		return err
	})
	if err != nil {
		return nil, since, err
	}
	return changes, next, nil
}

// readRow returns the row that an entry of the changes bucket names.
func readRow(tx *bbolt.Tx, seq uint64, name []byte) (store.Row, error) {
	table, key, _ := bytes.Cut(name, []byte{0})
	rows := tx.Bucket(bucketOf(store.TableName(table)))
	if rows == nil {
		return store.Row{}, james.Errorf(james.KindCorrupt, string(name), "change %d is of a table that is not there", seq)
	}
	_, raw := parseRow(rows.Get(key))
	return store.Row{Table: store.TableName(table), Key: string(key), Seq: seq, JSON: raw}, nil
}
