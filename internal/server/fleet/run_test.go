package fleet_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trusch/jamesd/internal/server/blob/memblob"
	"github.com/trusch/jamesd/internal/server/fleet"
	"github.com/trusch/jamesd/internal/server/store"
	"github.com/trusch/jamesd/internal/server/store/memstore"
	"github.com/trusch/jamesd/pkg/james"
)

// TestTwoFleets has two of them on one store, of which each sees what the other
// changes.
func TestTwoFleets(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one := newWorld(t)
		two := join(t, one.store, one.blobs)
		defer one.run()()
		defer two.run()()

		p := one.add("a v1")
		two.poll("d1", report(""))
		one.want("d1", "a v1") // both known to one at once, as it looks before it refuses
		start := time.Now()
		answer := two.hold("d1", james.PollRequest{Report: report(""), Wait: 60})
		if got := steps(<-answer); !slices.Equal(got, []string{"install a"}) || time.Since(start) > fleet.MaxFollowInterval {
			t.Errorf("two hands out %v after %v", got, time.Since(start))
		}
		known := two.hold("d1", james.PollRequest{Report: report("", p), Wait: 60})
		synctest.Wait()
		start = time.Now()
		check(t, one.DeletePacket(t.Context(), "alice", p.Digest, true))
		if resp := <-known; resp.Plan == nil || len(resp.Plan.Problems) != 1 || time.Since(start) > fleet.MaxFollowInterval {
			t.Errorf("after the deletion two answers %+v", resp)
		}
		stale := two.hold("d1", james.PollRequest{Same: ptr(report("", p)).Digest(), Known: must(two.Plan("d1")).Plan.ID, Wait: 60})
		synctest.Wait()
		one.poll("d1", report("", p)) // nothing new, and two's poll goes on
		time.Sleep(5 * time.Second)
		start = time.Now()
		one.poll("d1", report("s"))
		if resp := <-stale; !resp.Resend || time.Since(start) > fleet.MaxFollowInterval {
			t.Errorf("a poll that another has overtaken is answered with %+v after %v", resp, time.Since(start))
		}
	})
}

func ptr[T any](p *T) *T { return p }

// tardy is a store that takes its time to say that it does not answer.
type tardy struct {
	store.Store
	away atomic.Bool
}

const tardiness = 3 * time.Second

func (s *tardy) Changes(ctx context.Context, since store.Cursor) ([]store.Change, store.Cursor, error) {
	if !s.away.Load() {
		return s.Store.Changes(ctx, since)
	}
	time.Sleep(tardiness)
	return nil, since, james.Errorf(james.KindUnavailable, "store", "is away")
}

// TestAwayForAll: many who ask for a store that does not answer learn that together, not
// one after the other.
func TestAwayForAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &tardy{Store: memstore.New()}
		w := join(t, &fragile{Store: s}, memblob.New())
		w.poll("d1", report(""))
		s.away.Store(true)
		start := time.Now()
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				_, err := w.SetDesired(t.Context(), "alice", james.SetDesiredRequest{State: james.State{ID: "d1"}})
				wantError(t, err, james.KindUnavailable)
			})
		}
		all.Wait()
		if took := time.Since(start); took > 2*tardiness {
			t.Errorf("the last one learns it after %s", took)
		}
		s.away.Store(false)
		w.want("d1")
	})
}

// TestBehind has a device talk to a Fleet that does not know yet what it did with another.
func TestBehind(t *testing.T) {
	t.Parallel()
	// worlds are two of them that know two packets and d1 with the first, as it shall be.
	worlds := func(t *testing.T) (one, two *world, v1, v2 james.Packet) {
		one = newWorld(t)
		two = join(t, one.store, one.blobs)
		v1, v2 = one.add("a v1"), one.add("a v2")
		one.poll("d1", report("", v1))
		one.want("d1", "a v1")
		two.poll("d1", report("", v1))
		check(t, two.Refresh(t.Context()))
		return one, two, v1, v2
	}
	t.Run("it is not told to undo what it has just done", func(t *testing.T) {
		t.Parallel()
		one, two, _, v2 := worlds(t)
		one.want("d1", "a v2")
		if resp := two.poll("d1", report("", v2)); resp.Plan != nil {
			t.Errorf("it is told to %v", steps(resp))
		}
	})
	t.Run("nor to go back to what was replaced", func(t *testing.T) {
		t.Parallel()
		one, two, _, _ := worlds(t)
		next := must(one.upload("a v1", "next", true)).Packet
		if resp := two.poll("d1", report("", next)); resp.Plan != nil {
			t.Errorf("it is told to %v", steps(resp))
		}
	})
	t.Run("nor when how it went came first", func(t *testing.T) {
		t.Parallel()
		one, two, _, v2 := worlds(t)
		one.want("d1", "a v2")
		now := report("", v2)
		one.poll("d1", now)
		check(t, two.Report(t.Context(), "d1", james.Report{Plan: v2.Digest, Revision: 2, Result: james.Committed}))
		resp, err := two.Poll(t.Context(), "d1", james.PollRequest{Same: now.Digest()})
		if err != nil || resp.Plan != nil || resp.Resend {
			t.Errorf("it is told to %v (%+v, %v)", steps(resp), resp, err)
		}
	})
	t.Run("it waits until the store can tell", func(t *testing.T) {
		t.Parallel()
		one, two, _, v2 := worlds(t)
		one.want("d1", "a v2")
		for _, fails := range []*atomic.Bool{&two.store.away, &two.store.deaf} {
			fails.Store(true)
			for range 2 {
				_, err := two.Poll(t.Context(), "d1", james.PollRequest{Report: report("", v2)})
				wantError(t, err, james.KindUnavailable)
			}
			fails.Store(false)
		}
		if resp := two.poll("d1", report("", v2)); resp.Plan != nil {
			t.Errorf("it is told to %v", steps(resp))
		}
	})
	// What it says is what two knows already, but no more what the store has.
	t.Run("what it went back to is asked for once more", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			one, two, v1, v2 := worlds(t)
			one.poll("d1", report("", v2))
			defer two.run()()
			start := time.Now()
			held := two.hold("d1", james.PollRequest{Report: report("", v1), Wait: 60})
			if resp := <-held; !resp.Resend || time.Since(start) > fleet.MaxFollowInterval {
				t.Errorf("its poll is answered with %+v after %v", resp, time.Since(start))
			}
			two.poll("d1", report("", v1))
			check(t, one.Refresh(t.Context()))
			if d := one.device("d1"); !d.InSync {
				t.Errorf("one says %q", d.Reason)
			}
		})
	})
	t.Run("with the next poll where that is not held", func(t *testing.T) {
		t.Parallel()
		one, two, v1, v2 := worlds(t)
		one.poll("d1", report("", v2))
		back := report("", v1)
		if resp := two.poll("d1", back); resp.Plan != nil {
			t.Errorf("it is told to %v", steps(resp))
		}
		check(t, two.Refresh(t.Context()))
		resp, err := two.Poll(t.Context(), "d1", james.PollRequest{Same: back.Digest()})
		if err != nil || !resp.Resend {
			t.Errorf("the next poll is answered with %+v, %v", resp, err)
		}
	})
}

// TestFreshFromElsewhere does on one Fleet, and at once on another that does not
// even run, what a load balancer makes of consecutive requests.
func TestFreshFromElsewhere(t *testing.T) {
	t.Parallel()
	one := newWorld(t)
	two := join(t, one.store, one.blobs)
	v1 := one.add("a v1")
	if _, err := two.Packet(v1.Digest); err != nil {
		t.Error(err)
	}
	one.poll("d1", report(""))
	if _, err := two.State("d1"); err != nil {
		t.Error(err)
	}
	v2 := one.add("a v2")
	two.want("d1", "a v2")
	if err := two.MayFetch("d1", v2.Digest); err != nil {
		t.Error(err)
	}
	one.poll("d1", report("", v2))
	if d := two.device("d1"); !d.InSync {
		t.Errorf("two says %q", d.Reason)
	}
	v3 := must(one.upload("a v2", "new", true)).Packet
	if err := two.MayFetch("d1", v3.Digest); err != nil {
		t.Error(err)
	}
	_, err := two.upload("a v2", "", false)
	wantError(t, err, james.KindExists)
	wantError(t, two.DeletePacket(t.Context(), "bob", v3.Digest, false), james.KindConflict)
	three := join(t, one.store, one.blobs)
	if got := len(three.Packets()); got != 2 {
		t.Errorf("one that starts now knows %d packets", got)
	}
	if d := three.device("d1"); d.InSync {
		t.Error("it does not know what the others do")
	}
}

func TestNewWithoutTheStore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.store.away.Store(true)
	_, err := fleet.New(t.Context(), fleet.Options{Store: w.store, Blobs: w.blobs})
	wantError(t, err, james.KindUnavailable)
}

// TestLateChanges applies contents of a row in the wrong order.
func TestLateChanges(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	late := &lateStore{Store: w.store}
	f := join(t, w.store, w.blobs, func(o *fleet.Options) { o.Store = late })
	f.add("a v1") // makes the next answers of Changes begin after it
	var old []store.Change
	late.keep.Store(&old)
	check(t, second(f.Devices(t.Context())))
	p := must(f.upload("a v1", "two", true)).Packet
	late.again.Store(true) // what it said before, once more
	check(t, second(f.Devices(t.Context())))
	if got := f.Packets(); len(old) == 0 || len(got) != 1 || got[0].Digest != p.Digest {
		t.Errorf("after %d old changes came again the packets are %v", len(old), got)
	}
	check(t, f.DeletePacket(t.Context(), "alice", p.Digest, false))
	check(t, second(f.Devices(t.Context())))
	if got := f.Packets(); len(got) != 0 {
		t.Errorf("old changes bring a deleted packet back: %v", got)
	}
}

// lateStore repeats changes that it returned before.
type lateStore struct {
	store.Store
	keep  atomic.Pointer[[]store.Change]
	again atomic.Bool
}

func (s *lateStore) Changes(ctx context.Context, since store.Cursor) ([]store.Change, store.Cursor, error) {
	changes, next, err := s.Store.Changes(ctx, since)
	if kept := s.keep.Load(); kept != nil {
		if s.again.Load() {
			changes = append(changes, *kept...)
		} else {
			*kept = append(*kept, changes...)
		}
	}
	return changes, next, err
}

// TestSeenIsSavedInBatches counts the writes of last-seen times.
func TestSeenIsSavedInBatches(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		touched := &touches{Store: w.store}
		f := join(t, w.store, w.blobs, func(o *fleet.Options) { o.Store = touched })
		stop := f.run()
		start := time.Now()
		for range 25 { // 25 s, with a poll of 3 devices in each
			for i := range 3 {
				f.poll(fmt.Sprintf("d%d", i), report(""))
			}
			time.Sleep(time.Second)
		}
		if n := touched.calls.Load(); n != 2 {
			t.Errorf("%d writes in 25 s", n)
		}
		f.poll("d9", report(""))
		w.store.away.Store(true)
		time.Sleep(30 * time.Second)
		w.store.away.Store(false)
		stop() // writes what could not be written
		seen := must(w.store.Seen(t.Context()))
		if len(seen) != 4 || !seen["d9"].Equal(start.Add(25*time.Second)) || !seen["d0"].Equal(start.Add(24*time.Second)) {
			t.Errorf("the store has %v", seen)
		}
		if d := join(t, w.store, w.blobs).device("d9"); !d.LastSeen.Equal(start.Add(25 * time.Second)) {
			t.Errorf("a new one has %v", d.LastSeen)
		}
	})
}

type touches struct {
	store.Store
	calls atomic.Int64
}

func (s *touches) Touch(ctx context.Context, seen map[string]time.Time) error {
	s.calls.Add(1)
	return s.Store.Touch(ctx, seen)
}

func TestRunFailsWhereNothingCanBeSaved(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.poll("d1", report(""))
	w.store.away.Store(true)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	wantError(t, w.Run(ctx), james.KindUnavailable)
}

// TestConcurrentUse has everybody at once, for the race detector, and then
// compares what the Fleet has in memory with what a new one reads.
func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *fleet.Options) { o.FollowInterval = time.Millisecond })
	other := join(t, w.store, w.blobs, func(o *fleet.Options) { o.FollowInterval = time.Millisecond })
	stop, stopOther := w.run(), other.run()
	var wg sync.WaitGroup
	for i := range 8 {
		at := w
		if i%2 == 1 {
			at = other
		}
		id := fmt.Sprintf("d%d", i)
		wg.Go(func() {
			for n := range 20 {
				p, err := at.upload(fmt.Sprintf("p%d v%d", i%3, n), fmt.Sprint(n), true)
				if err != nil {
					t.Error(err)
					return
				}
				at.Poll(t.Context(), id, james.PollRequest{Report: report("s", p.Packet)})
				req := james.SetDesiredRequest{State: james.State{ID: id, Apps: []james.App{{Name: p.Packet.Name, Tags: p.Packet.Tags}}}, Force: true}
				if _, err := at.SetDesired(t.Context(), "alice", req); err != nil {
					t.Error(err)
				}
				at.DeletePacket(t.Context(), "alice", p.Packet.Digest, n%2 == 0)
				if n%5 == 4 {
					at.DeleteDevice(t.Context(), "alice", id)
				}
				at.Stats()
			}
		})
		wg.Go(func() {
			for range 20 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
				at.Poll(ctx, id, james.PollRequest{Report: report("s"), Wait: 1})
				cancel()
			}
		})
	}
	wg.Wait()
	stop()
	stopOther()
	fresh := join(t, w.store, w.blobs)
	for _, used := range []*world{w, other} {
		a, b := must(used.Devices(t.Context())), must(fresh.Devices(t.Context()))
		same := slices.EqualFunc(a, b, func(a, b james.DeviceStatus) bool {
			return a.ID == b.ID && a.Desired == b.Desired && a.Reason == b.Reason && a.InSync == b.InSync
		})
		if !same {
			t.Errorf("in memory: %+v\nin the store: %+v", a, b)
		}
		if a, b := used.Packets(), fresh.Packets(); !slices.EqualFunc(a, b, func(a, b james.Packet) bool { return a.Digest == b.Digest }) {
			t.Errorf("packets in memory: %v\nin the store: %v", a, b)
		}
		if n := used.Stats().Waiting; n != 0 {
			t.Errorf("%d polls are held", n)
		}
	}
}
