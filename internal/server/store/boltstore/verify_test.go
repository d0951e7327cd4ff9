package boltstore_test

import (
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/trusch/jamesd/internal/server/store"
	"github.com/trusch/jamesd/internal/server/store/boltstore"
	"github.com/trusch/jamesd/pkg/james"
)

// TestVerifyFindsDamage changes the file as only a failing disk or a defect would.
func TestVerifyFindsDamage(t *testing.T) {
	t.Parallel()
	put := func(bucket, key, value string) func(tx *bbolt.Tx) error {
		return func(tx *bbolt.Tx) error { return tx.Bucket([]byte(bucket)).Put([]byte(key), []byte(value)) }
	}
	number := "\x00\x00\x00\x00\x00\x00\x00"
	for _, row := range []struct {
		name   string
		damage func(tx *bbolt.Tx) error
		says   []string
	}{
		{"nothing", func(*bbolt.Tx) error { return nil }, nil},
		{"a row that is cut off", put("table-devices", "d1", "abc"), []string{`devices "d1" is cut off`}},
		{"a row that is no JSON", put("table-devices", "d1", number+"\x01{"), []string{"device d1: decoding"}},
		{"a row out of its place", put("table-devices", "d1", number+"\x09{}"), []string{`devices "d1" is not in its place`}},
		{"a row that the order has not", put("table-devices", "d7", number+"\x09{}"), []string{`devices "d7" is not in its place`, "has 4 rows and an order of 3"}},
		{"a change without a row", put("changes", number+"\x08", "devices\x00d8"), []string{"has 3 rows and an order of 4"}},
		{"an event that is no JSON", put("events", number+"\x01", "["), []string{"decoding event 1"}},
		{"a secret that is no JSON", put("secrets", "keys", number+"\x01["), []string{"secret keys: decoding"}},
		{"a secret that is cut off", put("secrets", "keys", "abc"), []string{`the secret "keys" is cut off`}},
		{"a time that is cut off", put("seen", "d1", "abc"), []string{`the last-seen time of device "d1"`}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "store.db")
			s := open(t, file)
			for i, id := range []string{"d1", "d2", "d3"} {
				must(t, set(s, id, uint64(i)))
			}
			must(t, s.Close())
			db, err := bbolt.Open(file, 0o600, nil)
			must(t, err)
			must(t, db.Update(row.damage))
			must(t, db.Close())
			wantDamage(t, open(t, file), row.says)
		})
	}
}

func wantDamage(t *testing.T, s store.Store, says []string) {
	t.Helper()
	var found []string
	must(t, s.(*boltstore.Store).Verify(t.Context(), func(err error) {
		if james.KindOf(err) != james.KindCorrupt {
			t.Errorf("%v is of kind %q", err, james.KindOf(err))
		}
		found = append(found, err.Error())
	}))
	if len(found) != len(says) {
		t.Fatalf("found %q, want %q", found, says)
	}
	for i, want := range says {
		if !strings.Contains(found[i], want) {
			t.Errorf("found %q, want %q", found[i], want)
		}
	}
}
