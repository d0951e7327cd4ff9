package storetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/trusch/jamesd/internal/server/store"
	"github.com/trusch/jamesd/pkg/james"
)

func verified(t *testing.T, s store.Store) {
	verify := func(when string) {
		t.Helper()
		err := s.Verify(t.Context(), func(err error) { t.Errorf("%s: %v", when, err) })
		wantKind(t, "Verify "+when, err, "")
	}
	verify("of an empty store")
	for i := range 50 {
		put(t, s, fmt.Sprint("d", i%20), uint64(i))
		appendEvent(t, s, "one")
	}
	roundTrip(t, s.Packets(), "p v1", james.Packet{Name: "p", Tags: james.MustTags("v1"), Added: at})
	roundTrip(t, s.Desired(), "d1", james.Desired{Device: "d1", Revision: 3})
	touch(t, s, map[string]time.Time{"d1": at, "e": at})
	roundTrip(t, s.Secrets(), "keys", store.Secret{Keys: []store.Key{{Bytes: []byte("secret"), From: at}}})
	verify("of a full one")
	for i := range 10 {
		remove(t, s, fmt.Sprint("d", i))
	}
	verify("after deletions")
}
