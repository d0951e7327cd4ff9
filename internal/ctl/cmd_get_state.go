package ctl

import (
	"context"

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
the format, or JSON with -o json; either can be edited and given to
set-desired-state.`,
		Example: "  jamesd-ctl get-state device-1 > state.yaml",
		RunE:    func(cmd *cobra.Command, _ []string) error { return p.getState(cmd.Context(), id) },
	}
	p.named(cmd, &id, "id", "the device's `ID`", true, p.deviceIDs)
	p.printsFormats(cmd)
	return cmd
}

func (p *program) getState(ctx context.Context, id string) error {
	s, err := ask(p, "get the state of", id, func(c *client.Client) (james.State, error) { return c.State(ctx, id) })
	if err != nil {
		return err
	}
	return p.printState(s)
}

// printState prints what set-desired-state reads, which knows no digests.
func (p *program) printState(s james.State) error {
	apps := make([]james.App, len(s.Apps))
	for i, a := range s.Apps {
		apps[i] = james.App{Name: a.Name, Tags: a.Tags}
	}
	s.Apps = apps
	if p.format == formatJSON {
		return printJSON(p.out, s)
	}
	return printState(p.out, s)
}
