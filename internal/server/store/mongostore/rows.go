package mongostore

import (
	"context"
	"errors"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/trusch/jamesd/internal/server/store"
	"github.com/trusch/jamesd/pkg/james"
)

// maxBody bounds a row as BSON, in bytes. An entry that is almost full takes one
// more, and must stay below 16 MiB.
const maxBody = 13 << 20

// rowID names a row in the log of rows.
type rowID struct{ table, key string }

// row is a row's last change: body is nil where it is deleted.
type row struct {
	seq  uint64 // number of the change
	at   uint64 // number of the change that says so now; greater if it was moved
	body bson.Raw
}

// rowState is the state of a log whose changes each replace one row.
type rowState struct {
	rows map[rowID]row
	// there counts the rows that are not deleted.
	there int
}

func newRowState() *rowState { return &rowState{rows: make(map[rowID]row)} }

func (s *rowState) apply(n uint64, c change) {
	id := rowID{c.Table, c.Key}
	if s.rows[id].body != nil {
		s.there--
	}
	if c.Body != nil {
		s.there++
	}
	seq := n
	if c.Moved != 0 {
		seq = c.Moved
	}
	s.rows[id] = row{seq, n, c.Body}
}

// reset makes all rows deleted ones, so that those which do not come again are
// among the changes.
func (s *rowState) reset(floor uint64) {
	for id, r := range s.rows {
		if r.body != nil {
			s.rows[id] = row{seq: floor, at: floor}
		}
	}
	s.there = 0
}

func (s *rowState) trimmed(uint64) {}

// target has the older half trimmed when three quarters of the log are history.
func (s *rowState) target(floor, head uint64) uint64 {
	const slack = 1024
	if head-floor <= 4*uint64(s.there)+slack {
		return floor
	}
	return floor + (head-floor)/2
}

func (s *rowState) live(upTo uint64) []change {
	var moved []change
	size := 0
	for id, r := range s.rows {
		if r.body == nil || r.at > upTo {
			continue
		}
		moved = append(moved, change{Table: id.table, Key: id.key, Body: r.body, Moved: r.seq})
		if size += len(r.body) + len(id.key); size >= entryBytes {
			break
		}
	}
	return moved
}

// find returns a row as it is after the changes of a group that begins after head.
func (s *rowState) find(id rowID, head uint64, group []change) row {
	for i := len(group) - 1; i >= 0; i-- {
		if c := group[i]; c.Key == id.key && c.Table == id.table {
			return row{seq: head + uint64(i) + 1, body: c.Body}
		}
	}
	return s.rows[id]
}

// GetRow implements store.Rows.
func (s *Store) GetRow(ctx context.Context, table store.TableName, key string) ([]byte, error) {
	return s.rows.getRow(ctx, s.rowState, rowID{string(table), key})
}

func (r *replica) getRow(ctx context.Context, s *rowState, id rowID) ([]byte, error) {
	var found row
	if err := r.read(ctx, func() { found = s.rows[id] }); err != nil {
		return nil, err
	}
	return toJSON(found.body)
}

// UpdateRow implements store.Rows.
func (s *Store) UpdateRow(ctx context.Context, table store.TableName, key string, update func([]byte) ([]byte, error)) (seq uint64, err error) {
	return s.rows.updateRow(ctx, s.rowState, rowID{string(table), key}, update)
}

func (r *replica) updateRow(ctx context.Context, s *rowState, id rowID, update func([]byte) ([]byte, error)) (seq uint64, err error) {
	err = r.write(ctx, func(head uint64, group []change) ([]change, error) {
		old := s.find(id, head, group)
		raw, err := toJSON(old.body)
		if err != nil {
			return nil, err
		}
		raw, err = update(raw)
		if errors.Is(err, store.ErrUnchanged) {
			seq = old.seq
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		seq = head + uint64(len(group)) + 1
		body, err := toBSON(raw)
		return []change{{Table: id.table, Key: id.key, Body: body}}, err
	})
	if err != nil {
		return 0, err
	}
	return seq, nil
}

// Changes implements store.Store.
func (s *Store) Changes(ctx context.Context, since store.Cursor) ([]store.Change, store.Cursor, error) {
	after, _ := since.Position.(uint64)
	type changed struct {
		rowID
		row
	}
	var rows []changed
	var head uint64
	err := s.rows.read(ctx, func() {
		if head = s.rows.head; head == after {
			return
		}
		for id, r := range s.rowState.rows {
			if r.seq > after && (r.body != nil || after > 0) {
				rows = append(rows, changed{id, r})
			}
		}
	})
	if err != nil {
		return nil, since, err
	}
	changes, err := store.ChangesOf(len(rows), func(i int) (store.Row, error) {
		r := &rows[i]
		raw, err := toJSON(r.body)
		return store.Row{Table: store.TableName(r.table), Key: r.key, Seq: r.seq, JSON: raw}, err
	})
	if err != nil {
		return nil, since, err
	}
	return changes, store.Cursor{Position: head}, nil
}

// toBSON returns a row's JSON as a document that people can query; its keys
// never begin with a dollar sign. It returns nil for nil.
func toBSON(raw []byte) (bson.Raw, error) {
	if raw == nil {
		return nil, nil
	}
	var doc bson.Raw
	if err := bson.UnmarshalExtJSON(raw, false, &doc); err != nil {
		return nil, james.Errorf(james.KindInternal, "row", "converting to BSON: %w", err)
	}
	if len(doc) > maxBody {
		return nil, james.Errorf(james.KindInvalid, "row", "takes %d bytes in the database, the limit is %d", len(doc), maxBody)
	}
	return doc, nil
}

// toJSON undoes toBSON.
func toJSON(doc bson.Raw) ([]byte, error) {
	if doc == nil {
		return nil, nil
	}
	raw, err := bson.MarshalExtJSON(doc, false, false)
	if err != nil {
		return nil, james.Errorf(james.KindCorrupt, "row", "converting from BSON: %w", err)
	}
	return raw, nil
}
