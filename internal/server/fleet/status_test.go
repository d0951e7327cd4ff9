package fleet_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trusch/jamesd/pkg/james"
)

func TestState(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, err := w.State("d1")
	wantError(t, err, james.KindNotFound, "d1", "never polled")
	w.poll("d1", report("armv7l,systemd", w.add("openvpn v1,armv7l")))
	got := must(w.State("d1"))
	if got.ID != "d1" || got.SystemTags.String() != "armv7l,systemd" || len(got.Apps) != 1 || got.Apps[0].String() != "openvpn v1" {
		t.Errorf("the state is %+v", got)
	}
}

// TestReason checks what an operator reads of a device in each situation.
func TestReason(t *testing.T) {
	t.Parallel()
	retryAt := time.Date(2031, 5, 6, 7, 8, 9, 0, time.UTC)
	// upgrade brings the device before an upgrade and reports its result.
	upgrade := func(w *world, r james.Report) {
		w.poll("d1", report("s", w.add("openvpn v0.9.9,s")))
		w.add("openvpn v1.0.0,s")
		w.want("d1", "openvpn v1.0.0")
		r.Plan, r.Revision = must(w.Plan("d1")).Plan.ID, 1
		check(w.t, w.Report(w.t.Context(), "d1", r))
	}
	tests := []struct {
		name string
		do   func(w *world)
		sync bool
		want string
	}{
		{"without a desired state", func(w *world) { w.poll("d1", report("s")) }, true, ""},
		{"in sync", func(w *world) { w.poll("d1", report("s", w.add("a v1"))); w.want("d1", "a v1") }, true, ""},
		{"never polled", func(w *world) {
			must(w.SetDesired(w.t.Context(), "alice", james.SetDesiredRequest{State: james.State{ID: "d1"}, Force: true}))
		}, false, "has never polled"},
		{"waiting", func(w *world) {
			w.poll("d1", report("s", w.add("openvpn v0.9.9,s"), w.add("old v1")))
			w.add("openvpn v1.0.0,s")
			w.add("new s")
			w.want("d1", "openvpn v1.0.0", "new")
		}, false, "not yet applied: remove old, upgrade openvpn v0.9.9 -> v1.0.0, install new s"},
		{"waiting for much", func(w *world) {
			w.poll("d1", report("s"))
			for _, n := range strings.Split("a,b,c,d,e", ",") {
				w.add(n)
			}
			w.want("d1", "a", "b", "c", "d", "e")
		}, false, "not yet applied: install a, install b, install c, and 2 more"},
		{"waiting for a replaced packet", func(w *world) {
			w.poll("d1", report("s", w.add("a v1")))
			w.want("d1", "a v1")
			must(w.upload("a v1", "new", true))
		}, false, "not yet applied: upgrade a to other content of the same tags"},
		{"a step that the error names again", func(w *world) {
			upgrade(w, james.Report{Result: james.RolledBack, Error: "cannot upgrade openvpn s,v1.0.0: script postinst of openvpn s,v1.0.0: exit status 3"})
		}, false, "upgrade openvpn v0.9.9 -> v1.0.0 failed: script postinst of openvpn s,v1.0.0: exit status 3; the old state is back"},
		{"unresolved", func(w *world) {
			p := w.add("a v1")
			w.poll("d1", report("s", p))
			w.want("d1", "a v1")
			check(w.t, w.DeletePacket(w.t.Context(), "alice", p.Digest, true))
		}, false, "a is unresolved: there is no packet named a; upload one with add-packet or correct the name"},
		{"rolled back", func(w *world) {
			upgrade(w, james.Report{Result: james.RolledBack, App: "openvpn", Script: james.Postinst, Error: "exit status 3",
				Attempts: 2, RetryAt: retryAt})
		}, false, "upgrade openvpn v0.9.9 -> v1.0.0 failed: postinst of openvpn: exit status 3; the old state is back; 2 tries so far; next try at 2031-05-06 07:08:09 UTC"},
		{"refused", func(w *world) {
			upgrade(w, james.Report{Result: james.Refused, Error: "no space left on device."})
		}, false, "upgrade openvpn v0.9.9 -> v1.0.0 was refused: no space left on device; nothing was changed"},
		{"broken", func(w *world) {
			upgrade(w, james.Report{Result: james.Broken, Error: "input/output error"})
		}, false, "the last transaction failed and could not be undone, somebody must look at the device: input/output error"},
		{"failed and then wanted otherwise", func(w *world) {
			upgrade(w, james.Report{Result: james.RolledBack, Error: "x"})
			w.add("openvpn v2,s")
			w.want("d1", "openvpn v2")
		}, false, "not yet applied: upgrade openvpn v0.9.9 -> v2"},
		{"failed and then wanted again", func(w *world) {
			upgrade(w, james.Report{Result: james.RolledBack, Error: "x"})
			w.want("d1", "openvpn v0.9.9")
			w.want("d1", "openvpn v1.0.0")
		}, false, "not yet applied: upgrade openvpn v0.9.9 -> v1.0.0"},
		{"applied and not polled since", func(w *world) {
			upgrade(w, james.Report{Result: james.Committed})
		}, false, "not yet applied: upgrade openvpn v0.9.9 -> v1.0.0"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			test.do(w)
			if got := w.device("d1"); got.Reason != test.want || got.InSync != test.sync {
				t.Errorf("in sync: %v, because %q; want %v, %q", got.InSync, got.Reason, test.sync, test.want)
			}
		})
	}
}

func TestDevices(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		start := time.Now()
		w.poll("d2", report("s"))
		time.Sleep(time.Minute)
		w.poll("d2", report("s"))
		w.poll("d1", report("s"))
		must(w.SetDesired(t.Context(), "alice", james.SetDesiredRequest{State: james.State{ID: "d0"}, Force: true}))
		list := must(w.Devices(t.Context()))
		if len(list) != 3 || list[0].ID != "d0" || list[1].ID != "d1" || list[2].ID != "d2" {
			t.Fatalf("the devices are %+v", list)
		}
		if d := list[0]; !d.LastSeen.IsZero() || d.Desired != 1 || d.InSync || d.Reason == "" {
			t.Errorf("one that never polled is %+v", d)
		}
		if d := list[2]; !d.LastSeen.Equal(start.Add(time.Minute)) || !d.FirstSeen.Equal(start) || d.Desired != 0 || !d.InSync {
			t.Errorf("one that polled twice is %+v", d)
		}
	})
}

func TestDeleteDevice(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.add("a v1")
	w.poll("d1", report("s", p))
	w.want("d1", "a v1")
	stop := w.run()
	stop() // its last-seen time is in the store now
	check(t, w.DeleteDevice(t.Context(), "bob", "d1"))
	wantError(t, w.DeleteDevice(t.Context(), "bob", "d1"), james.KindNotFound, "d1")
	for name, err := range map[string]error{
		"Device":  second(w.Device(t.Context(), "d1")),
		"State":   second(w.State("d1")),
		"Plan":    second(w.Plan("d1")),
		"Desired": second(w.Desired(t.Context(), "d1")),
	} {
		if james.KindOf(err) != james.KindNotFound {
			t.Errorf("%s of a deleted device: %v", name, err)
		}
	}
	if seen := must(w.store.Seen(t.Context())); len(seen) != 0 {
		t.Errorf("it is still recorded as seen: %v", seen)
	}
	check(t, w.DeletePacket(t.Context(), "bob", p.Digest, false)) // nobody wants it any more
	if resp := w.poll("d1", report("s", p)); resp.Plan != nil {
		t.Errorf("when it comes back it is told %+v", resp.Plan)
	}
	want := []string{"device-deleted d1 - bob", "packet-deleted - a v1 bob", "device-seen d1 - d1"}
	if got := w.events(); !slices.Equal(got[len(got)-3:], want) {
		t.Errorf("events %q, want %q", got, want)
	}
}

func second[T any](_ T, err error) error { return err }

func TestReport(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := james.DigestOf([]byte("plan"))
	started := time.Date(2030, 1, 2, 3, 4, 5, 678_901_234, time.FixedZone("", 3600))
	r := james.Report{Plan: id, Revision: 3, Result: james.RolledBack, Error: strings.Repeat("é", 5000), Kind: james.KindInvalid,
		App: "openvpn", Script: james.Preinst, Output: "begin " + strings.Repeat("ö", james.MaxOutput), Started: started, Ended: started}
	wantError(t, w.Report(t.Context(), "d1", r), james.KindNotFound, "d1")
	w.poll("d1", report("s"))
	check(t, w.Report(t.Context(), "d1", r))
	check(t, w.Report(t.Context(), "d1", r)) // once more, as its answer was lost
	got := w.device("d1").Report
	if got == nil || got.Plan != id || got.Result != james.RolledBack || !got.Started.Equal(started.Truncate(time.Millisecond)) {
		t.Fatalf("the report is %+v", got)
	}
	if len(got.Error) == 0 || len(got.Error) > 4096 || len(got.Output) == 0 || len(got.Output) > james.MaxOutput || strings.HasPrefix(got.Output, "begin") {
		t.Errorf("the error has %d bytes, the output %d and begins with %q", len(got.Error), len(got.Output), got.Output[:6])
	}
	if list := must(w.Devices(t.Context())); list[0].Report.Output != "" {
		t.Error("the list of devices has the output")
	}
	want := []string{"device-seen d1 - d1", "report d1 - d1"}
	if got := w.events(); !slices.Equal(got, want) {
		t.Errorf("events %q, want %q", got, want)
	}
	if s := w.Stats().Reports; s.RolledBack != 1 || s.Committed != 0 {
		t.Errorf("the numbers are %+v", s)
	}
	// What it reports next keeps the last transaction.
	w.poll("d1", report("s2"))
	if got := w.device("d1"); got.Report == nil || got.SystemTags.String() != "s2" {
		t.Errorf("after the next poll the device is %+v", got)
	}
}

func TestReportRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.poll("d1", report(""))
	id := james.DigestOf(nil)
	for _, test := range []struct {
		name, device string
		report       james.Report
		part         string
	}{
		{"no device", "", james.Report{Plan: id, Result: james.Committed}, "device id"},
		{"no plan", "d1", james.Report{Result: james.Committed}, "no plan"},
		{"no result", "d1", james.Report{Plan: id}, "result"},
		{"an unknown script", "d1", james.Report{Plan: id, Result: james.RolledBack, Script: "inst"}, "inst"},
		{"a bad app", "d1", james.Report{Plan: id, Result: james.RolledBack, App: "../a"}, "../a"},
		{"a long kind", "d1", james.Report{Plan: id, Result: james.RolledBack, Kind: james.Kind(strings.Repeat("x", 99))}, "99"},
		{"negative attempts", "d1", james.Report{Plan: id, Result: james.RolledBack, Attempts: -1}, "negative"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			wantError(t, w.Report(t.Context(), test.device, test.report), james.KindInvalid, test.part)
		})
	}
}

func TestEventsAreBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for range 3 {
		check(t, second(w.upload("a v1", time.Now().String(), true)))
	}
	first := must(w.Events(t.Context(), 0, 2, 0))
	rest := must(w.Events(t.Context(), first[1].Seq, -1, 0))
	if len(first) != 2 || len(rest) != 1 || rest[0].Seq <= first[1].Seq {
		t.Errorf("events %+v, then %+v", first, rest)
	}
}
