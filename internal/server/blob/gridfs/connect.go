package gridfs

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver/connstring"

	"github.com/trusch/jamesd/pkg/james"
)

// How long to wait, where the uri does not say: for a server that could be
// asked, for the answer to one call, and for one that works through many
// documents.
const (
	selectionTimeout = 5 * time.Second
	callTimeout      = 30 * time.Second
	dropTimeout      = 5 * time.Minute
	indexTimeout     = 5 * time.Minute
)

// defaultDatabase is used where the uri names none.
const defaultDatabase = "jamesd"

// database is what a uri says, but for its secrets.
type database struct {
	address string
	name    string
	options *options.ClientOptions
}

// connect returns a client, which has not asked any server yet.
func connect(uri string) (*mongo.Client, database, error) {
	opts := options.Client().ApplyURI(uri)
	parsed, err := connstring.Parse(uri)
	if err == nil {
		err = opts.Validate()
	}
	if err != nil {
		return nil, database{}, badURI(uri, err)
	}
	if wc := opts.WriteConcern; wc != nil && !wc.Acknowledged() {
		return nil, database{}, james.Errorf(james.KindInvalid, "database address", "has w=0, with which nobody knows what was stored").
			WithHint("Leave w out: the default, majority, keeps what was acknowledged.")
	}
	db := database{name: parsed.Database, options: opts}
	if db.name == "" {
		db.name = defaultDatabase
	}
	db.address = "mongodb://" + strings.Join(opts.Hosts, ",") + "/" + db.name
	if opts.ServerSelectionTimeout == nil {
		opts.SetServerSelectionTimeout(selectionTimeout)
	}
	if opts.AppName == nil {
		opts.SetAppName("jamesd")
	}
	if opts.WriteConcern == nil {
		opts.SetWriteConcern(writeconcern.Majority())
	}
	client, err := mongo.Connect(opts)
	if err != nil {
		return nil, database{}, badURI(uri, err)
	}
	return client, db, nil
}

// badURI explains a uri that cannot be used, without showing any of it where it
// may hold a password: the driver's own words quote what they could not read.
func badURI(uri string, err error) error {
	const subject = "database address"
	if dns := (*net.DNSError)(nil); errors.As(err, &dns) {
		return james.Errorf(james.KindUnavailable, subject, "%w", dns).
			WithHint("The name servers do not know or do not answer for the host in the address.")
	}
	e := james.Errorf(james.KindInvalid, subject, "is not a MongoDB URI that can be used")
	if !strings.Contains(uri, "@") {
		e.Err = fmt.Errorf("is not a MongoDB URI that can be used: %w", err)
	}
	return e.WithHint("It reads mongodb://USER:PASSWORD@HOST:PORT/DATABASE?OPTION=VALUE, where USER and PASSWORD have their special characters percent-encoded.")
}

// primary makes a collection answer with what was written last, whatever
// reading preference the uri has for others.
func primary() *options.CollectionOptionsBuilder {
	return options.Collection().SetReadPreference(readpref.Primary())
}

// durable is primary, and has a write acknowledged only when it is in the
// journal, with all writes before it.
func durable(client *options.ClientOptions) *options.CollectionOptionsBuilder {
	wc := *client.WriteConcern
	if wc.Journal == nil {
		yes := true
		wc.Journal = &yes
	}
	return primary().SetWriteConcern(&wc)
}
