// Package mongodtest gives tests a MongoDB server on a real connection: the one
// that JAMES_TEST_MONGODB_URI names, or else the program of the nested module
// internal/e2e/mongod, built once per machine and started once per test binary.
//
// Every call gets a database of its own, dropped when its test ends. Only tests
// import this package.
package mongodtest

import (
	"context"
	"crypto/rand"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/trusch/jamesd/internal/need"
)

// EnvURI is the variable that names a server to use instead of starting one. The
// database in its path is not touched.
const EnvURI = "JAMES_TEST_MONGODB_URI"

// dropTimeout bounds dropping a database at the end of a test.
const dropTimeout = 10 * time.Second

var builtOnce = sync.OnceValues(build)

// shared is the server of all calls of URI in this process. Holding it keeps
// open the pipe that keeps it alive.
var shared = sync.OnceValues(func() (*process, error) {
	if uri := os.Getenv(EnvURI); uri != "" {
		return &process{uri: uri}, nil
	}
	program, err := builtOnce()
	if err != nil {
		return nil, err
	}
	return start(program)
})

// URI returns the URI of a database that is empty and this test's alone. It
// ends the test where no server can be had, as package need says.
func URI(t testing.TB) string {
	t.Helper()
	server, err := shared()
	if err != nil {
		need.Lack(t, need.MongoDB, "no MongoDB server for tests: %v", err)
	}
	name := "jamestest" + rand.Text()[:12]
	uri := withDatabase(server.uri, name)
	t.Cleanup(func() {
		if err := drop(uri, name); err != nil {
			t.Errorf("dropping database %s: %v", name, err)
		}
	})
	return uri
}

// withDatabase returns the server's URI with the given database. Whoever the URI
// authenticates is still looked for where the URI as given says. Lists of hosts
// are not what net/url takes, so it works on the text.
func withDatabase(base, name string) string {
	base, query, _ := strings.Cut(base, "?")
	scheme, rest, _ := strings.Cut(base, "://")
	hosts, former, _ := strings.Cut(rest, "/")
	if former != "" && strings.Contains(hosts, "@") && !strings.Contains(query, "authSource=") {
		query = strings.TrimPrefix(query+"&authSource="+former, "&")
	}
	if query != "" {
		query = "?" + query
	}
	return scheme + "://" + hosts + "/" + name + query
}

func drop(uri, name string) error {
	ctx, cancel := context.WithTimeout(context.Background(), dropTimeout)
	defer cancel()
	client, err := mongo.Connect(options.Client().ApplyURI(uri))
	if err != nil {
		return err
	}
	defer client.Disconnect(ctx)
	return client.Database(name).Drop(ctx)
}
