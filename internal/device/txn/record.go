package txn

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/trusch/jamesd/internal/device/journal"
	"github.com/trusch/jamesd/pkg/james"
)

// record is one record of the journal; one of its fields is set.
type record struct {
	Begin *beginRecord `json:"begin,omitempty"` // the first: nothing is changed yet
	Ops   []*op        `json:"ops,omitempty"`   // some of the list
	Times []dirTime    `json:"times,omitempty"`
	Ready bool         `json:"ready,omitzero"` // the list is whole: from here on the device changes
	// Script, Restore and Restored are the index of an op, plus 1: its turn came;
	// its mirror begins; its mirror has ended.
	Script   int    `json:"script,omitzero"`
	Restore  int    `json:"restore,omitzero"`
	Restored int    `json:"restored,omitzero"`
	Warning  string `json:"warning,omitempty"` // goes with Restored
	// Run and Ran count the runs of scripts: one begins; it has ended.
	Run int `json:"run,omitzero"`
	Ran int `json:"ran,omitzero"`
	// Probation counts the times that the finished change was put on probation; it
	// is written before each.
	Probation int      `json:"probation,omitzero"`
	Undo      *failure `json:"undo,omitempty"`  // undoing begins
	Undone    bool     `json:"undone,omitzero"` // it has ended
	Commit    bool     `json:"commit,omitzero"` // what was done is final
}

type beginRecord struct {
	Plan     james.Digest `json:"plan"`
	Revision uint64       `json:"revision"`
	Started  time.Time    `json:"started"`
	Areas    []*area      `json:"areas"`
	Steps    []*step      `json:"steps"`
	Next     james.Digest `json:"next,omitzero"` // of the inventory to come
}

// chunkBytes bounds what one record of ops or times has, in bytes, so that with
// the largest single op it stays below journal.MaxRecord.
const chunkBytes = journal.MaxRecord / 4

// beginning returns the first record.
func (t *txn) beginning() *record {
	return &record{Begin: &beginRecord{t.plan.ID, t.plan.Revision, t.started, t.areas, t.steps, t.nextSum}}
}

// list returns the records from the first op to "ready".
func (t *txn) list() ([]*record, error) {
	ops, err := chunks(t.ops, func(part []*op) *record { return &record{Ops: part} })
	if err != nil {
		return nil, err
	}
	times, err := chunks(t.times, func(part []dirTime) *record { return &record{Times: part} })
	return slices.Concat(ops, times, []*record{{Ready: true}}), err
}

// record durably adds records to the journal.
func (t *txn) record(records ...*record) error {
	if err := t.note(records...); err != nil {
		return err
	}
	return t.i.log.Sync()
}

// note adds records to the journal, which become durable with the next that are.
func (t *txn) note(records ...*record) error {
	for _, r := range records {
		raw, err := r.encode()
		if err != nil {
			return err
		}
		if err := t.i.log.Append(raw); err != nil {
			return err
		}
	}
	return nil
}

func (r *record) encode() ([]byte, error) {
	raw, err := json.Marshal(r)
	if err != nil {
		return nil, james.Errorf(james.KindInternal, "journal", "%w", err)
	}
	return raw, nil
}

// chunks splits a list into the records that hold it.
func chunks[T any](list []T, wrap func([]T) *record) ([]*record, error) {
	var records []*record
	from, bytes := 0, 0
	for n := range list {
		raw, err := json.Marshal(list[n])
		if err != nil {
			return nil, james.Errorf(james.KindInternal, "journal", "%w", err)
		}
		if n > from && bytes+len(raw) > chunkBytes {
			records = append(records, wrap(list[from:n]))
			from, bytes = n, 0
		}
		bytes += len(raw) + 1
	}
	if from < len(list) {
		records = append(records, wrap(list[from:]))
	}
	return records, nil
}

// read takes one record of a file into the transaction.
func (t *txn) read(raw []byte, file string) error {
	var r record
	if err := json.Unmarshal(raw, &r); err != nil {
		return james.Errorf(james.KindCorrupt, t.i.state.Abs(file), "has a record that is none of this version: %w", err)
	}
	switch {
	case r.Begin != nil:
		t.plan = &james.Plan{ID: r.Begin.Plan, Revision: r.Begin.Revision}
		t.started, t.areas, t.steps, t.nextSum = r.Begin.Started, r.Begin.Areas, r.Begin.Steps, r.Begin.Next
	case r.Script > 0:
		t.begun[r.Script-1] = true
	case r.Restore > 0:
		t.restoring[r.Restore-1] = true
	case r.Restored > 0:
		t.restored[r.Restored-1] = true
		if r.Warning != "" {
			t.warn("%s", r.Warning)
		}
	}
	t.ops = append(t.ops, r.Ops...)
	t.times = append(t.times, r.Times...)
	t.ready = t.ready || r.Ready
	t.committed = t.committed || r.Commit
	t.undone = t.undone || r.Undone
	t.runs, t.ran = max(t.runs, r.Run), max(t.ran, r.Ran)
	t.probation = max(t.probation, r.Probation)
	if r.Undo != nil {
		t.failed = r.Undo
	}
	return nil
}
