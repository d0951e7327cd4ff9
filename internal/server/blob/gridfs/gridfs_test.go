package gridfs_test

import (
	"context"
	"strings"
	"testing"
	"time"

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
		db := database(t, uri)
		return blobtest.Place{
			Open:    func(t *testing.T) blob.Store { return open(t, uri) },
			Residue: func(t *testing.T) int { return residue(t, db) },
			Change: func(t *testing.T, d james.Digest, change func([]byte) []byte) {
				changeChunk(t, db, d, change)
			},
		}
	})
}

func TestExpiring(t *testing.T) {
	t.Parallel()
	uri := mongodtest.URI(t)
	blobtest.Expiring(t, open(t, uri), open(t, uri))
}

// changeChunk changes the only chunk of a blob, and what its document says of it.
func changeChunk(t *testing.T, db *mongo.Database, digest james.Digest, change func([]byte) []byte) {
	t.Helper()
	var file struct {
		ID bson.ObjectID `bson:"_id"`
	}
	if err := db.Collection("blobs.files").FindOne(t.Context(), bson.D{{Key: "filename", Value: digest.String()}}).Decode(&file); err != nil {
		t.Fatal(err)
	}
	of := bson.D{{Key: "files_id", Value: file.ID}, {Key: "n", Value: 0}}
	var chunk struct{ Data []byte }
	if err := db.Collection("blobs.chunks").FindOne(t.Context(), of).Decode(&chunk); err != nil {
		t.Fatal(err)
	}
	data := change(chunk.Data)
	if _, err := db.Collection("blobs.chunks").UpdateOne(t.Context(), of, set("data", data)); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Collection("blobs.files").UpdateByID(t.Context(), file.ID, set("length", len(data))); err != nil {
		t.Fatal(err)
	}
}

// TestFormer reads what was written before there were compressed blobs, and the
// documents had no form.
func TestFormer(t *testing.T) {
	t.Parallel()
	uri := mongodtest.URI(t)
	s, db := open(t, uri), database(t, uri)
	defer s.Close()
	content := []byte("\x50\x2a\x4d\x18\x20\x00\x00\x00 looks like something else")
	id, digest := bson.NewObjectID(), james.DigestOf(content)
	now := time.Now().Truncate(time.Millisecond).UTC()
	_, err := db.Collection("blobs.chunks").InsertOne(t.Context(), bson.M{"_id": id.Hex() + ".0", "files_id": id, "n": 0, "data": content})
	if err == nil {
		_, err = db.Collection("blobs.files").InsertOne(t.Context(), bson.M{"_id": id, "length": len(content), "chunkSize": 255 << 10,
			"uploadDate": now, "filename": digest.String(), "metadata": bson.M{"modified": now}})
	}
	if err != nil {
		t.Fatal(err)
	}
	blobtest.Check(t, s, content)
	if info, err := s.Stat(t.Context(), digest); err != nil || info != (blob.Info{Digest: digest, Size: int64(len(content)), Modified: now}) {
		t.Errorf("it is described as %+v, %v", info, err)
	}
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
