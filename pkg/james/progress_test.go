package james_test

import (
	"testing"

	"github.com/trusch/jamesd/pkg/james"
)

func TestProgressString(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		p    james.Progress
		want string
	}{
		{james.Progress{Phase: james.Applying}, "applying"},
		{james.Progress{Phase: james.Downloading}, "downloading"},
		{james.Progress{Phase: james.Downloading, Done: 1_204_000, Total: 2_800_000, Rate: 20_100}, "downloading 43 %, 1.2 of 2.8 MB, 20 kB/s"},
		{james.Progress{Phase: james.Downloading, Total: 2_000_000}, "downloading 0 %, 0 of 2 MB"},
		{james.Progress{Phase: james.Downloading, Done: 12_340_000, Total: 843_000_000, Rate: 999}, "downloading 1 %, 12 of 843 MB, 999 B/s"},
		{james.Progress{Phase: james.Downloading, Done: 5, Total: 5}, "downloading 100 %, 5 of 5 B"},
		{james.Progress{Phase: james.Downloading, Done: 1 << 62, Total: 1<<63 - 1, Rate: 1_500_000_000}, "downloading 50 %, 4611686018 of 9223372037 GB, 1.5 GB/s"},
		{james.Progress{Phase: "thinking"}, "thinking"},
	} {
		if got := row.p.String(); got != row.want {
			t.Errorf("%q, want %q", got, row.want)
		}
	}
}

func TestProgressValidate(t *testing.T) {
	t.Parallel()
	plan := james.DigestOf(nil)
	for name, row := range map[string]struct {
		p  james.Progress
		ok bool
	}{
		"the beginning":    {james.Progress{Plan: plan, Phase: james.Downloading}, true},
		"the end":          {james.Progress{Plan: plan, Phase: james.Downloading, Done: 5, Total: 5}, true},
		"a phase to come":  {james.Progress{Plan: plan, Phase: "thinking"}, true},
		"no plan":          {james.Progress{Phase: james.Downloading}, false},
		"no phase":         {james.Progress{Plan: plan}, false},
		"no word":          {james.Progress{Plan: plan, Phase: "<b>"}, false},
		"more than all":    {james.Progress{Plan: plan, Phase: james.Downloading, Done: 6, Total: 5}, false},
		"less than none":   {james.Progress{Plan: plan, Phase: james.Downloading, Done: -1, Total: 5}, false},
		"a rate backwards": {james.Progress{Plan: plan, Phase: james.Downloading, Rate: -1}, false},
	} {
		if err := row.p.Validate(); (err == nil) != row.ok || err != nil && james.KindOf(err) != james.KindInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWaiting(t *testing.T) {
	t.Parallel()
	plan := james.DigestOf(nil)
	for _, row := range []struct {
		w    james.Waiting
		want string
	}{
		{james.Waiting{Plan: plan, For: james.WaitApply, Window: james.MustWindow("02:00-04:00")}, "waiting for its apply window 02:00-04:00"},
		{james.Waiting{Plan: plan, For: james.WaitDownload, Window: james.ClosedWindow}, `waiting: its download window is "never"`},
		{james.Waiting{Plan: plan, For: james.WaitLink}, "waiting: its link is metered and the change is not marked urgent"},
		{james.Waiting{Plan: plan, For: "better-times"}, "waiting for its better-times window"},
	} {
		if err := row.w.Validate(); err != nil || row.w.String() != row.want {
			t.Errorf("%q, %v; want %q", row.w.String(), err, row.want)
		}
	}
	for name, w := range map[string]james.Waiting{"no plan": {For: james.WaitApply}, "nothing": {Plan: plan}, "no word": {Plan: plan, For: "a b"}} {
		if err := w.Validate(); james.KindOf(err) != james.KindInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	one, other := &james.Waiting{Plan: plan, Revision: 1}, &james.Waiting{Plan: plan, Revision: 1}
	if !one.Equal(other) || one.Equal(nil) || !(*james.Waiting)(nil).Equal(nil) || one.Equal(&james.Waiting{Plan: plan, Revision: 2}) {
		t.Error("Equal")
	}
}
