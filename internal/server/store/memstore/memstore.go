// Package memstore keeps metadata in memory, for tests and for trying things
// out. It is a whole store apart from what it promises about crashes: everything
// goes with the process.
package memstore

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/trusch/jamesd/internal/server/store"
	"github.com/trusch/jamesd/pkg/james"
)

// Store is a store.Store in memory.
type Store struct {
	mu     sync.Mutex
	closed bool
	seq    uint64
	rows   map[rowID]row
	seen   map[string]time.Time
	events []james.Event
	// lastEvent is the Seq of the newest event.
	lastEvent uint64
}

type rowID struct {
	table store.TableName
	key   string
}

// row is what a row is, or a deleted row was: raw is nil then.
type row struct {
	seq uint64
	raw []byte
}

var _ store.Store = (*Store)(nil)

// New returns an empty store.
func New() *Store {
	return &Store{rows: make(map[rowID]row), seen: make(map[string]time.Time)}
}

// lock takes the mutex for a method, unless ctx is done or the store closed.
func (s *Store) lock(ctx context.Context) error {
	if err := store.Alive(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return store.Closed()
	}
	return nil
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

// Secrets implements store.Store.
func (s *Store) Secrets() store.Table[store.Secret] {
	return store.NewTable[store.Secret](s, store.TableSecrets)
}

// GetRow implements store.Rows.
func (s *Store) GetRow(ctx context.Context, table store.TableName, key string) ([]byte, error) {
	if err := s.lock(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	return s.rows[rowID{table, key}].raw, nil
}

// UpdateRow implements store.Rows.
func (s *Store) UpdateRow(ctx context.Context, table store.TableName, key string, change func([]byte) ([]byte, error)) (uint64, error) {
	if err := s.lock(ctx); err != nil {
		return 0, err
	}
	defer s.mu.Unlock()
	id := rowID{table, key}
	old := s.rows[id]
	raw, err := change(old.raw)
	if err == store.ErrUnchanged {
		return old.seq, nil
	}
	if err != nil {
		return 0, err
	}
	s.seq++
	s.rows[id] = row{s.seq, raw}
	return s.seq, nil
}

// Changes implements store.Store.
func (s *Store) Changes(ctx context.Context, since store.Cursor) ([]store.Change, store.Cursor, error) {
	if err := s.lock(ctx); err != nil {
		return nil, since, err
	}
	defer s.mu.Unlock()
	after, _ := since.Position.(uint64)
	if after == s.seq {
		return nil, since, nil
	}
	var rows []store.Row
	for id, r := range s.rows {
		if id.table != store.TableSecrets && r.seq > after && (r.raw != nil || after > 0) {
			rows = append(rows, store.Row{Table: id.table, Key: id.key, Seq: r.seq, JSON: r.raw})
		}
	}
	changes, err := store.ChangesOf(len(rows), func(i int) (store.Row, error) { return rows[i], nil })
	if err != nil {
		return nil, since, err
	}
	return changes, store.Cursor{Position: s.seq}, nil
}

// Touch implements store.Store.
func (s *Store) Touch(ctx context.Context, seen map[string]time.Time) error {
	if err := s.lock(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	for device, at := range seen {
		if last, ok := s.seen[device]; !ok || at.After(last) {
			s.seen[device] = at
		}
	}
	return nil
}

// Seen implements store.Store.
func (s *Store) Seen(ctx context.Context) (map[string]time.Time, error) {
	if err := s.lock(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	return maps.Clone(s.seen), nil
}

// Forget implements store.Store.
func (s *Store) Forget(ctx context.Context, device string) error {
	if err := s.lock(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	delete(s.seen, device)
	return nil
}

// AppendEvent implements store.Store.
func (s *Store) AppendEvent(ctx context.Context, e james.Event) (james.Event, error) {
	if err := s.lock(ctx); err != nil {
		return james.Event{}, err
	}
	defer s.mu.Unlock()
	s.lastEvent++
	e.Seq = s.lastEvent
	s.events = append(s.events, e)
	if len(s.events) >= 2*store.MinEvents {
		s.events = slices.Clone(s.events[len(s.events)-store.MinEvents:])
	}
	return e, nil
}

// ListEvents implements store.Store.
func (s *Store) ListEvents(ctx context.Context, after uint64, limit int) ([]james.Event, error) {
	if err := s.lock(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	dropped := s.lastEvent - uint64(len(s.events)) // numbers have no gaps here
	skip := min(max(after, dropped)-dropped, uint64(len(s.events)))
	rest := s.events[skip:]
	return slices.Clone(rest[:min(len(rest), max(limit, 0))]), nil
}

// Verify implements store.Store.
func (s *Store) Verify(ctx context.Context, damaged func(error)) error {
	if err := s.lock(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	for id, r := range s.rows {
		row := store.Row{Table: id.table, Key: id.key, Seq: r.seq, JSON: r.raw}
		if err := row.Verify(); err != nil {
			damaged(err)
		}
	}
	return nil
}

// Ping implements store.Store.
func (s *Store) Ping(ctx context.Context) error {
	err := s.lock(ctx)
	if err == nil {
		s.mu.Unlock()
	}
	return err
}

// Close implements store.Store. What the store held is gone.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.rows, s.seen, s.events = nil, nil, nil
	return nil
}
