package storetest

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/trusch/jamesd/internal/server/store"
	"github.com/trusch/jamesd/pkg/james"
)

func changesFromZero(t *testing.T, s store.Store) {
	if all, _ := changes(t, s, store.Cursor{}); len(all) != 0 {
		t.Errorf("an empty store has changes: %v", all)
	}
	put(t, s, "a", 1)
	want := put(t, s, "a", 2)
	put(t, s, "gone", 1)
	remove(t, s, "gone")
	all, _ := changes(t, s, store.Cursor{})
	wantChange(t, all, "a", want, device("a", 2))
	if c, ok := all["devices gone"]; ok && c.Device != nil {
		t.Errorf("a deleted row is among the changes: %+v", c)
	}
	delete(all, "devices gone")
	if len(all) != 1 {
		t.Errorf("there are %d rows, want 1: %v", len(all), all)
	}
}

// wantChange checks the change of a device; a nil row stands for its deletion.
func wantChange(t *testing.T, all map[string]store.Change, id string, seq uint64, row *james.Device) {
	t.Helper()
	c, ok := all["devices "+id]
	if !ok {
		t.Errorf("%s is not among the changes %v", id, all)
		return
	}
	if c.Table != store.TableDevices || c.Key != id || c.Packet != nil || c.Desired != nil {
		t.Errorf("the change of %s is %+v", id, c)
	}
	if c.Seq != seq {
		t.Errorf("the change of %s has the sequence number %d, want %d", id, c.Seq, seq)
	}
	wantSame(t, "changed "+id, c.Device, row)
}

func changesIncremental(t *testing.T, s store.Store) {
	put(t, s, "still", 1)
	put(t, s, "goes", 1)
	_, cursor := changes(t, s, store.Cursor{})
	some, cursor := changes(t, s, cursor)
	if len(some) != 0 {
		t.Errorf("nothing has changed, but there are changes: %v", some)
	}
	put(t, s, "comes", 1)
	created, deleted := put(t, s, "brief", 1), remove(t, s, "goes")
	modified := put(t, s, "comes", 2)
	removed := remove(t, s, "brief")
	if created == removed {
		t.Error("creation and deletion have the same sequence number")
	}
	some, next := changes(t, s, cursor)
	wantChange(t, some, "comes", modified, device("comes", 2))
	wantChange(t, some, "goes", deleted, nil)
	wantChange(t, some, "brief", removed, nil)
	if c, ok := some["devices still"]; ok && c.Device == nil {
		t.Errorf("an unchanged row is deleted among the changes: %+v", c)
	}
	again, _ := changes(t, s, cursor) // a cursor can be used twice
	wantSame(t, "the same cursor again", again, some)
	if rest, _ := changes(t, s, next); len(rest) != 0 {
		t.Errorf("nothing has changed any more, but there are changes: %v", rest)
	}
}

func changesRecreated(t *testing.T, s store.Store) {
	cursor := store.Cursor{}
	last := uint64(0)
	for i := range uint64(5) {
		created := put(t, s, "d", i)
		deleted := remove(t, s, "d")
		if created <= last || deleted <= created {
			t.Errorf("after %d the row was created at %d and deleted at %d", last, created, deleted)
		}
		last = put(t, s, "d", 100+i)
		if last <= deleted {
			t.Errorf("deleted at %d, the row was created again at %d", deleted, last)
		}
		var some map[string]store.Change
		some, cursor = changes(t, s, cursor)
		wantChange(t, some, "d", last, device("d", 100+i))
		last = remove(t, s, "d")
	}
}

// known is what a test knows to be in a store.
type known struct {
	mu   sync.Mutex
	rows map[string]follow
}

type follow struct {
	seq uint64
	row *james.Device
}

// learn takes in a row unless a newer one is known.
func (k *known) learn(id string, seq uint64, row *james.Device) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if seq > k.rows[id].seq {
		k.rows[id] = follow{seq, row}
	}
}

func (k *known) copy() map[string]follow {
	k.mu.Lock()
	defer k.mu.Unlock()
	out := make(map[string]follow, len(k.rows))
	for id, f := range k.rows {
		out[id] = f
	}
	return out
}

// changesFollowed lets writers change and delete the same few rows, while a
// follower asks for changes: it must know, after each answer, at least what
// Updates had returned before it asked.
func changesFollowed(t *testing.T, s store.Store) { followWriters(t, []store.Store{s}, s) }

func followWriters(t *testing.T, writers []store.Store, reader store.Store) {
	const each, perStore = 40, 6
	followed := &known{rows: make(map[string]follow)}
	put(t, reader, "first", 1) // so that the cursor is not that of an empty store, for which deletions are nothing
	_, cursor := changes(t, reader, store.Cursor{})
	written := &known{rows: make(map[string]follow)}
	var wg sync.WaitGroup
	for i := range perStore * len(writers) {
		s := writers[i%len(writers)]
		wg.Go(func() { writeAtRandom(t, s, written, each, uint64(i)) })
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	defer func() { <-done }()
	for last := false; !last; {
		select {
		case <-done:
			last = true
		default:
		}
		before := written.copy()
		var some map[string]store.Change
		some, cursor = changes(t, reader, cursor)
		for _, c := range some {
			followed.learn(c.Key, c.Seq, c.Device)
		}
		for id, w := range before {
			if f := followed.rows[id]; f.seq < w.seq {
				t.Fatalf("%s was changed at %d before the follower asked, but it knows only of %d", id, w.seq, f.seq)
			}
		}
	}
	for id, w := range written.rows {
		f := followed.rows[id]
		if f.seq != w.seq {
			t.Errorf("%s: the follower ends at %d, the writers at %d", id, f.seq, w.seq)
		}
		wantSame(t, id, f.row, w.row)
	}
}

// writeAtRandom changes and deletes rows and records what Update returned.
func writeAtRandom(t *testing.T, s store.Store, written *known, n int, seed uint64) {
	random := rand.New(rand.NewPCG(seed, 0))
	for i := range n {
		id := fmt.Sprint("d", random.IntN(10))
		next := device(id, seed<<32+uint64(i))
		if random.IntN(4) == 0 {
			next = nil
		}
		nothing := false
		row, seq, err := s.Devices().Update(t.Context(), id, func(old *james.Device) (*james.Device, error) {
			nothing = old == nil && next == nil
			return next, nil
		})
		if err != nil {
			t.Errorf("Update: %v", err)
			return
		}
		if !nothing {
			written.learn(id, seq, row)
		}
	}
}
