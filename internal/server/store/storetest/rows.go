package storetest

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trusch/jamesd/internal/server/store"
	"github.com/trusch/jamesd/pkg/james"
)

func rowNotFound(t *testing.T, s store.Store) {
	_, err := s.Devices().Get(t.Context(), "nobody")
	wantKind(t, "Get of a device", err, james.KindNotFound)
	if err != nil && !strings.Contains(err.Error(), "nobody") {
		t.Errorf("the error %q does not name the row", err)
	}
	_, err = s.Packets().Get(t.Context(), "nothing v1")
	wantKind(t, "Get of a packet", err, james.KindNotFound)
	_, err = s.Desired().Get(t.Context(), "nobody")
	wantKind(t, "Get of a desired state", err, james.KindNotFound)
}

// rowLife carries one row through steps and looks at it after each.
func rowLife(t *testing.T, s store.Store) {
	last := uint64(0)
	for _, step := range []struct {
		name     string
		old, new *james.Device // what change must get, and returns
	}{
		{"delete what never was", nil, nil},
		{"create", nil, device("d", 1)},
		{"modify", device("d", 1), device("d", 2)},
		{"modify again", device("d", 2), device("d", 3)},
		{"delete", device("d", 3), nil},
		{"delete again", nil, nil},
		{"create again", nil, device("d", 4)},
	} {
		row, seq, err := s.Devices().Update(t.Context(), "d", func(old *james.Device) (*james.Device, error) {
			wantSame(t, step.name+": the row that change gets", old, step.old)
			return step.new, nil
		})
		wantKind(t, step.name, err, "")
		wantSame(t, step.name+": the row that Update returns", row, step.new)
		if changed := step.old != nil || step.new != nil; changed && seq <= last {
			t.Errorf("%s: the sequence number is %d after %d", step.name, seq, last)
		}
		last = max(last, seq)
		got, err := s.Devices().Get(t.Context(), "d")
		if step.new == nil {
			wantKind(t, step.name+": Get", err, james.KindNotFound)
			continue
		}
		wantKind(t, step.name+": Get", err, "")
		wantSame(t, step.name+": the row that Get returns", got, step.new)
	}
}

func rowsOfTables(t *testing.T, s store.Store) {
	const key = "same"
	put(t, s, key, 1)
	_, err := s.Desired().Get(t.Context(), key)
	wantKind(t, "Get of a desired state that is only a device", err, james.KindNotFound)
	_, _, err = s.Desired().Update(t.Context(), key, func(old *james.Desired) (*james.Desired, error) {
		if old != nil {
			t.Errorf("change of a new desired state got %+v", old)
		}
		return &james.Desired{Device: key, Revision: 7}, nil
	})
	wantKind(t, "Update of a desired state", err, "")
	remove(t, s, key)
	got, err := s.Desired().Get(t.Context(), key)
	wantKind(t, "Get of the desired state of a deleted device", err, "")
	wantSame(t, "desired state", got, james.Desired{Device: key, Revision: 7})
}

// odd is text that encodings stumble over.
const odd = "tab\t quote\" <b>&amp; $set a.b \u0000 \u2028 ü 🛰"

func rowContent(t *testing.T, s store.Store) {
	tags := james.MustTags("v1.0.0,armv7l,a=b/c@d~e:f")
	packet := james.Packet{
		Digest: james.DigestOf([]byte("p")), Name: "openvpn", Tags: tags, Entries: 3, Size: 1 << 60,
		Scripts:  []james.ScriptName{"preinst", "postrm"},
		Replaces: []string{"openvpn-common", "vpn"}, Health: &james.Health{Timeout: 3600, Retries: 100, Interval: 600},
		Archive: james.Archive{Digest: james.DigestOf([]byte("a")), Size: 1<<53 + 1, Format: "xz"},
		Added:   at, AddedBy: odd,
	}
	app := james.App{Name: "openvpn", Tags: tags, Digest: packet.Digest}
	full := james.Device{
		ID: "d.1:@-_", SystemTags: tags, Apps: []james.App{app, {Name: "none"}}, Revision: 1<<63 - 1, Agent: odd, FirstSeen: at,
		Report: &james.Report{
			Plan: packet.Digest, Revision: 3, Result: james.RolledBack, Error: odd, Kind: james.KindCorrupt, App: "openvpn",
			Script: "postinst", Output: odd, Started: at, Ended: at.Add(time.Hour), Recovered: true, Attempts: 2, RetryAt: at,
		},
	}
	first := james.Desired{Device: "d", Revision: 1, Apps: []james.App{app}, SetAt: at, SetBy: odd}
	desired := first.Next("d", []james.App{}, "somebody", at)
	desired.Unset = true
	roundTrip(t, s.Packets(), store.PacketKey(packet.Name, packet.Tags), packet)
	roundTrip(t, s.Packets(), "empty packet", james.Packet{})
	roundTrip(t, s.Devices(), full.ID, full)
	roundTrip(t, s.Devices(), "empty", james.Device{})
	roundTrip(t, s.Desired(), "d", *desired)
	roundTrip(t, s.Desired(), odd, james.Desired{}) // as a key
	all, _ := changes(t, s, store.Cursor{})
	wantSame(t, "packet among the changes", all["packets "+store.PacketKey(packet.Name, packet.Tags)].Packet, packet)
	wantSame(t, "device among the changes", all["devices "+full.ID].Device, full)
	wantSame(t, "desired state among the changes", all["desired d"].Desired, desired)
}

func roundTrip[T any](t *testing.T, table store.Table[T], key string, row T) {
	t.Helper()
	_, _, err := table.Update(t.Context(), key, func(*T) (*T, error) { return &row, nil })
	wantKind(t, "Update of "+key, err, "")
	got, err := table.Get(t.Context(), key)
	wantKind(t, "Get of "+key, err, "")
	wantSame(t, "row "+key, got, row)
}

func changeFails(t *testing.T, s store.Store) {
	put(t, s, "d", 1)
	_, before := changes(t, s, store.Cursor{})
	mine := james.Errorf(james.KindConflict, "d", "it does not suit me")
	row, seq, err := s.Devices().Update(t.Context(), "d", func(old *james.Device) (*james.Device, error) {
		old.Revision = 99
		return old, mine
	})
	if !errors.Is(err, mine) || row != nil || seq != 0 {
		t.Errorf("Update returned %v, %d, %v; want change's error alone", row, seq, err)
	}
	_, _, err = s.Devices().Update(t.Context(), "new", func(*james.Device) (*james.Device, error) { return device("new", 1), mine })
	if !errors.Is(err, mine) {
		t.Errorf("Update returned %v, want change's error", err)
	}
	got, err := s.Devices().Get(t.Context(), "d")
	wantKind(t, "Get", err, "")
	wantSame(t, "row after a failed change", got, device("d", 1))
	_, err = s.Devices().Get(t.Context(), "new")
	wantKind(t, "Get of a row whose creation failed", err, james.KindNotFound)
	if after, _ := changes(t, s, before); len(after) != 0 {
		t.Errorf("failed changes are among the changes: %v", after)
	}
}

func changeNothing(t *testing.T, s store.Store) {
	want := put(t, s, "d", 1)
	_, before := changes(t, s, store.Cursor{})
	for name, change := range map[string]func(*james.Device) (*james.Device, error){
		"the old pointer":           func(old *james.Device) (*james.Device, error) { return old, nil },
		"the old pointer, modified": func(old *james.Device) (*james.Device, error) { old.Revision = 2; return old, nil },
		"an equal row":              func(*james.Device) (*james.Device, error) { return device("d", 1), nil },
	} {
		row, seq, err := s.Devices().Update(t.Context(), "d", change)
		wantKind(t, name, err, "")
		wantSame(t, name, row, device("d", 1))
		if seq != want {
			t.Errorf("%s: the sequence number is %d, the row's last change had %d", name, seq, want)
		}
	}
	row, seq, err := s.Devices().Update(t.Context(), "nobody", func(old *james.Device) (*james.Device, error) { return old, nil })
	if row != nil || seq != 0 || err != nil {
		t.Errorf("leaving alone what never was: %v, %d, %v", row, seq, err)
	}
	if after, _ := changes(t, s, before); len(after) != 0 {
		t.Errorf("there are changes: %v", after)
	}
}

func rowOwnership(t *testing.T, s store.Store) {
	given := device("d", 1)
	given.Apps = []james.App{{Name: "a"}}
	row, _, err := s.Devices().Update(t.Context(), "d", func(*james.Device) (*james.Device, error) { return given, nil })
	wantKind(t, "Update", err, "")
	given.Apps[0].Name = "spoiled"
	if row.Apps[0].Name == "spoiled" {
		t.Error("what Update returns is what change returned")
	}
	row.Apps[0].Name = "spoiled"
	got, err := s.Devices().Get(t.Context(), "d")
	wantKind(t, "Get", err, "")
	if got.Apps[0].Name != "a" {
		t.Error("the store has kept a row that was given to it or returned by it")
	}
	got.Apps[0].Name = "spoiled"
	all, _ := changes(t, s, store.Cursor{})
	if all["devices d"].Device.Apps[0].Name != "a" {
		t.Error("the store has kept a row that Get returned")
	}
}

func rowLimits(t *testing.T, s store.Store) {
	_, _, err := s.Devices().Update(t.Context(), "", func(*james.Device) (*james.Device, error) { return device("", 1), nil })
	wantKind(t, "an empty key", err, james.KindInvalid)
	large := func(size int) error {
		_, _, err := s.Devices().Update(t.Context(), "large", func(*james.Device) (*james.Device, error) {
			return &james.Device{ID: "large", Agent: strings.Repeat("x", size)}, nil
		})
		return err
	}
	wantKind(t, "a row that is too large", large(store.MaxRow), james.KindInvalid)
	_, err = s.Devices().Get(t.Context(), "large")
	wantKind(t, "Get of the row that is too large", err, james.KindNotFound)
	wantKind(t, "the largest row", large(store.MaxRow-1000), "")
	got, err := s.Devices().Get(t.Context(), "large")
	wantKind(t, "Get of the largest row", err, "")
	if len(got.Agent) != store.MaxRow-1000 {
		t.Errorf("the largest row came back with %d bytes", len(got.Agent))
	}
}

// increment adds 1 to the Revision of a device, n times.
func increment(ctx context.Context, s store.Store, id string, n int) error {
	for range n {
		_, _, err := s.Devices().Update(ctx, id, func(old *james.Device) (*james.Device, error) {
			if old == nil {
				return device(id, 1), nil
			}
			next := *old
			next.Revision++
			return &next, nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// wantCount checks the Revision of a device.
func wantCount(t *testing.T, s store.Store, id string, want int) {
	t.Helper()
	got, err := s.Devices().Get(t.Context(), id)
	wantKind(t, "Get", err, "")
	if got.Revision != uint64(want) {
		t.Errorf("%s counts %d after %d increments", id, got.Revision, want)
	}
}

func increments(t *testing.T, s store.Store) {
	const writers, each = 16, 25
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() { wantKind(t, "increment", increment(t.Context(), s, "counter", each), "") })
	}
	wg.Wait()
	wantCount(t, s, "counter", writers*each)
}

func createOnce(t *testing.T, s store.Store) {
	taken := james.Errorf(james.KindExists, "d", "is there")
	var created atomic.Int32
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			_, _, err := s.Devices().Update(t.Context(), "d", func(old *james.Device) (*james.Device, error) {
				if old != nil {
					return nil, taken
				}
				return device("d", uint64(i)), nil
			})
			switch {
			case err == nil:
				created.Add(1)
			case !errors.Is(err, taken):
				t.Errorf("Update: %v", err)
			}
		})
	}
	wg.Wait()
	if n := created.Load(); n != 1 {
		t.Errorf("%d callers have created the row", n)
	}
}
