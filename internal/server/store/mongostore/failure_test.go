package mongostore_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/trusch/jamesd/internal/e2e/mongodtest"
	"github.com/trusch/jamesd/internal/server/store/mongostore"
	"github.com/trusch/jamesd/pkg/james"
)

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	const soon = "serverSelectionTimeoutMS=300"
	for _, c := range []struct {
		name string
		ctx  context.Context
		uri  string
		kind james.Kind
	}{
		{"another scheme", t.Context(), "postgres://u:s3cret@127.0.0.1/", james.KindInvalid},
		{"no host", t.Context(), "mongodb://", james.KindInvalid},
		{"a password that is not escaped", t.Context(), "mongodb://u:s3cret/@127.0.0.1/", james.KindInvalid},
		{"a password with a wrong escape", t.Context(), "mongodb://u:s3cret%zz@127.0.0.1/", james.KindInvalid},
		{"an option of a wrong type", t.Context(), "mongodb://u:s3cret@127.0.0.1/?tls=perhaps", james.KindInvalid},
		{"nobody listens", t.Context(), "mongodb://u:s3cret@127.0.0.1:1/?" + soon, james.KindUnavailable},
		{"no such host", t.Context(), "mongodb://u:s3cret@host.invalid/?" + soon, james.KindUnavailable},
		{"the context is done", cancelled, "mongodb://127.0.0.1:1/?" + soon, james.KindInterrupted},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := mongostore.Open(c.ctx, c.uri)
			if james.KindOf(err) != c.kind {
				t.Errorf("Open returned %v of kind %q, want %q", err, james.KindOf(err), c.kind)
			}
			if text := fmt.Sprint(err, james.HintOf(err)); strings.Contains(text, "s3cret") {
				t.Errorf("the error tells the password: %s", text)
			}
		})
	}
}

func TestOpenRefusesANewerLayout(t *testing.T) {
	t.Parallel()
	uri := mongodtest.URI(t)
	must(t, open(t, uri).Close())
	meta := database(t, uri).Collection("meta")
	_, err := meta.UpdateOne(t.Context(), bson.D{{Key: "_id", Value: "layout"}}, bson.D{{Key: "$inc", Value: bson.D{{Key: "version", Value: 1}}}})
	must(t, err)
	_, err = mongostore.Open(t.Context(), uri)
	if james.KindOf(err) != james.KindConflict || !strings.Contains(err.Error(), "version 2") {
		t.Errorf("Open returned %v of kind %q, want KindConflict and the version", err, james.KindOf(err))
	}
}

func TestOpenTellsOfAWrongPassword(t *testing.T) {
	t.Parallel()
	s := mongodtest.Start(t)
	uri := strings.Replace(s.URI("jamesd"), "mongodb://", "mongodb://nobody:s3cret@", 1)
	_, err := mongostore.Open(t.Context(), uri)
	if james.KindOf(err) != james.KindUnavailable || !strings.Contains(james.HintOf(err), "password") {
		t.Errorf("Open returned %v (%s), want KindUnavailable and a hint at the password", err, james.HintOf(err))
	}
	if strings.Contains(err.Error(), "s3cret") {
		t.Errorf("the error tells the password: %v", err)
	}
}

// TestTheServerGoesAwayAndComesBack kills the server under load: calls fail as
// unavailable until it is back, and nothing that was acknowledged is lost.
func TestTheServerGoesAwayAndComesBack(t *testing.T) {
	t.Parallel()
	server := mongodtest.Start(t)
	s := open(t, server.URI("jamesd")+"?serverSelectionTimeoutMS=500")
	const writers = 8
	var acknowledged, attempted [writers]atomic.Int64
	var wg, started sync.WaitGroup
	stop := make(chan struct{})
	for i := range writers {
		id := fmt.Sprint("d", i)
		started.Add(1)
		wg.Go(func() {
			for n := uint64(1); ; n++ {
				attempted[i].Store(int64(n))
				err := set(t, s, id, n)
				if kind := james.KindOf(err); err != nil && kind != james.KindUnavailable {
					t.Errorf("Update: %v of kind %q", err, kind)
				}
				if err == nil {
					acknowledged[i].Store(int64(n))
				}
				if n == 5 {
					started.Done()
				}
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	started.Wait()
	server.Kill()
	if err := s.Ping(t.Context()); james.KindOf(err) != james.KindUnavailable {
		t.Errorf("Ping of a dead server: %v of kind %q", err, james.KindOf(err))
	}
	_, err := s.Devices().Get(t.Context(), "d0")
	if james.KindOf(err) != james.KindUnavailable {
		t.Errorf("Get from a dead server: %v of kind %q", err, james.KindOf(err))
	}
	server.Restart()
	waitFor(t, func() bool { return s.Ping(t.Context()) == nil })
	must(t, set(t, s, "after", 1))
	close(stop)
	wg.Wait()
	for i := range writers {
		got, err := s.Devices().Get(t.Context(), fmt.Sprint("d", i))
		must(t, err)
		if low, high := acknowledged[i].Load(), attempted[i].Load(); int64(got.Revision) < low || int64(got.Revision) > high {
			t.Errorf("d%d is at %d; %d was acknowledged and %d attempted", i, got.Revision, low, high)
		}
	}
}

// waitFor asks until ok says yes, each time as soon as it has said no; what ok
// does takes its time.
func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	limit := time.Now().Add(time.Minute)
	for !ok() {
		if time.Now().After(limit) {
			t.Fatal("it did not happen within a minute")
		}
	}
}
