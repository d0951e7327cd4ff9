package mongostore

import (
	"context"
	"encoding/json"
	"slices"
	"sort"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/trusch/jamesd/internal/server/store"
	"github.com/trusch/jamesd/pkg/james"
)

// event is an event in its log: its Seq is the change's number.
type event struct {
	seq  uint64
	body bson.Raw
}

// eventState is the state of the log of events, which keeps the newest.
type eventState struct {
	events []event // in order
}

func (s *eventState) apply(n uint64, c change) { s.events = append(s.events, event{n, c.Body}) }

func (s *eventState) reset(uint64) { s.events = nil }

func (s *eventState) trimmed(floor uint64) { s.events = slices.Clone(s.after(floor)) }

func (s *eventState) target(floor, head uint64) uint64 {
	const slack = store.MinEvents / 10
	if head-floor <= store.MinEvents+slack {
		return floor
	}
	return head - store.MinEvents
}

func (s *eventState) live(uint64) []change { return nil }

// after returns the events with a greater Seq.
func (s *eventState) after(seq uint64) []event {
	return s.events[sort.Search(len(s.events), func(i int) bool { return s.events[i].seq > seq }):]
}

// AppendEvent implements store.Store.
func (s *Store) AppendEvent(ctx context.Context, e james.Event) (james.Event, error) {
	e.Seq = 0 // the change's number says it
	raw, err := json.Marshal(e)
	if err != nil {
		return james.Event{}, james.Errorf(james.KindInternal, "event", "encoding: %w", err)
	}
	body, err := toBSON(raw)
	if err != nil {
		return james.Event{}, err
	}
	err = s.events.write(ctx, func(head uint64, group []change) ([]change, error) {
		e.Seq = head + uint64(len(group)) + 1
		return []change{{Body: body}}, nil
	})
	if err != nil {
		return james.Event{}, err
	}
	return e, nil
}

// ListEvents implements store.Store.
func (s *Store) ListEvents(ctx context.Context, after uint64, limit int) ([]james.Event, error) {
	var found []event
	err := s.events.read(ctx, func() {
		rest := s.eventState.after(after)
		found = slices.Clone(rest[:min(len(rest), max(limit, 0))])
	})
	if err != nil {
		return nil, err
	}
	events := make([]james.Event, len(found))
	for i, f := range found {
		raw, err := toJSON(f.body)
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(raw, &events[i]); err != nil {
			return nil, james.Errorf(james.KindCorrupt, "event", "decoding number %d: %w", f.seq, err)
		}
		events[i].Seq = f.seq
	}
	return events, nil
}
