package boltstore

import (
	"context"
	"encoding/json"

	"go.etcd.io/bbolt"

	"github.com/trusch/jamesd/internal/server/store"
	"github.com/trusch/jamesd/pkg/james"
)

// pruneEvery is the number of events after which the oldest are dropped.
const pruneEvery = 1000

// AppendEvent implements store.Store.
func (s *Store) AppendEvent(ctx context.Context, e james.Event) (james.Event, error) {
	err := s.update(ctx, func(tx *bbolt.Tx) (refusal, failure error) {
		b := tx.Bucket(bucketEvents)
		if e.Seq, failure = b.NextSequence(); failure != nil {
			return nil, failure
		}
		raw, err := json.Marshal(e)
		if err != nil {
			return nil, james.Errorf(james.KindInternal, "event", "encoding: %w", err)
		}
		if err := b.Put(bytesOf(e.Seq), raw); err != nil || e.Seq%pruneEvery != 0 {
			return nil, err
		}
		return nil, prune(b, e.Seq)
	})
	if err != nil {
		return james.Event{}, err
	}
	return e, nil
}

// prune drops all but the newest store.MinEvents events; newest is the last one.
func prune(events *bbolt.Bucket, newest uint64) error {
	c := events.Cursor()
	var old [][]byte // bbolt does not allow deleting within an iteration
	for k, _ := c.First(); k != nil && number(k)+store.MinEvents <= newest; k, _ = c.Next() {
		old = append(old, k)
	}
	for _, k := range old {
		if err := events.Delete(k); err != nil {
			return err
		}
	}
	return nil
}

// ListEvents implements store.Store.
func (s *Store) ListEvents(ctx context.Context, after uint64, limit int) ([]james.Event, error) {
	var events []james.Event
	err := s.view(ctx, func(tx *bbolt.Tx) error {
		c := tx.Bucket(bucketEvents).Cursor()
		for k, v := c.Seek(bytesOf(after + 1)); k != nil && len(events) < limit; k, v = c.Next() {
			var e james.Event
			if err := json.Unmarshal(v, &e); err != nil {
				return james.Errorf(james.KindCorrupt, s.file, "decoding event %d: %w", number(k), err)
			}
			events = append(events, e)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return events, nil
}
