package server_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver/connstring"

	"github.com/trusch/jamesd/internal/e2e/mongodtest"
	"github.com/trusch/jamesd/internal/logging"
	"github.com/trusch/jamesd/internal/server/blob/gridfs"
	"github.com/trusch/jamesd/internal/server/fleet"
	"github.com/trusch/jamesd/internal/server/store/mongostore"
	"github.com/trusch/jamesd/pkg/james"
)

// database is where jamesd keeps its blobs, past jamesd.
type database struct {
	t             *testing.T
	uri           string
	files, chunks *mongo.Collection
}

func openDatabase(t *testing.T, uri string) *database {
	t.Helper()
	parsed, err := connstring.Parse(uri)
	must(t, err)
	client, err := mongo.Connect(options.Client().ApplyURI(uri))
	must(t, err)
	t.Cleanup(func() { client.Disconnect(context.Background()) })
	db := client.Database(parsed.Database)
	return &database{t, uri, db.Collection("blobs.files"), db.Collection("blobs.chunks")}
}

func (d *database) count(c *mongo.Collection) int64 {
	n, err := c.CountDocuments(d.t.Context(), bson.D{})
	must(d.t, err)
	return n
}

// dated finds the blobs, and not what else is in their collection.
var dated = bson.D{{Key: "metadata.modified", Value: bson.D{{Key: "$exists", Value: true}}}}

// age makes all blobs an hour older than they are.
func (d *database) age() {
	then := bson.D{{Key: "$set", Value: bson.D{{Key: "metadata.modified", Value: time.Now().Add(-time.Hour)}}}}
	_, err := d.files.UpdateMany(d.t.Context(), dated, then)
	must(d.t, err)
}

// join has one more Fleet work on the database until the test ends, or it is stopped.
func (d *database) join(change func(*fleet.Options)) (f *fleet.Fleet, stop func()) {
	d.t.Helper()
	s, err := mongostore.Open(d.t.Context(), d.uri)
	must(d.t, err)
	b, err := gridfs.Open(d.t.Context(), d.uri)
	must(d.t, err)
	o := fleet.Options{Store: s, Blobs: b, Log: logging.Discard()}
	change(&o)
	f, err = fleet.New(d.t.Context(), o)
	must(d.t, err)
	ctx, cancel := context.WithCancel(context.WithoutCancel(d.t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- f.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		must(d.t, <-ended)
		must(d.t, b.Close())
		must(d.t, s.Close())
	})
	d.t.Cleanup(stop)
	return f, stop
}

// TestKilledUploadOfSeveral: of an upload in the middle of which one of two jamesd was
// killed nobody sees anything at the other, and what there is of it is removed.
func TestKilledUploadOfSeveral(t *testing.T) {
	t.Parallel()
	uri := mongodtest.URI(t)
	one := run(t, nil, append(standard(uri), "--cache-dir", t.TempDir())...)
	two := run(t, nil, append(standard(uri), "--cache-dir", t.TempDir())...)
	two.logged(t, "ready")
	one.logged(t, "ready")
	admin := one.client(t, "root")
	r, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		_, err := admin.AddPacket(t.Context(), james.AddPacketRequest{Name: "half"}, r)
		done <- err
	}()
	content := versionOf(t, "half", 3, 1_200_000)                                       // small contents, then a large one
	content = append(content[:len(content)-1024], tarOf(t, string(noise(2, 5<<20)))...) // without the end of the first
	_, err := w.Write(content[:len(content)-1<<20])
	must(t, err)
	db := openDatabase(t, uri)
	soon(t, "that some of it is stored", func() bool { return db.count(db.files) > 0 && db.count(db.chunks) > 4 })
	must(t, one.cmd.Process.Kill())
	<-one.ended
	w.CloseWithError(errUnfinished)
	if err := <-done; err == nil {
		t.Error("the upload succeeded")
	}

	other := two.client(t, "root")
	packets, err := other.Packets(t.Context(), "")
	if err != nil || len(packets) > 0 {
		t.Errorf("there are %v, %v", packets, err)
	}
	if code, out := command(t, "check", "--db", uri); code != 0 {
		t.Errorf("check exited with %d: %s", code, out)
	}
	_, err = other.AddPacket(t.Context(), james.AddPacketRequest{Name: "half"}, bytes.NewReader(tarOf(t, "another")))
	must(t, err)
	added := db.count(db.files)
	_, stop := db.join(func(o *fleet.Options) { // for which two days have passed
		o.CollectInterval, o.Now = 10*time.Millisecond, func() time.Time { return time.Now().Add(48 * time.Hour) }
	})
	soon(t, "that what was left is removed", func() bool { return db.count(db.files) == 3 && db.count(db.chunks) == 3 })
	stop()
	if added <= 3 {
		t.Errorf("there were %d blobs before, so this shows nothing", added)
	}
	if code, out := command(t, "check", "--db", uri); code != 0 {
		t.Errorf("check exited with %d: %s", code, out)
	}
}

// TestCollectorOfAnother adds a packet whose blobs lie there unused and old, again and
// again, while another process on the database collects such blobs all the time.
func TestCollectorOfAnother(t *testing.T) {
	t.Parallel()
	uri := mongodtest.URI(t)
	db := openDatabase(t, uri)
	f, _ := db.join(func(*fleet.Options) {})
	_, stop := db.join(func(o *fleet.Options) { o.CollectInterval = time.Millisecond })
	add := func(name string) (james.Packet, error) {
		resp, err := f.AddPacket(t.Context(), "root", james.AddPacketRequest{Name: name}, bytes.NewReader(versionOf(t, "same", 3, 60_000)))
		return resp.Packet, err
	}
	for n := range 12 {
		p, err := add(fmt.Sprint("packet-", n))
		must(t, err) // nor is it told that some is gone
		for _, d := range []james.Digest{p.Digest, p.Archive.Digest} {
			r, err := f.OpenContent(t.Context(), d)
			must(t, err)
			_, err = io.Copy(io.Discard, r)
			must(t, err)
			r.Close()
		}
		if n == 11 {
			break
		}
		must(t, f.DeletePacket(t.Context(), "root", p.Digest, true))
		db.age()
		if n%4 == 0 { // it does collect
			soon(t, "that the blobs are gone", func() bool {
				left, err := db.files.CountDocuments(t.Context(), dated)
				must(t, err)
				return left == 0
			})
		}
	}
	stop()
	if sum, err := f.Check(t.Context(), fleet.CheckOptions{Found: func(p fleet.Problem) { t.Errorf("%+v", p) }}); err != nil || sum.Packets != 1 {
		t.Errorf("checked %+v, %v", sum, err)
	}
}

// TestCheckOfDatabase damages what jamesd has in a database: a content is taken from its
// archive again, and an archive is named until somebody adds the packet again.
func TestCheckOfDatabase(t *testing.T) {
	t.Parallel()
	uri := mongodtest.URI(t)
	p := run(t, nil, append(standard(uri), "--cache-dir", t.TempDir())...)
	p.logged(t, "ready")
	admin := p.client(t, "root")
	content := string(noise(3, 50_000))
	archive := tarOf(t, content)
	add := func() {
		_, err := admin.AddPacket(t.Context(), james.AddPacketRequest{Name: "app"}, bytes.NewReader(archive))
		must(t, err)
	}
	add()
	db := openDatabase(t, uri)
	for _, row := range []struct {
		name    string
		damaged []byte
		code    int
		says    string
	}{
		{"the content of a file", []byte(content), 0, "; repaired\n"},
		{"the archive", archive, 3, "its archive is damaged: "},
	} {
		db.damage(james.DigestOf(row.damaged))
		if code, out := command(t, "check", "--db", uri); code != 3 {
			t.Errorf("%s: check exited with %d: %s", row.name, code, out)
		}
		for range 2 { // what is not repaired is named the next time, too
			code, out := command(t, "check", "--db", uri, "--repair")
			if code != row.code || !strings.Contains(out, row.says) || code == 3 && !strings.Contains(out, "add-packet --name app") {
				t.Errorf("%s: check --repair exited with %d: %s", row.name, code, out)
			}
			if row.code == 0 {
				break
			}
		}
	}
	add()
	soon(t, "that its contents are there", func() bool {
		packets, err := admin.Packets(t.Context(), "app")
		must(t, err)
		return packets[0].Contents
	})
	if code, out := command(t, "check", "--db", uri); code != 0 {
		t.Errorf("check exited with %d: %s", code, out)
	}
}

// damage changes a byte of a blob.
func (d *database) damage(digest james.Digest) {
	d.t.Helper()
	var file struct {
		ID bson.ObjectID `bson:"_id"`
	}
	must(d.t, d.files.FindOne(d.t.Context(), bson.D{{Key: "filename", Value: digest.String()}}).Decode(&file))
	first := bson.D{{Key: "files_id", Value: file.ID}, {Key: "n", Value: 0}}
	var chunk struct{ Data []byte }
	must(d.t, d.chunks.FindOne(d.t.Context(), first).Decode(&chunk))
	chunk.Data[len(chunk.Data)/2] ^= 1
	_, err := d.chunks.UpdateOne(d.t.Context(), first, bson.D{{Key: "$set", Value: bson.D{{Key: "data", Value: chunk.Data}}}})
	must(d.t, err)
}
