package ctl

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/trusch/jamesd/pkg/client"
	"github.com/trusch/jamesd/pkg/james"
)

func (p *program) getStateCommand() *cobra.Command {
	var id string
	cmd := &cobra.Command{
		Use:   "get-state ID",
		Short: "Print what a device has installed",
		Long: `Print the state that a device reported last: its system tags and its apps, with
their tags except those that are system tags. It is YAML, also where a table is
the format.

With -o yaml or -o json it has two keys more, where there is something to tell:
transaction says how the last transaction ended, in which script of which app it
failed, the end of what that printed, and what the device has now; drift names the
files that are not as their packets have them.

Any of it can be edited and given to set-desired-state, which ignores those two.`,
		Example: "  jamesd-ctl get-state device-1 > state.yaml\n  jamesd-ctl get-state device-1 -o yaml",
		RunE:    func(cmd *cobra.Command, _ []string) error { return p.getState(cmd.Context(), id) },
	}
	p.named(cmd, &id, "id", "the device's `ID`", true, p.deviceIDs)
	p.printsFormats(cmd)
	return cmd
}

func (p *program) getState(ctx context.Context, id string) error {
	const op = "get the state of"
	s, err := ask(p, op, id, func(c *client.Client) (james.State, error) { return c.State(ctx, id) })
	if err != nil {
		return err
	}
	all := fullState{State: withoutDigests(s)}
	if p.format == formatTable {
		return encodeNode(p.out, all)
	}
	d, err := ask(p, op, id, func(c *client.Client) (james.DeviceStatus, error) { return c.Device(ctx, id) })
	if err != nil {
		return err
	}
	all.State, all.Drift = withoutDigests(d.State()), d.Drift
	if d.Report != nil {
		all.Transaction = newTransaction(d.Report)
	}
	if p.format == formatJSON {
		return printJSON(p.out, all)
	}
	if all.Transaction != nil {
		all.Transaction.Output = cleanLines(all.Transaction.Output)
	}
	return encodeNode(p.out, all)
}

// fullState is what get-state prints: what set-desired-state reads, and what it
// ignores.
type fullState struct {
	james.State `yaml:",inline"`
	Transaction *transaction `json:"transaction,omitempty" yaml:"transaction,omitempty"`
	Drift       *james.Drift `json:"drift,omitempty" yaml:"drift,omitempty"`
}

// ignored are the keys of a fullState that are no part of a state.
var ignored = []string{"transaction", "drift"}

// transaction is a report for people and programs.
type transaction struct {
	Result   james.Result     `json:"result" yaml:"result"`
	Summary  string           `json:"summary" yaml:"summary"`
	Revision uint64           `json:"revision" yaml:"revision"`
	App      string           `json:"app,omitempty" yaml:"app,omitempty"`
	Script   james.ScriptName `json:"script,omitempty" yaml:"script,omitempty"`
	Kind     james.Kind       `json:"kind,omitempty" yaml:"kind,omitempty"`
	Output   string           `json:"output,omitempty" yaml:"output,omitempty"`
	Started  time.Time        `json:"started" yaml:"started"`
	Ended    time.Time        `json:"ended" yaml:"ended"`
	Attempts int              `json:"attempts,omitzero" yaml:"attempts,omitempty"`
	NextTry  time.Time        `json:"next_try,omitzero" yaml:"next_try,omitempty"`
}

func newTransaction(r *james.Report) *transaction {
	return &transaction{
		Result: r.Result, Summary: r.Summary(), Revision: r.Revision, App: r.App, Script: r.Script, Kind: r.Kind, Output: r.Output,
		Started: r.Started, Ended: r.Ended, Attempts: r.Attempts, NextTry: r.RetryAt,
	}
}

// cleanLines is clean for each line, so that they are lines in YAML too: those
// have no blank at their very beginning.
func cleanLines(s string) string {
	lines := strings.Split(strings.TrimRight(strings.TrimLeft(s, " \t\r\n"), "\n"), "\n")
	for i, l := range lines {
		lines[i] = clean(l)
	}
	if s = strings.Join(lines, "\n"); s == "" {
		return s
	}
	return s + "\n"
}

// withoutDigests returns what set-desired-state reads, which knows no digests.
func withoutDigests(s james.State) james.State {
	apps := make([]james.App, len(s.Apps))
	for i, a := range s.Apps {
		apps[i] = james.App{Name: a.Name, Tags: a.Tags}
	}
	s.Apps = apps
	return s
}
