package james_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/trusch/jamesd/pkg/james"
)

func change(app string, path james.Path, kind james.ChangeKind) james.Change {
	return james.Change{App: app, Path: path, Kind: kind}
}

func TestDrift(t *testing.T) {
	t.Parallel()
	var many []james.Change
	for n := range 60 {
		many = append(many, change("b", james.Path(fmt.Sprintf("opt/%02d", 59-n)), james.ChangedMode))
	}
	for _, tc := range []struct {
		name    string
		changes []james.Change
		want    string // count, damaged, named, words
	}{
		{"an edit", []james.Change{change("a", "etc/a", james.ChangedConfig)},
			"1 0 1 a configuration file was edited: etc/a of a was edited here, and stays so"},
		{"two edits", []james.Change{change("b", "etc/b", james.ChangedConfig), change("a", "etc/a", james.ChangedConfig)},
			"2 0 2 2 configuration files were edited: etc/a of a was edited here, and stays so"},
		{"damage", []james.Change{change("a", "opt/a", james.ChangedMissing)}, "1 1 1 a file is damaged: opt/a of a is missing"},
		{"damage and an edit", []james.Change{change("a", "opt/a", james.ChangedContent), change("a", "etc/a", james.ChangedConfig)},
			"2 1 2 1 of 2 changed files are damaged: opt/a of a has other content"},
		{"a manifest", []james.Change{change("a", ".", james.ChangedManifest)},
			"1 1 1 a file is damaged: the manifest of a is damaged or missing"},
		{"much", many, "60 60 50 60 files are damaged: opt/00 of b has other permissions"},
		{"of a newer device", []james.Change{change("a", "opt/a", "rotten")}, "1 1 1 a file is damaged: opt/a of a is not as it should be"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			d := james.NewDrift(tc.changes)
			if got := fmt.Sprintf("%d %d %d %s", d.Count, d.Damaged, len(d.Changes), d); got != tc.want {
				t.Errorf("%q, want %q", got, tc.want)
			}
			if err := d.Validate(); err != nil || !d.Equal(james.NewDrift(tc.changes)) || d.Equal(nil) || (*james.Drift)(nil).Equal(d) {
				t.Errorf("%v, or it is not equal to itself alone", err)
			}
		})
	}
	if d := james.NewDrift(nil); d != nil || !d.Equal(nil) || d.String() != "nothing has changed" {
		t.Errorf("drift of nothing is %v", d)
	}
}

func TestDriftRefuses(t *testing.T) {
	t.Parallel()
	one := []james.Change{change("a", "x", james.ChangedMode)}
	for name, d := range map[string]james.Drift{
		"none":              {},
		"more than counted": {Count: 1, Changes: append(one, one...)},
		"more damage":       {Count: 1, Damaged: 2, Changes: one},
		"negative damage":   {Count: 1, Damaged: -1, Changes: one},
		"too many":          {Count: 99, Changes: make([]james.Change, james.MaxDrift+1)},
		"a bad app":         {Count: 1, Changes: []james.Change{change("../a", "x", james.ChangedMode)}},
		"no kind":           {Count: 1, Changes: []james.Change{change("a", "x", "")}},
		"a strange kind":    {Count: 1, Changes: []james.Change{change("a", "x", "a b")}},
		"a long kind":       {Count: 1, Changes: []james.Change{change("a", "x", james.ChangeKind(strings.Repeat("x", 200)))}},
	} {
		if err := d.Validate(); james.KindOf(err) != james.KindInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSummary(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		report james.Report
		want   string
	}{
		{james.Report{Revision: 2, Result: james.Committed, Recovered: true}, "revision 2 was carried out, after an interruption"},
		{james.Report{Revision: 2, Result: james.RolledBack, App: "a", Script: james.Postinst, Error: "exit status 7.\n"},
			"revision 2 failed and was undone, the old state is back: postinst of a: exit status 7"},
		{james.Report{Revision: 2, Result: james.Refused, Error: "script health of a: x", Script: james.HealthCheck},
			"revision 2 was refused, nothing was changed: script health of a: x"},
		{james.Report{Revision: 2, Result: james.Broken}, "revision 2 failed and could not be undone, somebody must look at the device: no cause was given"},
	} {
		if got := tc.report.Summary(); got != tc.want {
			t.Errorf("%q, want %q", got, tc.want)
		}
	}
}
