package boltstore

import (
	"context"
	"time"

	"go.etcd.io/bbolt"
)

// Touch implements store.Store.
func (s *Store) Touch(ctx context.Context, seen map[string]time.Time) error {
	if len(seen) == 0 {
		return s.Ping(ctx)
	}
	return s.update(ctx, func(tx *bbolt.Tx) (refusal, failure error) {
		b := tx.Bucket(bucketSeen)
		for device, at := range seen {
			if last := b.Get([]byte(device)); last != nil && !at.After(timeOf(last)) {
				continue
			}
			if err := b.Put([]byte(device), bytesOf(uint64(at.UnixNano()))); err != nil {
				return nil, err
			}
		}
		return nil, nil
	})
}

// Seen implements store.Store.
func (s *Store) Seen(ctx context.Context) (map[string]time.Time, error) {
	seen := make(map[string]time.Time)
	err := s.view(ctx, func(tx *bbolt.Tx) error {
		return tx.Bucket(bucketSeen).ForEach(func(device, at []byte) error {
			seen[string(device)] = timeOf(at)
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	return seen, nil
}

// Forget implements store.Store.
func (s *Store) Forget(ctx context.Context, device string) error {
	return s.update(ctx, func(tx *bbolt.Tx) (refusal, failure error) {
		return nil, tx.Bucket(bucketSeen).Delete([]byte(device))
	})
}

func timeOf(b []byte) time.Time { return time.Unix(0, int64(number(b))).UTC() }
