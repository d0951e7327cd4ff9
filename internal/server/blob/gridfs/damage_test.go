package gridfs_test

import (
	"io"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/trusch/jamesd/internal/e2e/mongodtest"
	"github.com/trusch/jamesd/internal/server/blob/blobtest"
	"github.com/trusch/jamesd/pkg/james"
)

func set(field string, value any) bson.D {
	return bson.D{{Key: "$set", Value: bson.D{{Key: field, Value: value}}}}
}

func TestDamaged(t *testing.T) {
	t.Parallel()
	content := blobtest.Bytes(1, 600_000) // three chunks
	digest := james.DigestOf(content)
	second := bson.D{{Key: "n", Value: 1}}
	named := bson.D{{Key: "filename", Value: digest.String()}}
	for _, row := range []struct {
		name   string
		damage func(files, chunks *mongo.Collection) error
		open   bool // whether Open can tell
		says   string
	}{
		{"chunk missing", func(_, chunks *mongo.Collection) error {
			_, err := chunks.DeleteOne(t.Context(), second)
			return err
		}, false, "chunk 1 is missing"},
		{"chunk cut", func(_, chunks *mongo.Collection) error {
			_, err := chunks.UpdateOne(t.Context(), second, set("data", []byte("short")))
			return err
		}, false, "chunk 1 has 5 bytes, expected 261120"},
		{"chunk without data", func(_, chunks *mongo.Collection) error {
			_, err := chunks.UpdateOne(t.Context(), second, set("data", "text"))
			return err
		}, false, "chunk 1 has no data"},
		{"chunks of no size", func(files, _ *mongo.Collection) error {
			_, err := files.UpdateOne(t.Context(), named, set("chunkSize", 0))
			return err
		}, true, "in chunks of 0"},
		{"chunks too large", func(files, _ *mongo.Collection) error {
			_, err := files.UpdateOne(t.Context(), named, set("chunkSize", int64(1<<40)))
			return err
		}, true, "in chunks of 1099511627776"},
		{"negative length", func(files, _ *mongo.Collection) error {
			_, err := files.UpdateOne(t.Context(), named, set("length", -1))
			return err
		}, true, "-1 bytes"},
		{"length of another type", func(files, _ *mongo.Collection) error {
			_, err := files.UpdateOne(t.Context(), named, set("length", "long"))
			return err
		}, true, "cannot be read"},
		{"a form that does not exist", func(files, _ *mongo.Collection) error {
			_, err := files.UpdateOne(t.Context(), named, set("metadata.form", "lz4"))
			return err
		}, true, "form \"lz4\""},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			uri := mongodtest.URI(t)
			s, db := open(t, uri), database(t, uri)
			defer s.Close()
			blobtest.Put(t, s, content)
			if err := row.damage(db.Collection("blobs.files"), db.Collection("blobs.chunks")); err != nil {
				t.Fatal(err)
			}

			_, err := s.Stat(t.Context(), digest)
			if row.open {
				blobtest.Kind(t, err, james.KindCorrupt)
			} else if err != nil {
				t.Error(err)
			}
			r, err := s.Open(t.Context(), digest)
			if !row.open && err == nil {
				_, err = io.Copy(io.Discard, r)
			}
			blobtest.Kind(t, err, james.KindCorrupt)
			if !strings.Contains(err.Error(), row.says) {
				t.Errorf("error %q does not say %q", err, row.says)
			}

			if _, listed := blobtest.Infos(t, s)[digest]; !listed {
				t.Error("the damaged blob is not listed")
			}
			if err := s.Delete(t.Context(), digest); err != nil {
				t.Fatal(err)
			}
			blobtest.Absent(t, s, digest)
			if n := residue(t, db); n != 0 {
				t.Errorf("%d documents left behind", n)
			}
			blobtest.Put(t, s, content)
			blobtest.Check(t, s, content)
		})
	}
}

// TestCrashes checks that a sweep removes what each call leaves when its process
// dies in the middle.
func TestCrashes(t *testing.T) {
	t.Parallel()
	kept, content := blobtest.Bytes(2, 600_000), blobtest.Bytes(3, 600_000)
	named := bson.D{{Key: "filename", Value: james.DigestOf(content).String()}}
	for _, row := range []struct {
		name  string
		crash func(files *mongo.Collection) error
	}{
		{"in delete, or before the end of commit", func(files *mongo.Collection) error {
			_, err := files.DeleteOne(t.Context(), named)
			return err
		}},
		{"in sweep", func(files *mongo.Collection) error {
			_, err := files.UpdateOne(t.Context(), named, set("filename", "swept 0123"))
			return err
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			uri := mongodtest.URI(t)
			s, db := open(t, uri), database(t, uri)
			defer s.Close()
			blobtest.Put(t, s, kept)
			blobtest.Put(t, s, content)
			if err := row.crash(db.Collection("blobs.files")); err != nil {
				t.Fatal(err)
			}
			blobtest.Absent(t, s, james.DigestOf(content))
			if residue(t, db) == 0 {
				t.Fatal("nothing was left behind, so this test shows nothing")
			}
			if err := s.Sweep(t.Context(), time.Now().Add(time.Hour)); err != nil {
				t.Fatal(err)
			}
			if n := residue(t, db); n != 0 {
				t.Errorf("%d documents left behind", n)
			}
			blobtest.Check(t, s, kept)
		})
	}
}

// TestCommitMeetsSweep has another process take a writer's chunks, and not get
// further, before the writer commits.
func TestCommitMeetsSweep(t *testing.T) {
	t.Parallel()
	uri := mongodtest.URI(t)
	s, db := open(t, uri), database(t, uri)
	defer s.Close()
	content := blobtest.Bytes(4, 1_500_000)
	w := blobtest.Unfinished(t, s, content)
	sent := all(t, db.Collection("blobs.chunks"))
	if len(sent) == 0 {
		t.Fatal("the writer has sent nothing yet")
	}
	_, err := db.Collection("blobs.files").InsertOne(t.Context(), bson.D{
		{Key: "_id", Value: sent[0]["files_id"]},
		{Key: "filename", Value: "swept 0123"},
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.Commit(t.Context(), james.Digest{})
	blobtest.Kind(t, err, james.KindInterrupted)
	blobtest.Absent(t, s, james.DigestOf(content))
	if err := s.Sweep(t.Context(), time.Now()); err != nil {
		t.Fatal(err)
	}
	if n := residue(t, db); n != 0 {
		t.Errorf("%d documents left behind", n)
	}
}

// TestSweepMeetsCommit has a writer commit after a sweep has seen that its chunks
// have no document, and before it takes them.
func TestSweepMeetsCommit(t *testing.T) {
	t.Parallel()
	o := newOutage(t)
	w := blobtest.Unfinished(t, o.near, o.content)
	met := false
	o.onAnswer([]byte("$in\x00"), func() bool {
		_, err := w.Commit(t.Context(), o.digest)
		met = err == nil
		return true
	})
	if err := o.far.Sweep(t.Context(), o.nextHour); err != nil {
		t.Fatal(err)
	}
	o.cut()
	if !met {
		t.Fatal("the commit failed, or the sweep asked for no documents")
	}
	blobtest.Check(t, o.near, o.content)
}
