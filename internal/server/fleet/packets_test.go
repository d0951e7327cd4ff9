package fleet_test

import (
	"slices"
	"testing"

	"github.com/trusch/jamesd/pkg/james"
)

func TestPacketsAreSorted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, p := range []string{"b v1", "a v2", "a v1", "b"} {
		w.add(p)
	}
	var got []string
	for _, p := range w.Packets() {
		got = append(got, p.App().String())
	}
	if want := []string{"a v1", "a v2", "b", "b v1"}; !slices.Equal(got, want) {
		t.Errorf("the packets are %q, want %q", got, want)
	}
}

func TestDeletePacket(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	used, unused := w.add("a v1,s"), w.add("a v1,other")
	w.poll("d2", report("s"))
	w.poll("d1", report("s"))
	w.want("d1", "a v1")
	w.want("d2", "a v1")

	check(t, w.DeletePacket(t.Context(), "bob", unused.Digest, false))
	wantError(t, w.DeletePacket(t.Context(), "bob", unused.Digest, false), james.KindNotFound)
	wantError(t, w.DeletePacket(t.Context(), "bob", used.Digest, false), james.KindConflict, "a s,v1", "d1, d2", "--force")
	if n := len(w.Packets()); n != 1 {
		t.Fatalf("%d packets are left", n)
	}
	check(t, w.DeletePacket(t.Context(), "bob", used.Digest, true))
	if n := len(w.Packets()); n != 0 {
		t.Errorf("%d packets are left", n)
	}
	resp := w.poll("d1", report("s", used))
	if resp.Plan == nil || len(resp.Plan.Steps) != 0 || len(resp.Plan.Problems) != 1 {
		t.Errorf("a device that has it is told %+v", resp.Plan)
	}
	want := []string{"packet-deleted - a other,v1 bob", "packet-deleted - a s,v1 bob"}
	if got := w.events(); !slices.Equal(got[len(got)-2:], want) {
		t.Errorf("events %q, want %q", got, want)
	}
}

func TestMayFetch(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	has, next, other := w.add("a v1"), w.add("a v2"), w.add("b v1")
	w.poll("d1", report("", has))
	w.poll("d2", report("", other))
	wantError(t, w.MayFetch("d1", next.Digest), james.KindDenied, "d1")
	w.want("d1", "a v2")
	for _, p := range []james.Packet{has, next} {
		if err := w.MayFetch("d1", p.Digest); err != nil {
			t.Error(err)
		}
	}
	wantError(t, w.MayFetch("d1", other.Digest), james.KindDenied)
	wantError(t, w.MayFetch("unknown", has.Digest), james.KindDenied)
	wantError(t, w.MayFetch("d1", james.DigestOf(nil)), james.KindDenied)
	w.store.away.Store(true)
	if err := w.MayFetch("d1", next.Digest); err != nil {
		t.Errorf("without the store: %v", err)
	}
	wantError(t, w.MayFetch("d1", other.Digest), james.KindUnavailable)
}

func TestUnknownPacket(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, err := w.Packet(james.DigestOf(nil))
	wantError(t, err, james.KindNotFound)
	_, err = w.OpenManifest(t.Context(), james.DigestOf(nil))
	wantError(t, err, james.KindNotFound)
	_, _, err = w.OpenArchive(t.Context(), james.DigestOf(nil))
	wantError(t, err, james.KindNotFound)
}
