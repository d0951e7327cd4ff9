package store_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"testing"

	"github.com/trusch/jamesd/internal/server/store"
	"github.com/trusch/jamesd/pkg/james"
)

func TestChangesOf(t *testing.T) {
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
			got, err := changeOf(store.Row{Table: c.table, Key: "key", Seq: 7, JSON: []byte(c.raw)})
			if james.KindOf(err) != c.kind {
				t.Fatalf("ChangesOf returned %v of kind %q, want %q", err, james.KindOf(err), c.kind)
			}
			set := 0
			for _, is := range []bool{got.Packet != nil, got.Device != nil, got.Desired != nil} {
				if is {
					set++
				}
			}
			if err == nil && (set != 1 || got.Table != c.table || got.Key != "key" || got.Seq != 7) {
				t.Errorf("ChangesOf returned %+v", got)
			}
		})
	}
}

func changeOf(r store.Row) (store.Change, error) {
	all, err := store.ChangesOf(1, func(int) (store.Row, error) { return r, nil })
	if err != nil {
		return store.Change{}, err
	}
	return all[0], nil
}

// TestManyChanges: each comes out in its place, and one that is damaged is an error
// wherever it is.
func TestManyChanges(t *testing.T) {
	t.Parallel()
	const n = 1000
	row := func(i int) (store.Row, error) {
		id := fmt.Sprint("d", i)
		return store.Row{Table: store.TableDevices, Key: id, Seq: uint64(i), JSON: fmt.Appendf(nil, `{"id":%q}`, id)}, nil
	}
	all, err := store.ChangesOf(n, row)
	if err != nil || len(all) != n {
		t.Fatal(len(all), err)
	}
	for i, c := range all {
		if c.Seq != uint64(i) || c.Device.ID != c.Key || c.Key != fmt.Sprint("d", i) {
			t.Fatalf("%d is %+v", i, c)
		}
	}
	for _, at := range []int{0, 500, n - 1} {
		_, err := store.ChangesOf(n, func(i int) (store.Row, error) {
			r, _ := row(i)
			if i == at {
				r.JSON = r.JSON[:3]
			}
			return r, nil
		})
		if james.KindOf(err) != james.KindCorrupt {
			t.Errorf("with row %d damaged: %v", at, err)
		}
	}
}

func TestADeletedRowHasNoContent(t *testing.T) {
	t.Parallel()
	got, err := changeOf(store.Row{Table: store.TableDevices, Key: "d", Seq: 7})
	if err != nil || got != (store.Change{Table: store.TableDevices, Key: "d", Seq: 7}) {
		t.Errorf("ChangesOf returned %+v, %v", got, err)
	}
}

// TestAppsOfManyRows: lists that are alike are as right as others, also where there are
// more than are kept.
func TestAppsOfManyRows(t *testing.T) {
	t.Parallel()
	const n, lists = 6000, 1500
	apps := func(i int) string {
		switch i % lists {
		case 0:
			return `,"apps":null`
		case 1:
			return `,"apps":[]`
		case 2:
			return ""
		}
		return fmt.Sprintf(`,"apps":[{"name":"app-%d","tags":["v1"]},{"name":"b","tags":[]}]`, i%lists)
	}
	raw := func(i int) store.Row {
		if i%2 == 0 {
			return store.Row{Table: store.TableDevices, JSON: fmt.Appendf(nil, `{"id":"d%d","systemtags":["armv7l"]%s,"revision":%d}`, i, apps(i/3), i)}
		}
		return store.Row{Table: store.TableDesired, JSON: fmt.Appendf(nil, `{"device":"d%d","not_before":"2026-01-02T03:04:05Z"%s,"history":[{"device":"d","apps":[{"name":"old","tags":["v0"]}]}]}`, i, apps(i/3))}
	}
	all, err := store.ChangesOf(n, func(i int) (store.Row, error) { return raw(i), nil })
	must(t, err)
	for i, c := range all {
		var want store.Change
		r := raw(i)
		want.Table = r.Table
		if r.Table == store.TableDevices {
			must(t, json.Unmarshal(r.JSON, &want.Device))
		} else {
			must(t, json.Unmarshal(r.JSON, &want.Desired))
		}
		if !reflect.DeepEqual(c, want) {
			t.Fatalf("row %d is %+v, want %+v", i, c, want)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
