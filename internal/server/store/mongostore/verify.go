package mongostore

import (
	"context"
	"encoding/json"
	"maps"
	"slices"

	"github.com/trusch/jamesd/internal/server/store"
	"github.com/trusch/jamesd/pkg/james"
)

// Verify implements store.Store. Entries of a log that cannot be decoded fail it, as
// they fail every call.
func (s *Store) Verify(ctx context.Context, damaged func(error)) error {
	var rows map[rowID]row
	if err := s.rows.read(ctx, func() { rows = maps.Clone(s.rowState.rows) }); err != nil {
		return err
	}
	for id, r := range rows {
		if err := store.Alive(ctx); err != nil {
			return err
		}
		raw, err := toJSON(r.body)
		if err == nil {
			changed := store.Row{Table: store.TableName(id.table), Key: id.key, Seq: r.seq, JSON: raw}
			_, err = changed.Change()
		}
		if err != nil {
			damaged(err)
		}
	}
	return s.verifyEvents(ctx, damaged)
}

func (s *Store) verifyEvents(ctx context.Context, damaged func(error)) error {
	var events []event
	if err := s.events.read(ctx, func() { events = slices.Clone(s.eventState.events) }); err != nil {
		return err
	}
	for _, e := range events {
		raw, err := toJSON(e.body)
		if err == nil {
			err = json.Unmarshal(raw, new(james.Event))
		}
		if err != nil {
			damaged(james.Errorf(james.KindCorrupt, "event", "decoding number %d: %w", e.seq, err))
		}
	}
	return s.seen.read(ctx, func() {})
}
