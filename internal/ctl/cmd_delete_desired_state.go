package ctl

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/trusch/jamesd/pkg/client"
)

func (p *program) deleteDesiredStateCommand() *cobra.Command {
	var id string
	cmd := &cobra.Command{
		Use:   "delete-desired-state ID",
		Short: "Leave a device alone from now on",
		Long: `Delete the desired state of a device. The device keeps what it has, and nothing
is changed on it until a desired state is set again. To uninstall everything, set
a desired state with an empty list of apps instead.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return p.deleteDesiredState(cmd.Context(), id) },
	}
	p.named(cmd, &id, "id", "the device's `ID`", true, p.deviceIDs)
	return cmd
}

func (p *program) deleteDesiredState(ctx context.Context, id string) error {
	err := tell(ctx, p, "delete the desired state of", id, func(ctx context.Context, c *client.Client) error {
		return c.DeleteDesired(ctx, id)
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(p.out, "%s has no desired state and is left alone\n", id)
	return nil
}
