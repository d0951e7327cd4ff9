package ctl_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/trusch/jamesd/internal/ctl"
	"github.com/trusch/jamesd/pkg/james"
)

func TestRewriteSeed(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, args, want string }{
		{"none", "get-state device-1", "get-state device-1"},
		{"nothing at all", "", ""},
		{"the founding example", "--cmd get-state --id device-1", "get-state --id device-1"},
		{"last", "--id device-1 --cmd get-state", "get-state --id device-1"},
		{"in the middle", "--addr x --cmd get-state --id device-1", "get-state --addr x --id device-1"},
		{"joined", "--id device-1 --cmd=get-state", "get-state --id device-1"},
		{"after the dashes", "get-state -- --cmd x", "get-state -- --cmd x"},
		{"before the dashes", "--cmd get-state -- --cmd", "get-state -- --cmd"},
		{"completion", "__complete --cmd get-state --id d", "__complete get-state --id d"},
		{"completion of the name", "__complete --cmd get-s", "__complete get-s"},
		{"completion without descriptions", "__completeNoDesc --cmd get-state --id d", "__completeNoDesc get-state --id d"},
	} {
		got, err := ctl.RewriteSeed(strings.Fields(tc.args))
		want := strings.Fields(tc.want)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %q, %v; want %q", tc.name, got, err, want)
		}
	}
	got, err := ctl.RewriteSeed([]string{"--cmd", "pki init", "--dir", "x"})
	if want := []string{"pki", "init", "--dir", "x"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("two words: %q, %v; want %q", got, err, want)
	}
	for name, args := range map[string][]string{
		"no value":          {"--cmd"},
		"no value, dashes":  {"--cmd", "--", "x"},
		"empty":             {"--cmd", ""},
		"empty, joined":     {"--cmd="},
		"a flag for a name": {"--cmd", "--id", "device-1"},
		"twice":             {"--cmd", "get-state", "--cmd=get-state"},
	} {
		if got, err := ctl.RewriteSeed(args); james.KindOf(err) != james.KindInvalid || james.HintOf(err) == "" {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}
