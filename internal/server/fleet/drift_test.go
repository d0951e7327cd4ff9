package fleet_test

import (
	"slices"
	"testing"

	"github.com/trusch/jamesd/pkg/james"
)

// TestDrift follows a device whose files begin and cease to differ: what is known
// of it, also to another jamesd, the events, and that the same is not stored again.
func TestDrift(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.add("a v1")
	w.has("d1", p)
	missing := james.Change{App: "a", Path: "usr/bin/a", Kind: james.ChangedMissing}
	edited := james.Change{App: "a", Path: "etc/a", Kind: james.ChangedConfig}
	for _, step := range []struct {
		name    string
		changes []james.Change
		damaged int // devices
		events  []string
	}{
		{"an edit", []james.Change{edited}, 0, []string{"d1: a configuration file was edited: etc/a of a was edited here, and stays so"}},
		{"damage as well", []james.Change{edited, missing}, 1, []string{"d1: 1 of 2 changed files are damaged: usr/bin/a of a is missing"}},
		{"the same", []james.Change{edited, missing}, 1, nil},
		{"repaired", nil, 0, []string{"d1 has all files as its packets have them again"}},
		{"still so", nil, 0, nil},
		{"damage", []james.Change{missing}, 1, []string{"d1: a file is damaged: usr/bin/a of a is missing"}},
	} {
		before := len(w.driftEvents())
		r := report("s", p)
		r.Drift = james.NewDrift(step.changes)
		w.poll("d1", r)
		if resp := w.short("d1", r); resp.Resend {
			t.Errorf("%s: the digest of the report is not known", step.name)
		}
		for _, f := range []*world{w, join(t, w.store, w.blobs)} {
			if d := f.device("d1"); !d.Drift.Equal(r.Drift) || !d.InSync || d.Reason != "" {
				t.Errorf("%s: the device is %+v with drift %v", step.name, d, d.Drift)
			}
		}
		if got := w.driftEvents()[before:]; !slices.Equal(got, step.events) {
			t.Errorf("%s: events %q, want %q", step.name, got, step.events)
		}
		if got := w.Stats().Damaged; got != step.damaged {
			t.Errorf("%s: %d devices are damaged, want %d", step.name, got, step.damaged)
		}
	}
}

func TestDriftRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := report("s")
	r.Drift = &james.Drift{}
	_, err := w.Poll(t.Context(), "d1", james.PollRequest{Report: r})
	wantError(t, err, james.KindInvalid, "drift")
}

// has brings the device into the state that it has the packet and is to.
func (w *world) has(id string, p james.Packet) {
	w.t.Helper()
	w.poll(id, report("s", p))
	w.want(id, p.App().String())
}

// short polls with the digest of the report alone.
func (w *world) short(id string, r *james.DeviceReport) james.PollResponse {
	w.t.Helper()
	return must(w.Poll(w.t.Context(), id, james.PollRequest{Same: r.Digest()}))
}

func (w *world) driftEvents() []string {
	w.t.Helper()
	var out []string
	for _, e := range must(w.Events(w.t.Context(), 0, 100, 0)) {
		if e.Kind == james.EventDrift {
			out = append(out, e.Text)
		}
	}
	return out
}
