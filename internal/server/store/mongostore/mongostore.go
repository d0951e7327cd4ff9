package mongostore

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"

	"github.com/trusch/jamesd/internal/server/store"
	"github.com/trusch/jamesd/pkg/james"
)

// version of the database's layout.
const version = 1

// disconnectTimeout bounds the end of the connections.
const disconnectTimeout = 5 * time.Second

// Store is a store.Store in a MongoDB database.
type Store struct {
	client *mongo.Client
	// The logs, each with its state, which only jobs of the replica look at.
	rows       *replica
	rowState   *rowState
	seen       *replica
	seenState  *rowState
	events     *replica
	eventState *eventState
	secrets    secretRows
	close      func() error
}

var _ store.Store = (*Store)(nil)

// Open connects to the database that the URI names, "jamesd" where it names
// none. It fails with james.KindInvalid for a malformed URI, with
// james.KindUnavailable when the database does not answer or does not let us in,
// and with james.KindConflict when a newer jamesd wrote it.
func Open(ctx context.Context, uri string) (store.Store, error) {
	client, name, err := connect(uri)
	if err != nil {
		return nil, err
	}
	db := client.Database(name, databaseOptions())
	if err := prepare(ctx, db); err != nil {
		disconnect(client) // the reason why it is closed matters more
		if store.Alive(ctx) != nil {
			err = store.Alive(ctx)
		}
		return nil, err
	}
	s := &Store{client: client, rowState: newRowState(), seenState: newRowState(), eventState: &eventState{}}
	s.rows = newReplica(newLog(db, "rows"), s.rowState)
	s.seen = newReplica(newLog(db, "seen"), s.seenState)
	s.events = newReplica(newLog(db, "events"), s.eventState)
	s.secrets = newSecrets(db)
	s.close = sync.OnceValue(s.closeOnce)
	return s, nil
}

// prepare marks a new database with the layout's version and refuses a newer one.
func prepare(ctx context.Context, db *mongo.Database) error {
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	meta, id := db.Collection("meta"), bson.D{{Key: "_id", Value: "layout"}}
	var doc struct {
		Version int `bson:"version"`
	}
	err := meta.FindOne(ctx, id).Decode(&doc)
	if errors.Is(err, mongo.ErrNoDocuments) {
		doc.Version = version
		_, err = meta.InsertOne(ctx, append(id, bson.E{Key: "version", Value: version}))
		if mongo.IsDuplicateKeyError(err) { // another jamesd, just now
			err = meta.FindOne(ctx, id).Decode(&doc)
		}
	}
	if err != nil {
		return failure(err)
	}
	if doc.Version > version {
		return james.Errorf(james.KindConflict, "database "+db.Name(),
			"has layout version %d, this jamesd knows those up to %d", doc.Version, version).
			WithHint("Use the newer jamesd that wrote it.")
	}
	return nil
}

// Packets implements store.Store.
func (s *Store) Packets() store.Table[james.Packet] {
	return store.NewTable[james.Packet](s, store.TablePackets)
}

// Devices implements store.Store.
func (s *Store) Devices() store.Table[james.Device] {
	return store.NewTable[james.Device](s, store.TableDevices)
}

// Desired implements store.Store.
func (s *Store) Desired() store.Table[james.Desired] {
	return store.NewTable[james.Desired](s, store.TableDesired)
}

// Secrets implements store.Store.
func (s *Store) Secrets() store.Table[store.Secret] {
	return store.NewTable[store.Secret](s.secrets, store.TableSecrets)
}

// Ping implements store.Store.
func (s *Store) Ping(ctx context.Context) error {
	if err := store.Alive(ctx); err != nil {
		return err
	}
	bounded, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	err := s.client.Ping(bounded, readpref.Primary())
	if err != nil && ctx.Err() != nil {
		return store.Alive(ctx)
	}
	return failure(err)
}

// Close implements store.Store.
func (s *Store) Close() error { return s.close() }

func (s *Store) closeOnce() error {
	for _, r := range []*replica{s.rows, s.seen, s.events, s.secrets.log} {
		r.queue.Close()
	}
	return disconnect(s.client)
}

func disconnect(client *mongo.Client) error {
	ctx, cancel := context.WithTimeout(context.Background(), disconnectTimeout)
	defer cancel()
	return failure(client.Disconnect(ctx))
}
