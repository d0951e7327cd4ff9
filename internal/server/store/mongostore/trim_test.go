package mongostore_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver/connstring"

	"github.com/trusch/jamesd/internal/e2e/mongodtest"
	"github.com/trusch/jamesd/internal/server/store"
	"github.com/trusch/jamesd/pkg/james"
)

// database returns the database of a URI, past the store.
func database(t *testing.T, uri string) *mongo.Database {
	t.Helper()
	parsed, err := connstring.ParseAndValidate(uri)
	if err != nil {
		t.Fatal(err)
	}
	client, err := mongo.Connect(options.Client().ApplyURI(uri))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Disconnect(context.Background()) })
	return client.Database(parsed.Database)
}

// set makes the row of id a device of that revision.
func set(t *testing.T, s store.Store, id string, revision uint64) error {
	t.Helper()
	_, _, err := s.Devices().Update(t.Context(), id, func(*james.Device) (*james.Device, error) {
		return &james.Device{ID: id, Revision: revision}, nil
	})
	return err
}

// must ends the test for an error.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// increment adds 1 to the rows d0 to d3, from many callers, to each n times.
func increment(t *testing.T, n int, stores ...store.Store) {
	t.Helper()
	var wg sync.WaitGroup
	for i := range 16 * len(stores) {
		s, id := stores[i%len(stores)], fmt.Sprint("d", i%4)
		wg.Go(func() {
			for range n / (4 * len(stores)) {
				_, _, err := s.Devices().Update(t.Context(), id, func(old *james.Device) (*james.Device, error) {
					if old == nil {
						old = &james.Device{ID: id}
					}
					next := *old
					next.Revision++
					return &next, nil
				})
				if err != nil {
					t.Errorf("Update: %v", err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// wantRows checks all rows of a store, which are devices.
func wantRows(t *testing.T, s store.Store, want map[string]uint64) {
	t.Helper()
	all, _, err := s.Changes(t.Context(), store.Cursor{})
	must(t, err)
	got := make(map[string]uint64)
	for _, c := range all {
		if c.Device != nil {
			got[c.Key] = c.Device.Revision
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the rows are %v, want %v", got, want)
	}
}

// firstID returns the _id of the first entry of the log of rows.
func firstID(t *testing.T, db *mongo.Database) string {
	t.Helper()
	var first struct {
		ID string `bson:"_id"`
	}
	oldest := options.FindOne().SetSort(bson.D{{Key: "_id", Value: 1}})
	must(t, db.Collection("rows").FindOne(t.Context(), bson.D{}, oldest).Decode(&first))
	return first.ID
}

func TestTheLogDoesNotGrowWithItsHistory(t *testing.T) {
	t.Parallel()
	uri := mongodtest.URI(t)
	s := open(t, uri)
	must(t, set(t, s, "still", 7))
	increment(t, 800, s)
	db := database(t, uri)
	waitFor(t, func() bool { return firstID(t, db) > "00000000000000001000" })
	want := map[string]uint64{"still": 7, "d0": 800, "d1": 800, "d2": 800, "d3": 800}
	wantRows(t, s, want)
	wantRows(t, open(t, uri), want)
}

func TestSeveralStoresTrimAtOnce(t *testing.T) {
	t.Parallel()
	uri := mongodtest.URI(t)
	a, b, c := open(t, uri), open(t, uri), open(t, uri)
	must(t, set(t, a, "still", 7))
	increment(t, 480, a, b, c)
	want := map[string]uint64{"still": 7, "d0": 480, "d1": 480, "d2": 480, "d3": 480}
	for _, s := range []store.Store{a, b, c, open(t, uri)} {
		wantRows(t, s, want)
	}
	db := database(t, uri)
	waitFor(t, func() bool { return firstID(t, db) > "00000000000000000500" })
}

// sleeper returns a store that has last looked when the rows were still, gone,
// and d0 to d3, and a cursor of then; after that another store has deleted gone
// and trimmed the log beyond what the sleeper knows.
func sleeper(t *testing.T) (asleep, awake store.Store, cursor store.Cursor, want map[string]uint64) {
	t.Helper()
	uri := mongodtest.URI(t)
	asleep, awake = open(t, uri), open(t, uri)
	must(t, set(t, asleep, "still", 7))
	must(t, set(t, asleep, "gone", 1))
	increment(t, 8, asleep)
	_, cursor, err := asleep.Changes(t.Context(), store.Cursor{})
	must(t, err)
	_, _, err = awake.Devices().Update(t.Context(), "gone", func(*james.Device) (*james.Device, error) { return nil, nil })
	must(t, err)
	increment(t, 400, awake)
	db := database(t, uri)
	waitFor(t, func() bool { return firstID(t, db) > "00000000000000000100" })
	return asleep, awake, cursor, map[string]uint64{"still": 7, "d0": 408, "d1": 408, "d2": 408, "d3": 408}
}

func TestAFollowerThatSleptMissesNothing(t *testing.T) {
	t.Parallel()
	asleep, _, cursor, want := sleeper(t)
	some, next, err := asleep.Changes(t.Context(), cursor)
	must(t, err)
	got := make(map[string]uint64)
	for _, c := range some {
		got[c.Key] = 0
		if c.Device != nil {
			got[c.Key] = c.Device.Revision
		}
	}
	// "still" was moved, which is no change.
	if fmt.Sprint(got) != fmt.Sprint(map[string]uint64{"gone": 0, "d0": 408, "d1": 408, "d2": 408, "d3": 408}) {
		t.Errorf("the changes are %v", got)
	}
	wantRows(t, asleep, want)
	some, _, err = asleep.Changes(t.Context(), next)
	if err != nil || len(some) != 0 {
		t.Errorf("there are more changes: %v, %v", some, err)
	}
}

func TestAWriterThatSleptDoesNotOverwrite(t *testing.T) {
	t.Parallel()
	asleep, awake, _, want := sleeper(t)
	// The place after what the sleeper knows is free again, so its insert
	// succeeds. It must not count.
	err := set(t, asleep, "d0", 5)
	if james.KindOf(err) != james.KindUnavailable {
		t.Errorf("Update returned %v, want KindUnavailable", err)
	}
	for _, s := range []store.Store{asleep, awake} {
		wantRows(t, s, want)
	}
	must(t, set(t, asleep, "d0", 6))
	want["d0"] = 6
	for _, s := range []store.Store{asleep, awake} {
		wantRows(t, s, want)
	}
}

func TestAnEntryBeyondAGapWaits(t *testing.T) {
	t.Parallel()
	uri := mongodtest.URI(t)
	s, rows := open(t, uri), database(t, uri).Collection("rows")
	must(t, set(t, s, "d", 1))
	// What a cursor finds that has passed place 2 before something came there.
	_, err := rows.InsertOne(t.Context(), bson.D{{Key: "_id", Value: "00000000000000000003"}, {Key: "changes", Value: bson.A{
		bson.D{{Key: "table", Value: "devices"}, {Key: "key", Value: "third"}, {Key: "body", Value: bson.D{{Key: "revision", Value: 3}}}},
	}}})
	must(t, err)
	wantRows(t, s, map[string]uint64{"d": 1})
	wantRows(t, open(t, uri), map[string]uint64{"d": 1})
	must(t, set(t, s, "d", 2))
	wantRows(t, s, map[string]uint64{"d": 2, "third": 3})
	wantRows(t, open(t, uri), map[string]uint64{"d": 2, "third": 3})
}

func TestTrimmingThatWasInterruptedIsFinished(t *testing.T) {
	t.Parallel()
	uri := mongodtest.URI(t)
	s, db := open(t, uri), database(t, uri)
	for i := range uint64(3) {
		must(t, set(t, s, "d", i))
	}
	// The floor was set, and then the process died before it deleted anything.
	_, err := db.Collection("floors").InsertOne(t.Context(), bson.D{
		{Key: "_id", Value: "rows 00000000000000000002"}, {Key: "log", Value: "rows"}, {Key: "floor", Value: int64(2)}})
	must(t, err)
	other := open(t, uri)
	wantRows(t, other, map[string]uint64{"d": 2})
	increment(t, 400, other)
	waitFor(t, func() bool { return firstID(t, db) > "00000000000000000500" })
	want := map[string]uint64{"d": 2, "d0": 400, "d1": 400, "d2": 400, "d3": 400}
	for _, s := range []store.Store{s, other} {
		wantRows(t, s, want)
	}
}
