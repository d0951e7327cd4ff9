package ctl_test

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/trusch/jamesd/internal/ctl"
	"github.com/trusch/jamesd/pkg/james"
)

// busy is a fleet of which there is more to say than fits.
func busy() *james.FleetStatus {
	s := &james.FleetStatus{
		Time: noon, Packets: 12, Damaged: 3, Silent: 7, TroubledCount: 1234,
		Devices: map[james.Condition]int{james.ConditionInSync: 99_000, james.ConditionPending: 10, james.ConditionWorking: 20,
			james.ConditionFailed: 30, james.ConditionBroken: 1, james.ConditionUnmanaged: 2, james.ConditionWaiting: 4},
		Results: map[james.Result]int{james.Committed: 20, james.RolledBack: 30},
		Polls:   james.PollStatus{Held: 98_000, Rate: 3301.25},
	}
	for i := range james.MaxGlances {
		id := fmt.Sprintf("device-%d", i)
		s.Troubled = append(s.Troubled, james.Glance{ID: id, Condition: james.ConditionFailed, Reason: "upgrade app v1 -> v2 failed:\x1b[2J " + strings.Repeat("long ", 40)})
		s.Working = append(s.Working, james.Glance{ID: id, Condition: james.ConditionWorking, Progress: &james.Progress{Phase: james.Downloading, Done: 1e6, Total: 4e6, Rate: 2e4}})
		s.Rollouts = append(s.Rollouts, james.Rollout{Name: strings.Repeat("name", 10), Tags: james.MustTags("v2"), Have: 75, Pending: 25, Failed: 3})
		s.Events = append(s.Events, james.Event{Time: noon, Kind: james.EventReport, Device: id, Text: id + ": revision 1 was carried out"})
	}
	return s
}

// TestTopFits: whatever the size of the terminal, what is shown fits, and is what
// matters most.
func TestTopFits(t *testing.T) {
	t.Parallel()
	for _, size := range []struct{ width, height int }{{80, 24}, {200, 60}, {40, 10}, {20, 5}, {1, 1}, {80, 1000}, {300, 24}} {
		lines := ctl.View(busy(), "jamesd:2761", noon, size.width, size.height)
		if len(lines) > size.height || len(lines) < min(size.height, 24) {
			t.Errorf("%v: there are %d lines", size, len(lines))
		}
		for _, l := range lines {
			if utf8.RuneCountInString(l) > size.width || strings.ContainsAny(l, "\x1b\n\r") {
				t.Errorf("%v: %q", size, l)
			}
		}
		if size.width < 80 {
			continue
		}
		text := strings.Join(strings.Fields(strings.Join(lines, " ")), " ")
		for _, word := range []string{"99067 devices", "in-sync 99000", "broken 1", "silent 7", "held 98000 3301.2/s", "committed 20 rolled-back 30",
			" of 1234) device-0 failed upgrade app", " device-0 [###.........] downloading 25 %", "[#########...] 75 of 100, 3 failed", " EVENTS ", "device-49: revision 1"} {
			if !strings.Contains(text, word) {
				t.Errorf("%v: there is no %q:\n%s", size, word, text)
			}
		}
	}
}

// TestTopOfNothing: an empty fleet has nothing to list.
func TestTopOfNothing(t *testing.T) {
	t.Parallel()
	got := strings.Join(ctl.View(&james.FleetStatus{Time: noon}, "jamesd:2761", noon, 80, 24), "\n")
	want := "jamesd jamesd:2761   2026-01-02 12:00:00   0 devices, 0 packets\ndevices       -\npolls         held 0  0.0/s\ntransactions  -"
	if got != want {
		t.Errorf("got\n%s", got)
	}
}

// TestTopOnce: what does not go to a terminal is printed once.
func TestTopOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add("v1", "one")
	w.device()
	if out := w.ok("top"); !strings.Contains(out, "1 device, 1 packet\ndevices       unmanaged 1\n") || strings.Contains(out, "\x1b") || !strings.Contains(out, "12:00:00  device-seen   device-1 polled") {
		t.Errorf("it printed\n%s", out)
	}
	if out := w.ok("top", "-o", "json"); !strings.Contains(out, `"unmanaged": 1`) {
		t.Errorf("it printed\n%s", out)
	}
	w.fails(2, "--interval must be at least 500ms", "top", "--interval", "1ms")
}
