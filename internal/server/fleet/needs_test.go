package fleet_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trusch/jamesd/internal/server/fleet"
	"github.com/trusch/jamesd/pkg/james"
)

// TestNeeds: devices of the same plan and the same installed packets are one need,
// what somebody waits for comes first.
func TestNeeds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	old, new, other := w.add("app v1"), w.add("app v2"), w.add("tool")
	for i := range 3 {
		w.poll(fmt.Sprintf("many-%d", i), report("x86", old))
		w.want(fmt.Sprintf("many-%d", i), "app v2")
	}
	w.poll("other", report("x86", old, other))
	w.want("other", "app v2", "tool")
	w.poll("idle", report("x86", new))
	w.want("idle", "app v2")
	w.poll("unmanaged", report("x86", old))
	wantNeeds(t, w, "3/0 app->app installed 1", "1/0 app->app installed 2")

	if got := steps(w.poll("other", report("x86", old, other))); len(got) != 1 {
		t.Fatalf("the plan is %v", got)
	}
	wantNeeds(t, w, "1/1 app->app installed 2", "3/0 app->app installed 1")

	w.want("other") // another plan, which nobody was handed
	wantNeeds(t, w, "3/0 app->app installed 1", "1/0 app-> tool-> installed 2")
}

func wantNeeds(t *testing.T, w *world, want ...string) {
	t.Helper()
	var got []string
	for _, n := range w.Needs() {
		text := fmt.Sprintf("%d/%d", n.Devices, n.Waiting)
		for _, s := range n.Plan.Steps {
			text += " " + s.Old.Name + "->"
			if s.New != nil {
				text += s.New.Name
			}
		}
		got = append(got, fmt.Sprintf("%s installed %d", text, len(n.Installed)))
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("needs are %q, want %q", got, want)
	}
}

// TestPlanned: whoever waits hears of everything that can change plans, once.
func TestPlanned(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	heard := func() bool {
		select {
		case <-w.Planned():
			return true
		default:
			return false
		}
	}
	p := w.add("app v1")
	w.poll("d", report("x86"))
	for _, row := range []struct {
		name   string
		do     func()
		change bool
	}{
		{"so far", func() {}, true},
		{"nothing", func() {}, false},
		{"desired state", func() { w.want("d", "app v1") }, true},
		{"plan handed out", func() { w.poll("d", report("x86")) }, true},
		{"plan handed out again", func() { w.poll("d", report("x86")) }, false},
		{"installed", func() { w.poll("d", report("x86", p)) }, true},
		{"idle poll", func() { w.poll("d", report("x86", p)) }, false},
		{"packets", func() { w.add("app v2"); w.add("app v3") }, true},
		{"packets, heard once", func() {}, false},
	} {
		row.do()
		if got := heard(); got != row.change {
			t.Errorf("%s: heard %v", row.name, got)
		}
	}
}

// TestSuccessions: the newest packet that is for the same systems follows.
func TestSuccessions(t *testing.T) {
	t.Parallel()
	var minutes atomic.Int64
	w := newWorld(t, func(o *fleet.Options) {
		o.Now = func() time.Time { return time.Unix(1e9, 0).Add(time.Duration(minutes.Add(1)) * time.Minute) }
	})
	older := w.add("app v0,x86")
	v1 := w.add("app v1,x86")
	w.add("app v1,arm")
	w.add("app v2,x86")
	w.add("app v2,arm")
	v3 := w.add("app v3,x86")
	w.add("app v3,arm")
	w.add("app v3,beta,x86") // one more tag of its own
	w.add("app x86")         // and one less
	tool := w.add("tool")
	gone := w.add("gone v1")
	w.add("gone v2")
	if err := w.DeletePacket(t.Context(), "alice", gone.Digest, false); err != nil {
		t.Fatal(err)
	}
	w.poll("a", report("x86", v1, tool, gone))
	w.poll("b", report("x86", v1))
	w.poll("c", report("x86", older))
	w.poll("d", report("x86", v3))
	got := w.Successions()
	want := []fleet.Succession{{Old: v1.Digest, New: v3.Digest, Devices: 2}, {Old: older.Digest, New: v3.Digest, Devices: 1}}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestMayOrder: nothing of packets that are none of the device's business, and
// bases only from what it has.
func TestMayOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	old, new, foreign := w.add("app v1"), w.add("app v2"), w.add("foreign")
	w.poll("d", report("x86", old))
	w.want("d", "app v2")
	wants := func(all ...james.Packet) (out []james.Wants) {
		for _, p := range all {
			out = append(out, james.Wants{Packet: p.Digest, Entries: james.IndicesOf(0)})
		}
		return out
	}
	for _, row := range []struct {
		name   string
		device string
		wants  []james.Wants
		kind   james.Kind
	}{
		{"about to be installed", "d", wants(new), ""},
		{"installed", "d", wants(new, old), ""},
		{"foreign", "d", wants(new, foreign), james.KindDenied},
		{"nobody", "e", wants(new), james.KindDenied},
	} {
		t.Run(row.name, func(t *testing.T) {
			req := james.BlobsRequest{Packets: row.wants, Have: []james.Digest{foreign.Digest, old.Digest, new.Digest}}
			err := w.MayOrder(row.device, &req)
			if james.KindOf(err) != row.kind {
				t.Fatalf("got %v", err)
			}
			if err == nil && (!req.Have[0].IsZero() || req.Have[1] != old.Digest || !req.Have[2].IsZero()) {
				t.Errorf("bases from %v", req.Have)
			}
		})
	}
}
