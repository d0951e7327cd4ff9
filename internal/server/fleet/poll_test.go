package fleet_test

import (
	"context"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trusch/jamesd/internal/server/fleet"
	"github.com/trusch/jamesd/pkg/james"
)

func TestPoll(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	v1, v2 := w.add("openvpn v1,armv7l"), w.add("openvpn v2,armv7l")

	if resp := w.poll("d1", report("armv7l", v1)); resp.Plan != nil || resp.Resend || resp.Revision != 0 {
		t.Errorf("a device without a desired state is told %+v", resp)
	}
	w.want("d1", "openvpn v2")
	resp := w.poll("d1", report("armv7l", v1))
	if got := steps(resp); !slices.Equal(got, []string{"upgrade openvpn"}) || resp.Plan.Steps[0].New.Digest != v2.Digest {
		t.Errorf("the plan is %v", resp.Plan)
	}
	if resp.Plan.Revision != 1 || resp.Revision != 0 {
		t.Errorf("plan revision %d and state revision %d", resp.Plan.Revision, resp.Revision)
	}
	known, err := w.Poll(t.Context(), "d1", james.PollRequest{Report: report("armv7l", v1), Known: resp.Plan.ID})
	if err != nil || known.Plan != nil || known.Revision != 0 {
		t.Errorf("a known plan is answered with %+v, %v", known, err)
	}
	if resp := w.poll("d1", report("armv7l", v2)); resp.Plan != nil || resp.Revision != 1 {
		t.Errorf("in sync it is told %+v", resp)
	}
}

// TestPollOfAKnownPlan has a device that could not carry its plan out, and an
// operator who sets the desired state to something else and back.
func TestPollOfAKnownPlan(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		v1 := w.add("a v1")
		w.add("a v2")
		r := report("", v1)
		w.poll("d1", r)
		w.want("d1", "a v2")
		plan := w.poll("d1", r).Plan
		start := time.Now()
		req := james.PollRequest{Report: r, Known: plan.ID, KnownRevision: plan.Revision, Wait: 60}
		answer := w.hold("d1", req)
		synctest.Wait()
		w.want("d1", "a v1")
		if got := <-answer; got.Plan != nil || !got.Dropped || got.Revision != 2 || time.Since(start) != 0 {
			t.Errorf("that the plan is not wanted any more is answered with %+v after %s", got, time.Since(start))
		}
		w.want("d1", "a v2")
		if got := must(w.Poll(t.Context(), "d1", req)).Plan; got == nil || got.ID != plan.ID || got.Revision != 3 {
			t.Errorf("the plan of another revision is answered with %+v", got)
		}
		req.KnownRevision, req.Wait = 3, 0
		if resp := must(w.Poll(t.Context(), "d1", req)); resp.Plan != nil {
			t.Errorf("the plan of that revision is answered with %+v", resp.Plan)
		}
		req.KnownRevision = 0
		if resp := must(w.Poll(t.Context(), "d1", req)); resp.Plan != nil {
			t.Errorf("the plan of any revision is answered with %+v", resp.Plan)
		}
		check(t, w.DeleteDesired(t.Context(), "alice", "d1"))
		req.Wait = 60
		if got := must(w.Poll(t.Context(), "d1", req)); got.Plan != nil || !got.Dropped || got.Revision != 0 || time.Since(start) != 0 {
			t.Errorf("a device that is left alone is answered with %+v after %s", got, time.Since(start))
		}
	})
}

func TestPollOfTheSameReport(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	same := func(r *james.DeviceReport) james.PollResponse {
		resp, err := w.Poll(t.Context(), "d1", james.PollRequest{Same: r.Digest()})
		if err != nil {
			t.Fatal(err)
		}
		return resp
	}
	first, second := report("armv7l"), report("arm64")
	if !same(first).Resend {
		t.Error("an unknown device is not asked for its report")
	}
	w.poll("d1", first)
	if same(first).Resend || !same(second).Resend {
		t.Error("the known report is not told from another")
	}
	w.poll("d1", second)
	if !same(first).Resend || same(second).Resend {
		t.Error("the newer report did not take the older one's place")
	}
	if err := w.DeleteDevice(t.Context(), "alice", "d1"); err != nil {
		t.Fatal(err)
	}
	if !same(second).Resend {
		t.Error("a deleted device is not asked for its report")
	}
	// A report without apps may be encoded in two ways; the device's own is the one that counts.
	for _, list := range [][]james.App{nil, {}} {
		r := report("armv7l")
		r.Apps = list
		w.poll("d2", r)
		if same := (james.PollRequest{Same: r.Digest()}); !errorless(w.Poll(t.Context(), "d2", same)) {
			t.Errorf("the digest of a report with the apps %#v is not known", list)
		}
	}
}

func errorless(resp james.PollResponse, err error) bool { return err == nil && !resp.Resend }

func TestPollRefusesBadReports(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := james.App{Name: "a", Digest: james.DigestOf(nil)}
	many := make([]james.App, james.MaxApps+1)
	for i := range many {
		many[i] = james.App{Name: fmt.Sprintf("a%d", i), Digest: a.Digest}
	}
	tests := []struct {
		name, id string
		req      james.PollRequest
		part     string
	}{
		{"no device id", "", james.PollRequest{Report: report("")}, "device id"},
		{"a strange device id", "../x", james.PollRequest{Report: report("")}, "device id"},
		{"neither report nor digest", "d", james.PollRequest{}, "neither a report"},
		{"a bad app name", "d", james.PollRequest{Report: &james.DeviceReport{Apps: []james.App{{Name: "../a", Digest: a.Digest}}}}, "packet name"},
		{"an app twice", "d", james.PollRequest{Report: &james.DeviceReport{Apps: []james.App{a, a}}}, "twice"},
		{"an app without a digest", "d", james.PollRequest{Report: &james.DeviceReport{Apps: []james.App{{Name: "a"}}}}, "no digest"},
		{"too many apps", "d", james.PollRequest{Report: &james.DeviceReport{Apps: many}}, "1001"},
		{"a long agent", "d", james.PollRequest{Report: &james.DeviceReport{Agent: strings.Repeat("x", 1000)}}, "1000 bytes"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, err := w.Poll(t.Context(), test.id, test.req)
			wantError(t, err, james.KindInvalid, test.part)
		})
	}
}

func TestPollWithoutTheStore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.add("a v1")
	w.poll("d1", report(""))
	w.want("d1", "a v1")
	w.store.away.Store(true)
	if got := steps(w.poll("d1", report(""))); !slices.Equal(got, []string{"install a"}) {
		t.Errorf("what is known is answered with %v", got)
	}
	_, err := w.Poll(t.Context(), "d1", james.PollRequest{Report: report("", p)})
	wantError(t, err, james.KindUnavailable)
	_, err = w.Poll(t.Context(), "d2", james.PollRequest{Report: report("")})
	wantError(t, err, james.KindUnavailable)
	wantError(t, w.Ready(t.Context()), james.KindUnavailable)
	w.store.away.Store(false)
	if resp := w.poll("d1", report("", p)); resp.Revision != 1 {
		t.Errorf("with the store back it is told %+v", resp)
	}
	if err := w.Ready(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestHeldPoll checks what ends a held poll, and what does not.
func TestHeldPoll(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		change func(w *world)
		early  bool // the change ends the poll
		want   []string
	}{
		{"the desired state changes", func(w *world) { w.want("d1", "a v1", "b v1") }, true, []string{"install b"}},
		{"a better packet comes", func(w *world) { w.add("a v1,s") }, true, []string{"upgrade a"}},
		{"its packet is replaced", func(w *world) { must(w.upload("a v1", "other", true)) }, true, []string{"upgrade a"}},
		{"its packet is deleted", func(w *world) {
			check(w.t, w.DeletePacket(w.t.Context(), "alice", w.Packets()[0].Digest, true))
		}, true, nil},
		{"it is deleted", func(w *world) { check(w.t, w.DeleteDevice(w.t.Context(), "alice", "d1")) }, true, nil},
		{"a packet comes that does not fit", func(w *world) { w.add("a v9") }, false, nil},
		{"a packet comes that it does not want", func(w *world) { w.add("c v1") }, false, nil},
		{"another device's desired state changes", func(w *world) { w.poll("d2", report("s")); w.want("d2", "b v1") }, false, nil},
		{"the same desired state is set", func(w *world) { w.want("d1", "a v1") }, false, nil},
		{"its desired state is deleted", func(w *world) { check(w.t, w.DeleteDesired(w.t.Context(), "alice", "d1")) }, false, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				a := w.add("a v1")
				w.add("b v1")
				w.poll("d1", report("s", a))
				w.want("d1", "a v1")
				start := time.Now()
				answer := w.hold("d1", james.PollRequest{Report: report("s", a), Wait: 60})
				synctest.Wait()
				if n := w.Stats().Waiting; n != 1 {
					t.Fatalf("%d polls are held", n)
				}
				time.Sleep(10 * time.Second)
				test.change(w)
				resp := <-answer
				took := time.Since(start)
				if test.early != (took == 10*time.Second) || !test.early && took != 60*time.Second {
					t.Errorf("the poll was held for %v", took)
				}
				if got := steps(resp); !slices.Equal(got, test.want) {
					t.Errorf("the plan is %v, want %v", got, test.want)
				}
				if n := w.Stats().Waiting; n != 0 {
					t.Errorf("%d polls are held at the end", n)
				}
			})
		})
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestHeldPollSeesSeveralChanges(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a := w.add("a v1")
		w.poll("d1", report("", a))
		w.want("d1", "a v1")
		answer := w.hold("d1", james.PollRequest{Report: report("", a), Wait: 60})
		for i := range 5 { // each wakes it for nothing
			w.add(fmt.Sprintf("a v1,x%d", i))
			synctest.Wait()
		}
		w.want("d1")
		if got := steps(<-answer); !slices.Equal(got, []string{"remove a"}) {
			t.Errorf("the plan is %v", got)
		}
	})
}

func TestALaterPollEndsAnEarlierOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.poll("d1", report(""))
		start := time.Now()
		first := w.hold("d1", james.PollRequest{Report: report(""), Wait: 60})
		synctest.Wait()
		second := w.hold("d1", james.PollRequest{Report: report(""), Wait: 60})
		if resp := <-first; resp.Plan != nil || resp.Resend || time.Since(start) != 0 {
			t.Errorf("the first poll ended after %v with %+v", time.Since(start), resp)
		}
		time.Sleep(5 * time.Second)
		w.poll("d1", report("")) // one that does not wait ends it too
		if <-second; time.Since(start) != 5*time.Second {
			t.Errorf("the second poll ended after %v", time.Since(start))
		}
	})
}

func TestHoldIsBounded(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		wait int
		want time.Duration
	}{{-5, 0}, {0, 0}, {1, time.Second}, {299, 299 * time.Second}, {301, james.MaxWait}, {math.MaxInt, james.MaxWait}} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			start := time.Now()
			<-w.hold("d1", james.PollRequest{Report: report(""), Wait: test.wait})
			if took := time.Since(start); took != test.want {
				t.Errorf("a wait of %d is held for %v, want %v", test.wait, took, test.want)
			}
		})
	}
}

func TestHeldPollEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := w.Poll(ctx, "d1", james.PollRequest{Report: report(""), Wait: 60})
		wantError(t, err, james.KindInterrupted)
		if s := w.Stats(); s.Waiting != 0 || s.Polls.Failed != 1 {
			t.Errorf("stats %+v", s)
		}
	})
}

func TestDrain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		start := time.Now()
		var answers []<-chan james.PollResponse
		for i := range 100 {
			answers = append(answers, w.hold(fmt.Sprintf("d%d", i), james.PollRequest{Report: report(""), Wait: 60}))
		}
		synctest.Wait()
		w.Drain()
		w.Drain()
		answers = append(answers, w.hold("late", james.PollRequest{Report: report(""), Wait: 60}))
		for i, a := range answers {
			if resp := <-a; resp.Plan != nil || resp.Resend {
				t.Errorf("poll %d is answered with %+v", i, resp)
			}
		}
		if time.Since(start) != 0 {
			t.Errorf("draining takes %v", time.Since(start))
		}
	})
}

func TestStats(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.add("a v1")
	w.add("b v1")
	w.poll("unmanaged", report(""))
	w.poll("behind", report(""))
	w.poll("synced", report("", a))
	w.want("behind", "a v1")
	w.want("synced", "a v1")
	w.poll("behind", report(""))
	must(w.Poll(t.Context(), "new", james.PollRequest{Same: james.DigestOf(nil)}))
	must(w.SetDesired(t.Context(), "alice", james.SetDesiredRequest{State: james.State{ID: "later"}, Force: true}))
	w.Poll(t.Context(), "", james.PollRequest{})
	want := fleet.Stats{Packets: 2,
		Devices: map[james.Condition]int{james.ConditionInSync: 1, james.ConditionPending: 1, james.ConditionUnmanaged: 1, james.ConditionNeverPolled: 1},
		Polls:   fleet.PollStats{Plan: 1, Idle: 3, Resend: 1, Failed: 1}}
	must(w.Poll(t.Context(), "later", james.PollRequest{Same: james.DigestOf(nil)}))
	if d := w.device("later"); !d.LastSeen.IsZero() {
		t.Errorf("a device that was asked for its report is %+v", d)
	}
	want.Polls.Resend++
	if got := w.Stats(); !reflect.DeepEqual(got, want) {
		t.Errorf("stats %+v, want %+v", got, want)
	}
}
