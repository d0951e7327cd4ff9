package mongostore

import (
	"errors"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver/auth"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver/connstring"

	"github.com/trusch/jamesd/internal/server/store"
	"github.com/trusch/jamesd/pkg/james"
)

// defaultDatabase is used where the URI names none.
const defaultDatabase = "jamesd"

// connectTimeout is how long a call waits for a server to be found, unless the
// URI says otherwise.
const connectTimeout = 3 * time.Second

// connect returns a client, which connects when it is used, and the name of the
// database.
func connect(uri string) (*mongo.Client, string, error) {
	parsed, err := connstring.ParseAndValidate(uri)
	if err != nil {
		return nil, "", invalidURI(uri, err)
	}
	client, err := mongo.Connect(options.Client().
		SetAppName("jamesd").
		SetServerSelectionTimeout(connectTimeout).
		SetConnectTimeout(connectTimeout).
		ApplyURI(uri))
	if err != nil {
		return nil, "", invalidURI(uri, err)
	}
	name := parsed.Database
	if name == "" {
		name = defaultDatabase
	}
	return client, name, nil
}

// databaseOptions are what the logs need, whatever the URI says.
func databaseOptions() *options.DatabaseOptionsBuilder {
	journal := true
	return options.Database().
		SetReadPreference(readpref.Primary()).
		SetReadConcern(readconcern.Majority()).
		SetWriteConcern(&writeconcern.WriteConcern{W: writeconcern.WCMajority, Journal: &journal})
}

// invalidURI returns err, which may quote the URI, without what is secret in it.
func invalidURI(uri string, err error) error {
	text := err.Error()
	for _, secret := range secrets(uri) {
		text = strings.ReplaceAll(text, secret, "xxxxx")
	}
	return james.Errorf(james.KindInvalid, "database URI", "%s", text).
		WithHint("It looks like mongodb://user:password@host:27017/jamesd; escape special characters in the password as %%XX.")
}

// secrets returns the part of a URI before its last @, and that after the first
// colon of it: however malformed the URI is, the password is in there.
func secrets(uri string) []string {
	_, rest, _ := strings.Cut(uri, "://")
	i := strings.LastIndex(rest, "@")
	if i <= 0 {
		return nil
	}
	out := []string{rest[:i]}
	if _, password, ok := strings.Cut(rest[:i], ":"); ok && password != "" {
		out = append(out, password)
	}
	return out
}

// failure returns what the driver failed with as an error of the store.
func failure(err error) error {
	var known *james.Error
	var refused *auth.Error
	var malformed *bson.DecodeError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known):
		return err
	case errors.Is(err, mongo.ErrClientDisconnected):
		return store.Closed()
	case errors.As(err, &malformed):
		return james.Errorf(james.KindCorrupt, "database", "%w", err)
	case errors.As(err, &refused):
		return james.Errorf(james.KindUnavailable, "database", "%w", err).
			WithHint("Check the user, the password and authSource in the database URI.")
	}
	return james.Errorf(james.KindUnavailable, "database", "%w", err).
		WithHint("Check that the database runs and can be reached from here.")
}
