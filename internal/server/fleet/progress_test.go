package fleet_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/trusch/jamesd/pkg/james"
)

// TestProgress follows a plan from its download to its end.
func TestProgress(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		r := report("s", w.add("a v1"))
		w.poll("d1", r)
		v2 := w.add("a v2")
		w.want("d1", "a v2")
		plan := must(w.Plan("d1")).Plan
		reads := func(when, want string) {
			t.Helper()
			d := w.device("d1")
			if d.Reason != want {
				t.Errorf("%s: %q, want %q", when, d.Reason, want)
			}
			if known := want != "" && want[0] != 'n'; (d.Progress != nil) != known {
				t.Errorf("%s: progress %+v", when, d.Progress)
			}
		}
		const upgrade = ": upgrade a v1 -> v2"
		p := james.Progress{Plan: plan.ID, Revision: plan.Revision, Phase: james.Downloading, Done: 43, Total: 100, Rate: 7}
		check(t, w.Progress("d1", p))
		reads("downloading", "downloading 43 %, 43 of 100 B, 7 B/s"+upgrade)
		if at := w.device("d1").Progress.Time; !at.Equal(time.Now()) {
			t.Errorf("it was told at %s", at)
		}
		time.Sleep(11 * time.Minute)
		reads("silent", "not yet applied"+upgrade)
		p.Phase, p.Done, p.Total, p.Rate = james.Applying, 0, 0, 0
		check(t, w.Progress("d1", p))
		reads("applying", "applying"+upgrade)
		check(t, w.Report(t.Context(), "d1", james.Report{Plan: plan.ID, Revision: plan.Revision, Result: james.Committed}))
		reads("reported", "not yet applied"+upgrade)
		w.poll("d1", report("s", v2))
		reads("done", "")

		w.want("d1", "a v1")
		check(t, w.Progress("d1", p))
		reads("with another plan", "not yet applied: upgrade a v2 -> v1")
	})
}

func TestProgressRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := james.Progress{Plan: james.DigestOf(nil), Phase: james.Downloading}
	wantError(t, w.Progress("d1", p), james.KindNotFound, "d1", "never polled")
	w.poll("d1", report("s"))
	check(t, w.Progress("d1", p))
	wantError(t, w.Progress("a b", p), james.KindInvalid, "device id")
	p.Plan = james.Digest{}
	wantError(t, w.Progress("d1", p), james.KindInvalid, "names no plan")
}

// TestWaiting has a device say why it does not carry its plan out.
func TestWaiting(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := report("s", w.add("a v1"))
	w.poll("d1", r)
	w.add("a v2")
	w.want("d1", "a v2")
	plan := must(w.Plan("d1")).Plan
	check(t, w.Progress("d1", james.Progress{Plan: plan.ID, Revision: plan.Revision, Phase: james.Downloading, Done: 9, Total: 10}))
	r.Waiting = &james.Waiting{Plan: plan.ID, Revision: plan.Revision, For: james.WaitApply, Window: james.MustWindow("02:00-04:00")}
	w.poll("d1", r)
	const waiting = "waiting for its apply window 02:00-04:00"
	if got := w.device("d1").Reason; got != waiting+": upgrade a v1 -> v2" {
		t.Errorf("the reason is %q", got)
	}
	other := join(t, w.store, w.blobs)
	if got := other.device("d1"); got.Reason != waiting+": upgrade a v1 -> v2" || got.Waiting == nil {
		t.Errorf("to another jamesd the reason is %q", got.Reason)
	}
	check(t, w.Progress("d1", james.Progress{Plan: plan.ID, Revision: plan.Revision, Phase: james.Applying}))
	going := *r
	going.Waiting = nil
	w.poll("d1", &going) // it says that it does not wait any more
	if got := w.device("d1").Reason; got != "applying: upgrade a v1 -> v2" {
		t.Errorf("when it goes on the reason is %q", got)
	}
	check(t, w.Report(t.Context(), "d1", james.Report{Plan: plan.ID, Revision: plan.Revision, Result: james.Refused, Error: "x"}))
	w.poll("d1", r)
	if got := w.device("d1").Reason; got != "upgrade a v1 -> v2 was refused: x; nothing was changed; "+waiting {
		t.Errorf("after a failure the reason is %q", got)
	}
	w.add("b v1")
	w.want("d1", "b v1", "a v2")
	if got := w.device("d1").Reason; got != "not yet applied: install b v1, upgrade a v1 -> v2" {
		t.Errorf("of a plan that it does not know yet the reason is %q", got)
	}
	_, err := w.Poll(t.Context(), "d1", james.PollRequest{Report: &james.DeviceReport{Waiting: &james.Waiting{For: james.WaitApply}}})
	wantError(t, err, james.KindInvalid, "waiting", "no plan")
}
