package store_test

import (
	"testing"

	"github.com/trusch/jamesd/internal/server/store"
	"github.com/trusch/jamesd/pkg/james"
)

func TestNewChange(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		table store.TableName
		raw   string
		kind  james.Kind
	}{
		{"a packet", store.TablePackets, `{"name":"p","tags":["v1"]}`, ""},
		{"a device", store.TableDevices, `{"id":"d"}`, ""},
		{"a desired state", store.TableDesired, `{"device":"d"}`, ""},
		{"a field of a newer version", store.TableDevices, `{"id":"d","colour":"red"}`, ""},
		{"half a document", store.TableDevices, `{"id":`, james.KindCorrupt},
		{"a value of the wrong type", store.TableDesired, `{"revision":"three"}`, james.KindCorrupt},
		{"a malformed tag", store.TablePackets, `{"tags":["no spaces"]}`, james.KindCorrupt},
		{"a table of a newer version", "rollouts", `{}`, james.KindCorrupt},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := store.NewChange(c.table, "key", 7, []byte(c.raw))
			if james.KindOf(err) != c.kind {
				t.Fatalf("NewChange returned %v of kind %q, want %q", err, james.KindOf(err), c.kind)
			}
			set := 0
			for _, is := range []bool{got.Packet != nil, got.Device != nil, got.Desired != nil} {
				if is {
					set++
				}
			}
			if err == nil && (set != 1 || got.Table != c.table || got.Key != "key" || got.Seq != 7) {
				t.Errorf("NewChange returned %+v", got)
			}
		})
	}
}

func TestADeletedRowHasNoContent(t *testing.T) {
	t.Parallel()
	got, err := store.NewChange(store.TableDevices, "d", 7, nil)
	if err != nil || got != (store.Change{Table: store.TableDevices, Key: "d", Seq: 7}) {
		t.Errorf("NewChange returned %+v, %v", got, err)
	}
}
