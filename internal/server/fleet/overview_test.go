package fleet_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trusch/jamesd/internal/server/fleet"
	"github.com/trusch/jamesd/pkg/james"
)

// TestOverview: the fleet at a glance says of every device how it stands, and what is
// wrong with those that somebody should look at.
func TestOverview(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.run()()
		v1 := w.add("a v1")
		old := report("", v1)
		w.poll("silent", report(""))
		time.Sleep(4 * time.Hour) // the world's interval is one
		for _, id := range []string{"unmanaged", "synced", "pending", "working", "waiting", "failed", "broken", "damaged"} {
			w.poll(id, old)
		}
		must(w.SetDesired(t.Context(), "alice", james.SetDesiredRequest{State: james.State{ID: "new", Apps: apps("b")}, Force: true}))
		v2 := w.add("a v2")
		for _, id := range []string{"pending", "working", "waiting", "failed"} {
			w.want(id, "a v2")
		}
		must(w.SetDesired(t.Context(), "alice", james.SetDesiredRequest{State: james.State{ID: "broken", Apps: apps("b")}, Force: true}))
		for _, id := range []string{"synced", "damaged"} {
			w.want(id, "a v1")
		}
		plan := must(w.Plan("working")).Plan
		check(t, w.Progress("working", james.Progress{Plan: plan.ID, Revision: 1, Phase: james.Downloading, Done: 1, Total: 4}))
		waiting := report("", v1)
		waiting.Waiting = &james.Waiting{Plan: plan.ID, Revision: 1, For: james.WaitLink}
		w.poll("waiting", waiting)
		ended := time.Now()
		check(t, w.Report(t.Context(), "failed", james.Report{Plan: plan.ID, Revision: 1, Result: james.RolledBack, Error: "exit status 3", Ended: ended}))
		check(t, w.Report(t.Context(), "broken", james.Report{Plan: plan.ID, Revision: 1, Result: james.Broken, Error: "no way back", Ended: ended}))
		check(t, w.Report(t.Context(), "synced", james.Report{Plan: plan.ID, Revision: 1, Result: james.Committed, Ended: ended.Add(-2 * time.Hour)}))
		damaged := report("", v1)
		damaged.Drift = james.NewDrift([]james.Change{{App: "a", Path: "bin/a", Kind: james.ChangedContent}})
		w.poll("damaged", damaged)

		s := must(w.Overview(t.Context()))
		want := map[james.Condition]int{james.ConditionUnmanaged: 2, james.ConditionInSync: 2, james.ConditionPending: 1, james.ConditionWorking: 1,
			james.ConditionWaiting: 1, james.ConditionFailed: 1, james.ConditionBroken: 1, james.ConditionNeverPolled: 1}
		if !maps.Equal(s.Devices, want) || s.Packets != 2 || s.Damaged != 1 || s.Silent != 1 {
			t.Errorf("the devices are %v, %d damaged, %d silent, with %d packets; the silent one was seen %s ago", s.Devices, s.Damaged, s.Silent, s.Packets, time.Since(w.device("silent").LastSeen))
		}
		if want := (map[james.Result]int{james.RolledBack: 1, james.Broken: 1}); !maps.Equal(s.Results, want) {
			t.Errorf("the results are %v", s.Results)
		}
		var troubled []string
		for _, g := range s.Troubled {
			troubled = append(troubled, g.ID)
			if g.Reason == "" {
				t.Errorf("%s has no reason", g.ID)
			}
		}
		if want := []string{"broken", "failed", "damaged", "silent"}; !slices.Equal(troubled, want) || s.TroubledCount != 4 {
			t.Errorf("in trouble are %d: %v", s.TroubledCount, troubled)
		}
		if len(s.Working) != 1 || s.Working[0].ID != "working" || s.Working[0].Progress.Percent() != 25 {
			t.Errorf("at work are %+v", s.Working)
		}
		if r := s.Rollouts; len(r) != 1 || r[0].Digest != v2.Digest || r[0].Pending != 4 || r[0].Failed != 1 || r[0].Have != 0 {
			t.Errorf("rolled out are %+v", r)
		}
		if n := len(s.Events); n == 0 || s.Events[n-1].Kind != james.EventDrift {
			t.Errorf("the events are %+v", s.Events)
		}

		// It is made again after a while, and its events are those of now.
		w.want("unmanaged", "a v2")
		again := must(w.Overview(t.Context()))
		if n := len(again.Events); again.Devices[james.ConditionUnmanaged] != 2 || again.Events[n-1].Kind != james.EventDesiredSet {
			t.Errorf("at once it is %+v", again)
		}
		time.Sleep(time.Minute)
		if again = must(w.Overview(t.Context())); again.Devices[james.ConditionUnmanaged] != 1 || again.Rollouts[0].Pending != 5 {
			t.Errorf("later it is %+v", again)
		}
	})
}

// TestOverviewOfMany: no list grows with the fleet.
func TestOverviewOfMany(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 3 * james.MaxGlances {
		id := fmt.Sprintf("d%03d", i)
		w.poll(id, report(""))
		must(w.SetDesired(t.Context(), "alice", james.SetDesiredRequest{State: james.State{ID: id, Apps: apps(fmt.Sprintf("p%d", i))}, Force: true}))
	}
	s := must(w.Overview(t.Context()))
	if len(s.Troubled) != james.MaxGlances || s.TroubledCount != 3*james.MaxGlances || s.Troubled[0].ID != "d000" {
		t.Errorf("%d of %d are in trouble, first %s", len(s.Troubled), s.TroubledCount, s.Troubled[0].ID)
	}
	if len(s.Events) != james.MaxGlances || len(s.Rollouts) != 0 || s.Working == nil {
		t.Errorf("%d events, %d rollouts, %v", len(s.Events), len(s.Rollouts), s.Working)
	}
}

// TestPollRate: the rate of polls is that of the last minute.
func TestPollRate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.run()()
		for range 300 {
			w.poll("d1", report(""))
			time.Sleep(500 * time.Millisecond)
		}
		if p := must(w.Overview(t.Context())).Polls; p.Rate < 1.9 || p.Rate > 2.1 || p.Held != 0 {
			t.Errorf("after two a second it is %+v", p)
		}
		time.Sleep(2 * time.Minute)
		if p := must(w.Overview(t.Context())).Polls; p.Rate != 0 {
			t.Errorf("after two minutes of silence it is %+v", p)
		}
	})
}

// BenchmarkOverview is of a fleet as large as one jamesd is made for. stats is what a
// scrape of the metrics takes.
func BenchmarkOverview(b *testing.B) {
	w, _, _ := large(b, 10_000, 100_000)
	b.Run("overview", func(b *testing.B) {
		for b.Loop() {
			fleet.Look(w.Fleet)
		}
	})
	b.Run("stats", func(b *testing.B) {
		for b.Loop() {
			w.Stats()
		}
	})
}
