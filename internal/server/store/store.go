// Package store defines where jamesd keeps its metadata: packets, devices,
// desired states and events. The contract stands here; package storetest checks
// it on every implementation.
//
// Every method is safe for concurrent use. A method that returns without an
// error has made its effect durable: it survives a crash of the process and of
// the machine, as far as the database was told to. A method that returns an
// error has had no effect, except that one of james.KindInterrupted or
// james.KindUnavailable may still take effect. A store that cannot be reached
// or is closed answers with james.KindUnavailable, a context that is done with
// james.KindInterrupted.
//
// Rows are kept as JSON keeps them, times to the nanosecond. What a store
// returns belongs to the caller, and it keeps nothing of what it was given.
//
// Implementations use nothing that needs transactions or change streams, so
// that a single mongod, a replica set, a sharded cluster and FerretDB all serve.
package store

import (
	"context"
	"time"

	"github.com/trusch/jamesd/pkg/james"
)

// Store is the metadata of one fleet.
type Store interface {
	// Packets is keyed by PacketKey, which makes name and tags unique.
	Packets() Table[james.Packet]
	// Devices is keyed by the device's id.
	Devices() Table[james.Device]
	// Desired is keyed by the device's id.
	Desired() Table[james.Desired]

	// Secrets is keyed by what they are for. They are what the servers of this store
	// share and tell nobody: no Change is about them.
	Secrets() Table[Secret]

	// Changes returns what has changed in the tables since the cursor, in no
	// particular order, and the cursor to go on from. Where it returns fewer than
	// ManyChanges that is all; otherwise there may be more. The zero Cursor stands
	// for the beginning: what follows is every row there is. A row that changed
	// several times is returned once, with its last content; a row may be
	// returned again although it did not change; no change is ever left out,
	// also where several processes write. What an Update changed before Changes
	// was called is seen by it, of whatever process.
	Changes(ctx context.Context, since Cursor) ([]Change, Cursor, error)

	// Touch records when devices were last seen, where that is later than what
	// is recorded. It makes no Change. An id without a device is kept all the
	// same.
	Touch(ctx context.Context, seen map[string]time.Time) error
	// Seen returns what Touch recorded, of every jamesd on this store. It
	// returns the latest time of each device.
	Seen(ctx context.Context) (map[string]time.Time, error)
	// Forget removes what Touch recorded of a device. Forgetting one that is not
	// recorded succeeds.
	Forget(ctx context.Context, device string) error

	// AppendEvent stores e with a Seq greater than that of every event whose
	// AppendEvent had returned before, and returns it; the Seq that it comes with
	// does not matter. Stores keep at least the newest MinEvents events and may
	// drop older ones.
	AppendEvent(ctx context.Context, e james.Event) (james.Event, error)
	// ListEvents returns the oldest limit events with a Seq greater than after,
	// in order; none where limit is not positive. Who asks again after the last
	// one it got misses none, also where several processes append.
	ListEvents(ctx context.Context, after uint64, limit int) ([]james.Event, error)

	// Verify looks at all that the store has and calls damaged, in this goroutine,
	// with an error of james.KindCorrupt for each row, event or last-seen time that
	// cannot be read, or that does not go with the others. It changes nothing, and
	// fails itself only where it could not look.
	Verify(ctx context.Context, damaged func(error)) error
	// Ping fails with james.KindUnavailable when the store does not answer.
	Ping(ctx context.Context) error
	// Close waits for running calls and releases everything. Closing a closed
	// store does nothing.
	Close() error
}

// Limits of a store.
const (
	MinEvents = 10_000  // events that it keeps at least
	MaxRow    = 4 << 20 // bytes of a row as JSON
	// ManyChanges is how many changes a store need not return at once.
	ManyChanges = 10_000
)

// Table is a set of rows that are read and changed one at a time. All rows are
// read with Changes. A key is not empty, and a row has at most MaxRow bytes as
// JSON; both are refused with james.KindInvalid.
type Table[T any] interface {
	// Get returns the row of key, or fails with james.KindNotFound.
	Get(ctx context.Context, key string) (T, error)
	// Update replaces the row of key by what change makes of it, as a
	// compare-and-set: change gets the row as it is, or nil where there is none,
	// and returns the new row, or nil to delete it. It must have no effect of its
	// own, as it is called again when somebody else was faster, and must not call
	// the store, which waits for it. It is not called after Update has returned.
	// An error of change ends Update with that error and without an effect;
	// returning the old pointer, or an equal row, does so without an error and
	// without a Change.
	//
	// Update returns the row as it is afterwards, nil where there is none, and
	// the sequence number of its last change, as in Change. That is 0 where the
	// row never was, and may be where its deletion is long ago.
	Update(ctx context.Context, key string, change func(old *T) (*T, error)) (row *T, seq uint64, err error)
}

// Secret is a sequence of keys for one purpose, of which each takes the place of the one
// before.
type Secret struct {
	Keys []Key `json:"keys"`
}

// Key is one of them, with the time from which on it is used for what is new.
type Key struct {
	Bytes []byte    `json:"bytes"`
	From  time.Time `json:"from"`
}

// Cursor is a position in the sequence of changes. Its content is the
// implementation's; it is valid within one process.
type Cursor struct{ Position any }

// Change is one changed row: exactly one of the pointers is set, or none where
// the row was deleted.
type Change struct {
	Table TableName
	Key   string
	// Seq grows with every change of this row, also over its deletion, so that of
	// two contents of a row the newer can be told.
	Seq     uint64
	Packet  *james.Packet
	Device  *james.Device
	Desired *james.Desired
}

// TableName names a table in a Change.
type TableName string

// The tables.
const (
	TablePackets TableName = "packets"
	TableDevices TableName = "devices"
	TableDesired TableName = "desired"
	TableSecrets TableName = "secrets" // never in a Change
)

// PacketKey returns the key of the packet of that name and those tags.
func PacketKey(name string, tags james.TagSet) string { return name + " " + tags.String() }
