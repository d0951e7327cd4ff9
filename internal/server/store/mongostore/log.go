package mongostore

import (
	"context"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/trusch/jamesd/pkg/james"
)

// Limits of a log.
const (
	// entryBytes is the size of bodies after which an entry takes no more
	// changes. One change may be larger; the database allows 16 MiB.
	entryBytes = 2 << 20
	// readEntries and readBytes bound what is read at once.
	readEntries = 10_000
	readBytes   = 16 << 20
	// deleteStep is the number of changes whose entries are deleted at once:
	// FerretDB names each in one SQL statement.
	deleteStep = 5000
)

// change is one numbered change in a log.
type change struct {
	Table string `bson:"table,omitempty"`
	Key   string `bson:"key,omitempty"`
	// Body is the new content; a deletion has none.
	Body bson.Raw `bson:"body,omitempty"`
	// Moved is the row's sequence number where the change only repeats its
	// content.
	Moved uint64 `bson:"moved,omitempty"`
}

// entry is a document of a log.
type entry struct {
	ID      string   `bson:"_id"`
	Changes []change `bson:"changes"`
}

// idOf returns the _id of the entry whose first change has number n. It sorts
// as n does.
func idOf(n uint64) string { return fmt.Sprintf("%020d", n) }

// log is a log's collections. Its methods do what their names say once; what
// has to be done together, and in which order, is the replica's business.
type log struct {
	name    string
	entries *mongo.Collection
	floors  *mongo.Collection
}

func newLog(db *mongo.Database, name string) *log {
	return &log{name: name, entries: db.Collection(name), floors: db.Collection("floors")}
}

// singly is how many entries are read one by one before a range of them is. Mostly there is
// none, or one. FerretDB has one _id answered by its own database, but decodes every entry
// for a range.
const singly = 8

// read returns entries after the change of number head, without a gap. It says
// whether there may be more; otherwise those are all that were in the log when
// it was called.
func (l *log) read(ctx context.Context, head uint64) (entries []entry, more bool, err error) {
	for range singly {
		var e entry
		err := l.entries.FindOne(ctx, bson.D{{Key: "_id", Value: idOf(head + 1)}}).Decode(&e)
		if err == mongo.ErrNoDocuments || err == nil && len(e.Changes) == 0 {
			return entries, false, nil
		}
		if err != nil {
			return nil, false, failure(err)
		}
		entries = append(entries, e)
		head += uint64(len(e.Changes))
	}
	rest, more, err := l.readRange(ctx, head)
	return append(entries, rest...), more, err
}

// readRange is read for many.
func (l *log) readRange(ctx context.Context, head uint64) (entries []entry, more bool, err error) {
	cursor, err := l.entries.Find(ctx, bson.D{{Key: "_id", Value: bson.D{{Key: "$gt", Value: idOf(head)}}}},
		options.Find().SetSort(bson.D{{Key: "_id", Value: 1}}).SetLimit(readEntries))
	if err != nil {
		return nil, false, failure(err)
	}
	defer cursor.Close(context.WithoutCancel(ctx))
	for size := 0; cursor.Next(ctx); {
		var e entry
		if err := cursor.Decode(&e); err != nil {
			return nil, false, failure(err)
		}
		// The cursor may have passed a place before two entries came there, and
		// find the second: that one is for the next read.
		if e.ID != idOf(head+1) || len(e.Changes) == 0 {
			return entries, false, nil
		}
		entries = append(entries, e)
		head += uint64(len(e.Changes))
		size += len(cursor.Current)
		if len(entries) == readEntries || size >= readBytes {
			return entries, true, nil
		}
	}
	if err := cursor.Err(); err != nil {
		return nil, false, failure(err)
	}
	return entries, false, nil
}

// insert adds an entry after the change of number head. It returns false where
// there is one already.
func (l *log) insert(ctx context.Context, head uint64, changes []change) (bool, error) {
	_, err := l.entries.InsertOne(ctx, entry{ID: idOf(head + 1), Changes: changes})
	if mongo.IsDuplicateKeyError(err) {
		return false, nil
	}
	if err != nil {
		return false, failure(err)
	}
	return true, nil
}

// floorDoc is a document of the collection floors.
type floorDoc struct {
	ID    string `bson:"_id"`
	Log   string `bson:"log"`
	Floor uint64 `bson:"floor"`
}

// floor returns the number up to which nothing in the log counts.
func (l *log) floor(ctx context.Context) (uint64, error) {
	cursor, err := l.floors.Find(ctx, bson.D{{Key: "log", Value: l.name}})
	if err != nil {
		return 0, failure(err)
	}
	var docs []floorDoc
	if err := cursor.All(ctx, &docs); err != nil {
		return 0, failure(err)
	}
	var floor uint64
	for _, d := range docs {
		floor = max(floor, d.Floor)
	}
	return floor, nil
}

// setFloor raises the floor.
func (l *log) setFloor(ctx context.Context, floor uint64) error {
	doc := floorDoc{ID: l.name + " " + idOf(floor), Log: l.name, Floor: floor}
	if _, err := l.floors.InsertOne(ctx, doc); err != nil && !mongo.IsDuplicateKeyError(err) {
		return failure(err)
	}
	lower := bson.D{{Key: "log", Value: l.name}, {Key: "floor", Value: bson.D{{Key: "$lt", Value: floor}}}}
	_, err := l.floors.DeleteMany(ctx, lower)
	return failure(err)
}

// deleteSome deletes the first entries up to floor, which must be set, and
// reports whether there may be more. It also deletes what an interrupted
// trimming has left.
func (l *log) deleteSome(ctx context.Context, floor uint64) (bool, error) {
	var first struct {
		ID string `bson:"_id"`
	}
	err := l.entries.FindOne(ctx, bson.D{}, options.FindOne().
		SetSort(bson.D{{Key: "_id", Value: 1}}).SetProjection(bson.D{{Key: "_id", Value: 1}})).Decode(&first)
	if err == mongo.ErrNoDocuments || err == nil && first.ID > idOf(floor) {
		return false, nil
	}
	if err != nil {
		return false, failure(err)
	}
	var n uint64
	if _, err := fmt.Sscanf(first.ID, "%d", &n); err != nil {
		return false, james.Errorf(james.KindCorrupt, "log "+l.name, "has an entry %q", first.ID)
	}
	last := idOf(min(floor, n+deleteStep))
	_, err = l.entries.DeleteMany(ctx, bson.D{{Key: "_id", Value: bson.D{{Key: "$lte", Value: last}}}})
	if err != nil {
		return false, failure(err)
	}
	return true, nil
}
