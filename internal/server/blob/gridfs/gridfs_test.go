package gridfs_test

import (
	"context"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver/connstring"

	"github.com/trusch/jamesd/internal/e2e/mongodtest"
	"github.com/trusch/jamesd/internal/server/blob"
	"github.com/trusch/jamesd/internal/server/blob/blobtest"
	"github.com/trusch/jamesd/internal/server/blob/gridfs"
	"github.com/trusch/jamesd/pkg/james"
)

func TestStore(t *testing.T) {
	blobtest.Run(t, func(t *testing.T) blob.Store { return open(t, mongodtest.URI(t)) })
}

func TestDurable(t *testing.T) {
	blobtest.RunDurable(t, func(t *testing.T) blobtest.Place {
		uri := mongodtest.URI(t)
		return blobtest.Place{
			Open:    func(t *testing.T) blob.Store { return open(t, uri) },
			Residue: func(t *testing.T) int { return residue(t, database(t, uri)) },
		}
	})
}

func open(t *testing.T, uri string) blob.Store {
	t.Helper()
	s, err := gridfs.Open(t.Context(), uri)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// database connects to the database of uri past the store.
func database(t *testing.T, uri string) *mongo.Database {
	t.Helper()
	parsed, err := connstring.Parse(uri)
	if err != nil {
		t.Fatal(err)
	}
	client, err := mongo.Connect(options.Client().ApplyURI(uri))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.Disconnect(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return client.Database(parsed.Database)
}

// residue counts the documents that do not belong to a blob.
func residue(t *testing.T, db *mongo.Database) int {
	t.Helper()
	n := 0
	blobs := make(map[bson.ObjectID]bool)
	for _, f := range all(t, db.Collection("blobs.files")) {
		if _, err := james.ParseDigest(f["filename"].(string)); err != nil {
			n++
		} else {
			blobs[f["_id"].(bson.ObjectID)] = true
		}
	}
	for _, c := range all(t, db.Collection("blobs.chunks")) {
		if !blobs[c["files_id"].(bson.ObjectID)] {
			n++
		}
	}
	return n
}

// all returns all documents of a collection, without their data.
func all(t *testing.T, c *mongo.Collection) []bson.M {
	t.Helper()
	cursor, err := c.Find(t.Context(), bson.D{}, options.Find().SetProjection(bson.D{{Key: "data", Value: 0}}))
	if err != nil {
		t.Fatal(err)
	}
	var docs []bson.M
	if err := cursor.All(t.Context(), &docs); err != nil {
		t.Fatal(err)
	}
	return docs
}

func TestLayoutIsGridFS(t *testing.T) {
	t.Parallel()
	uri := mongodtest.URI(t)
	s := open(t, uri)
	defer s.Close()
	content := blobtest.Bytes(1, 600_000)
	digest := blobtest.Put(t, s, content).Digest

	bucket := database(t, uri).GridFSBucket(options.GridFSBucket().SetName("blobs"))
	var got strings.Builder
	n, err := bucket.DownloadToStreamByName(t.Context(), digest.String(), &got)
	if err != nil || n != int64(len(content)) || got.String() != string(content) {
		t.Errorf("the driver reads %d bytes of %d, error %v", n, len(content), err)
	}
}
