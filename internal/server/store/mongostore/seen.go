package mongostore

import (
	"context"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// touchStep is the number of devices whose times are written as one entry.
const touchStep = 5000

// Touch implements store.Store. The log of last-seen times is one of rows: the
// key is the device, the body its time.
func (s *Store) Touch(ctx context.Context, seen map[string]time.Time) error {
	if len(seen) == 0 {
		return s.Ping(ctx)
	}
	part := make(map[string]time.Time, min(len(seen), touchStep))
	left := len(seen)
	for device, at := range seen {
		part[device] = at
		if left--; left > 0 && len(part) < touchStep {
			continue
		}
		if err := s.touch(ctx, part); err != nil {
			return err
		}
		part = make(map[string]time.Time, min(left, touchStep))
	}
	return nil
}

func (s *Store) touch(ctx context.Context, seen map[string]time.Time) error {
	return s.seen.write(ctx, func(head uint64, group []change) ([]change, error) {
		var changes []change
		for device, at := range seen {
			last := s.seenState.find(rowID{"", device}, head, group)
			if last.body != nil && !at.After(seenAt(last.body)) {
				continue
			}
			body, err := bson.Marshal(bson.D{{Key: "at", Value: at.UnixNano()}})
			if err != nil {
				return nil, err
			}
			changes = append(changes, change{Key: device, Body: body})
		}
		return changes, nil
	})
}

// Seen implements store.Store.
func (s *Store) Seen(ctx context.Context) (map[string]time.Time, error) {
	seen := make(map[string]time.Time)
	err := s.seen.read(ctx, func() {
		for id, r := range s.seenState.rows {
			if r.body != nil {
				seen[id.key] = seenAt(r.body)
			}
		}
	})
	if err != nil {
		return nil, err
	}
	return seen, nil
}

// Forget implements store.Store.
func (s *Store) Forget(ctx context.Context, device string) error {
	return s.seen.write(ctx, func(head uint64, group []change) ([]change, error) {
		if s.seenState.find(rowID{"", device}, head, group).body == nil {
			return nil, nil
		}
		return []change{{Key: device}}, nil
	})
}

// seenAt returns the time in a body, 1970 for one that has none.
func seenAt(body bson.Raw) time.Time {
	nanos, _ := body.Lookup("at").AsInt64OK()
	return time.Unix(0, nanos).UTC()
}
