package boltstore

import (
	"bytes"
	"context"
	"errors"

	"go.etcd.io/bbolt"

	"github.com/trusch/jamesd/internal/server/store"
)

// secrets are rows beside the changes: who follows those must not learn them.
type secrets struct{ *Store }

// Secrets implements store.Store.
func (s *Store) Secrets() store.Table[store.Secret] {
	return store.NewTable[store.Secret](secrets{s}, store.TableSecrets)
}

// GetRow implements store.Rows.
func (s secrets) GetRow(ctx context.Context, _ store.TableName, key string) (raw []byte, err error) {
	err = s.view(ctx, func(tx *bbolt.Tx) error {
		_, found := parseRow(tx.Bucket(bucketSecrets).Get([]byte(key)))
		raw = bytes.Clone(found)
		return nil
	})
	return raw, err
}

// UpdateRow implements store.Rows.
func (s secrets) UpdateRow(ctx context.Context, _ store.TableName, key string, change func([]byte) ([]byte, error)) (seq uint64, err error) {
	err = s.update(ctx, func(tx *bbolt.Tx) (refusal, failure error) {
		rows := tx.Bucket(bucketSecrets)
		var old, raw []byte
		seq, old = parseRow(rows.Get([]byte(key)))
		raw, refusal = change(old)
		switch {
		case errors.Is(refusal, store.ErrUnchanged):
			return nil, nil
		case refusal != nil:
			return refusal, nil
		}
		if seq, failure = rows.NextSequence(); failure != nil {
			return nil, failure
		}
		return nil, rows.Put([]byte(key), append(bytesOf(seq), raw...))
	})
	if err != nil {
		return 0, err
	}
	return seq, nil
}
