package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"runtime"

	"golang.org/x/sync/errgroup"

	"github.com/trusch/jamesd/pkg/james"
)

// Rows is what an implementation has below its tables: rows as JSON, all tables
// alike. NewTable makes a Table of it.
type Rows interface {
	// GetRow returns the row, or nil where there is none.
	GetRow(ctx context.Context, table TableName, key string) ([]byte, error)
	// UpdateRow replaces the row by what change makes of it, as Update does.
	// change gets nil where there is no row and returns nil to delete it, or
	// ErrUnchanged to leave it. UpdateRow returns the sequence number of the
	// row's last change.
	UpdateRow(ctx context.Context, table TableName, key string, change func(old []byte) ([]byte, error)) (uint64, error)
}

// ErrUnchanged is what a change that is given to UpdateRow returns when the row
// is to stay as it is. UpdateRow does not pass it on.
var ErrUnchanged = errors.New("row unchanged")

// NewTable returns the table of that name on rows. T must be the table's type.
func NewTable[T any](rows Rows, name TableName) Table[T] { return table[T]{rows, name} }

type table[T any] struct {
	rows Rows
	name TableName
}

func (t table[T]) Get(ctx context.Context, key string) (T, error) {
	var zero T
	raw, err := t.rows.GetRow(ctx, t.name, key)
	if err != nil {
		return zero, err
	}
	row, err := decode[T](t.name, key, raw)
	if err != nil {
		return zero, err
	}
	if row == nil {
		return zero, james.Errorf(james.KindNotFound, subject(t.name, key), "does not exist")
	}
	return *row, nil
}

func (t table[T]) Update(ctx context.Context, key string, change func(old *T) (*T, error)) (*T, uint64, error) {
	if key == "" {
		return nil, 0, james.Errorf(james.KindInvalid, subject(t.name, key), "has an empty key")
	}
	var row *T
	seq, err := t.rows.UpdateRow(ctx, t.name, key, func(raw []byte) (next []byte, err error) {
		row, next, err = t.apply(key, raw, change)
		return next, err
	})
	if err != nil {
		return nil, 0, err
	}
	return row, seq, nil
}

// apply calls change on the encoded row and returns the row as it is then, and
// its encoding unless the error is ErrUnchanged.
func (t table[T]) apply(key string, raw []byte, change func(old *T) (*T, error)) (*T, []byte, error) {
	old, err := decode[T](t.name, key, raw)
	if err != nil {
		return nil, nil, err
	}
	before, err := encode(t.name, key, old) // not raw, which the store may have re-formatted
	if err != nil {
		return nil, nil, err
	}
	changed, err := change(old)
	if err != nil {
		return nil, nil, err
	}
	after := before
	if changed != old {
		if after, err = encode(t.name, key, changed); err != nil {
			return nil, nil, err
		}
	}
	row, err := decode[T](t.name, key, after) // a copy, and what Get would return
	if err == nil && bytes.Equal(before, after) {
		err = ErrUnchanged
	}
	return row, after, err
}

func encode[T any](name TableName, key string, row *T) ([]byte, error) {
	if row == nil {
		return nil, nil
	}
	raw, err := json.Marshal(row)
	if err != nil {
		return nil, james.Errorf(james.KindInternal, subject(name, key), "encoding: %w", err)
	}
	if len(raw) > MaxRow {
		return nil, james.Errorf(james.KindInvalid, subject(name, key), "takes %d bytes in the store, the limit is %d", len(raw), MaxRow)
	}
	return raw, nil
}

func decode[T any](name TableName, key string, raw []byte) (*T, error) {
	if raw == nil {
		return nil, nil
	}
	row := new(T)
	if err := decodeInto(row, name, key, raw); err != nil {
		return nil, err
	}
	return row, nil
}

func decodeInto(row any, name TableName, key string, raw []byte) error {
	if err := json.Unmarshal(raw, row); err != nil {
		return james.Errorf(james.KindCorrupt, subject(name, key), "decoding what the store has: %w", err)
	}
	return nil
}

// Row is a changed row as an implementation has it: its JSON, nil where the row was
// deleted.
type Row struct {
	Table TableName
	Key   string
	Seq   uint64
	JSON  []byte
}

// fewRows is how many rows are not worth another goroutine.
const fewRows = 64

// ChangesOf returns the changes of n rows, of which row returns each; it is called by
// several goroutines at a time, as a start of jamesd has many rows to decode. It fails
// with james.KindCorrupt where one is not what its table holds, and keeps nothing of
// the rows' JSON. The apps of several rows may be one list, which must not be changed.
func ChangesOf(n int, row func(i int) (Row, error)) ([]Change, error) {
	out := make([]Change, n)
	var work errgroup.Group
	part := max(fewRows, n/runtime.GOMAXPROCS(0)+1) // as large as can be: rows of one share their lists
	for from := 0; from < n; from += part {
		work.Go(func() error {
			var lists appLists
			for i := from; i < min(from+part, n); i++ {
				r, err := row(i)
				if err != nil {
					return err
				}
				if out[i], err = r.change(&lists); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := work.Wait(); err != nil {
		return nil, err
	}
	return out, nil
}

// Verify fails with james.KindCorrupt where the row's JSON is not what its table, of
// all those that there are, holds.
func (r *Row) Verify() error {
	if r.Table == TableSecrets {
		_, err := decode[Secret](r.Table, r.Key, r.JSON)
		return err
	}
	_, err := r.Change()
	return err
}

// Change returns the change to the row. It fails with james.KindCorrupt where its JSON
// is not what its table holds.
func (r *Row) Change() (Change, error) { return r.change(&appLists{}) }

func (r *Row) change(lists *appLists) (Change, error) {
	c := Change{Table: r.Table, Key: r.Key, Seq: r.Seq}
	var err error
	switch r.Table {
	case TablePackets:
		c.Packet, err = decode[james.Packet](r.Table, r.Key, r.JSON)
	case TableDevices:
		if r.JSON != nil {
			c.Device, err = lists.device(r)
		}
	case TableDesired:
		if r.JSON != nil {
			c.Desired, err = lists.desired(r)
		}
	default:
		err = james.Errorf(james.KindCorrupt, subject(r.Table, r.Key), "is of a table that this jamesd does not know")
	}
	return c, err
}

// subject names a row in an error.
func subject(name TableName, key string) string {
	switch name {
	case TablePackets:
		return "packet " + key
	case TableDevices:
		return "device " + key
	case TableDesired:
		return "desired state of " + key
	case TableSecrets:
		return "secret " + key
	}
	return string(name) + " " + key
}

// Alive returns an error of james.KindInterrupted when ctx is done.
func Alive(ctx context.Context) error {
	if ctx.Err() == nil {
		return nil
	}
	return james.Errorf(james.KindInterrupted, "store", "%w", context.Cause(ctx))
}

// Closed returns the error of every method of a closed store.
func Closed() error { return james.Errorf(james.KindUnavailable, "store", "is closed") }
