package fleet_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trusch/jamesd/internal/server/fleet"
	"github.com/trusch/jamesd/pkg/james"
)

// check runs a Check and returns what it found.
func (w *world) check(repair bool) (fleet.Checkup, []fleet.Problem) {
	w.t.Helper()
	var found []fleet.Problem
	sum, err := w.Check(w.t.Context(), fleet.CheckOptions{Repair: repair, Found: func(p fleet.Problem) { found = append(found, p) }})
	if err != nil {
		w.t.Fatal(err)
	}
	if sum.Problems != len(found) {
		w.t.Errorf("%d problems are counted, and told of %v", sum.Problems, found)
	}
	return sum, found
}

// TestCheck damages one thing at a time.
func TestCheck(t *testing.T) {
	t.Parallel()
	packed, contents := sizesTar(t, 10, 300_000, 77)
	content := james.DigestOf(contents[1])
	other := james.Errorf(james.KindCorrupt, "blob", "has a bad checksum")
	for _, row := range []struct {
		name     string
		damage   func(r *rotten, p james.Packet) error
		says, do string
		repaired bool
		again    bool // adding the packet again mends it
	}{
		{name: "nothing", damage: func(*rotten, james.Packet) error { return nil }},
		{"another content", func(r *rotten, _ james.Packet) error { r.rot(content, nil); return nil }, "1 of the contents of its files", "--repair", true, false},
		{"a content that cannot be read", func(r *rotten, _ james.Packet) error { r.rot(content, other); return nil }, "1 of the contents of its files", "--repair", true, false},
		{"no content", func(r *rotten, _ james.Packet) error { return r.Delete(t.Context(), content) }, "1 of the contents of its files", "--repair", true, false},
		{"another archive", func(r *rotten, p james.Packet) error { r.rot(p.Archive.Digest, nil); return nil }, "its archive is damaged", "add-packet --name a", false, true},
		{"no archive", func(r *rotten, p james.Packet) error { return r.Delete(t.Context(), p.Archive.Digest) }, "its archive is damaged", "add-packet --name a", false, true},
		{"another manifest", func(r *rotten, p james.Packet) error { r.rot(p.Digest, nil); return nil }, "its manifest cannot be used", "add-packet --name a", false, true},
		{"no manifest", func(r *rotten, p james.Packet) error { return r.Delete(t.Context(), p.Digest) }, "its manifest cannot be used", "add-packet --name a", false, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			w, blobs, p := rot(t, packed)
			w.add("b v1")
			check(t, row.damage(blobs, p))
			sum, found := w.check(false)
			if row.says == "" {
				if len(found) != 0 || sum.Packets != 2 || sum.Blobs != 8 || sum.Bytes == 0 {
					t.Fatalf("found %v in %+v", found, sum)
				}
				return
			}
			if len(found) != 1 || found[0].Packet != "a v1" || !strings.Contains(found[0].What, row.says) || !strings.Contains(found[0].Do, row.do) {
				t.Fatalf("found %+v", found)
			}
			if sum, found = w.check(true); len(found) != 1 || found[0].Repaired != row.repaired || (found[0].Do == "") != row.repaired {
				t.Fatalf("a repair: %+v", found)
			}
			if row.again {
				w.addTar("a", packed)
			}
			if sum, found = w.check(false); len(found) != 0 || sum.Packed > 1 {
				t.Errorf("afterwards: %+v, %+v", found, sum)
			}
			w.addTar("a", packed) // changes nothing
			for _, content := range contents {
				w.checkContent(content)
			}
		})
	}
}

// TestCheckOfDamagedArchiveAndContent: what has no source is named, and adding the
// packet again mends all of it.
func TestCheckOfDamagedArchiveAndContent(t *testing.T) {
	t.Parallel()
	packed, contents := sizesTar(t, 10, 300_000, 77)
	synctest.Test(t, func(t *testing.T) {
		w, blobs, p := rot(t, packed)
		blobs.rot(james.DigestOf(contents[1]), nil)
		blobs.rot(p.Archive.Digest, nil)
		_, found := w.check(true)
		if len(found) != 2 || found[0].Repaired || found[1].Repaired || !strings.Contains(found[1].What, "failed") {
			t.Fatalf("found %+v", found)
		}
		w.addTar("a", packed)
		defer w.run()()
		time.Sleep(time.Second)
		if sum, found := w.check(false); len(found) != 0 || sum.Packed != 0 || sum.Blobs != 5 {
			t.Errorf("afterwards: %+v, %+v", found, sum)
		}
		for _, content := range contents {
			w.checkContent(content)
		}
	})
}

// TestCheckCollects: what nothing refers to is counted when it is old enough, and
// deleted by a repair.
func TestCheckCollects(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.add("kept v1")
		kept := digests(t, w.blobs)
		gone := w.add("gone v1")
		check(t, w.DeletePacket(t.Context(), "alice", gone.Digest, false))
		if sum, _ := w.check(true); sum.Unused != 0 || sum.Collected != 0 {
			t.Errorf("too new: %+v", sum)
		}
		time.Sleep(2 * time.Hour)
		if sum, _ := w.check(false); sum.Unused != 3 || sum.UnusedBytes == 0 || sum.Collected != 0 {
			t.Errorf("without a repair: %+v", sum)
		}
		if sum, _ := w.check(true); sum.Collected != 3 || sum.CollectedBytes == 0 {
			t.Errorf("with one: %+v", sum)
		}
		if got := digests(t, w.blobs); !slices.Equal(got, kept) {
			t.Errorf("there are %d blobs, want %d", len(got), len(kept))
		}
	})
}

// TestHold: nothing is collected until the last is released.
func TestHold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		gone := w.add("gone v1")
		check(t, w.DeletePacket(t.Context(), "alice", gone.Digest, false))
		first, second := w.HoldBlobs(), w.HoldBlobs()
		defer w.run()()
		time.Sleep(3 * time.Hour)
		first()
		time.Sleep(3 * time.Hour)
		if n := len(digests(t, w.blobs)); n != 3 {
			t.Errorf("%d blobs are left", n)
		}
		second()
		time.Sleep(3 * time.Hour)
		if n := len(digests(t, w.blobs)); n != 0 {
			t.Errorf("%d blobs stay", n)
		}
	})
}

// TestCheckInterrupted: it ends when it is told to.
func TestCheckInterrupted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add("a v1")
	ctx, cancel := context.WithCancel(t.Context())
	_, err := w.Check(ctx, fleet.CheckOptions{Progress: func(done, total int64) {
		if done > total {
			t.Errorf("%d of %d", done, total)
		}
		cancel()
	}})
	wantError(t, err, james.KindInterrupted)
}
