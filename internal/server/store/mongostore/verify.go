package mongostore

import (
	"cmp"
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
	if err := verifyRows(ctx, s.rows, s.rowState, "", damaged); err != nil {
		return err
	}
	if err := verifyRows(ctx, s.secrets.log, s.secrets.state.rowState, store.TableSecrets, damaged); err != nil {
		return err
	}
	return s.verifyEvents(ctx, damaged)
}

// verifyRows looks at the rows of a log, all of that table where one is given.
func verifyRows(ctx context.Context, log *replica, state *rowState, table store.TableName, damaged func(error)) error {
	var rows map[rowID]row
	if err := log.read(ctx, func() { rows = maps.Clone(state.rows) }); err != nil {
		return err
	}
	for id, r := range rows {
		if err := store.Alive(ctx); err != nil {
			return err
		}
		raw, err := toJSON(r.body)
		if err == nil {
			row := store.Row{Table: cmp.Or(table, store.TableName(id.table)), Key: id.key, Seq: r.seq, JSON: raw}
			err = row.Verify()
		}
		if err != nil {
			damaged(err)
		}
	}
	return nil
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
