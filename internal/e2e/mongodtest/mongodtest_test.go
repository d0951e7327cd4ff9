package mongodtest_test

import (
	"context"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver/connstring"

	"github.com/trusch/jamesd/internal/e2e/mongodtest"
)

func TestEveryCallGetsAnEmptyDatabaseOfItsOwn(t *testing.T) {
	t.Parallel()
	first, second := mongodtest.URI(t), mongodtest.URI(t) // may build for minutes
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if first == second {
		t.Fatalf("two calls returned the same URI %s", first)
	}
	for _, uri := range []string{first, second} {
		count, err := insert(ctx, uri)
		if err != nil {
			t.Fatal(err)
		}
		if count != 1 {
			t.Errorf("%s has %d documents after the first insert", uri, count)
		}
	}
}

// insert puts one document into the URI's database and returns how many there
// are then.
func insert(ctx context.Context, uri string) (int64, error) {
	parsed, err := connstring.Parse(uri)
	if err != nil {
		return 0, err
	}
	client, err := mongo.Connect(options.Client().ApplyURI(uri))
	if err != nil {
		return 0, err
	}
	defer client.Disconnect(ctx)
	c := client.Database(parsed.Database).Collection("things")
	if _, err := c.InsertOne(ctx, bson.D{{Key: "name", Value: "one"}}); err != nil {
		return 0, err
	}
	return c.CountDocuments(ctx, bson.D{})
}

func TestAKilledServerComesBackWithItsData(t *testing.T) {
	t.Parallel()
	s := mongodtest.Start(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	uri := s.URI("things")
	for want := int64(1); want <= 2; want++ {
		count, err := insert(ctx, uri)
		if err != nil {
			t.Fatal(err)
		}
		if count != want {
			t.Errorf("there are %d documents, want %d", count, want)
		}
		s.Kill()
		s.Restart()
		if s.URI("things") != uri {
			t.Errorf("the URI is %s after a restart, was %s", s.URI("things"), uri)
		}
	}
}
