package ctl

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/trusch/jamesd/pkg/client"
)

func (p *program) deleteDeviceCommand() *cobra.Command {
	var id string
	cmd := &cobra.Command{
		Use:   "delete-device ID",
		Short: "Forget a device",
		Long: `Delete what jamesd knows of a device: what it reported, and its desired state. The
device itself is not changed. One that still polls is listed again; its
certificate stays valid.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return p.deleteDevice(cmd.Context(), id) },
	}
	p.named(cmd, &id, "id", "the device's `ID`", true, p.deviceIDs)
	return cmd
}

func (p *program) deleteDevice(ctx context.Context, id string) error {
	err := tell(ctx, p, "delete device", id, func(ctx context.Context, c *client.Client) error {
		return c.DeleteDevice(ctx, id)
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(p.out, "%s is deleted\n", id)
	return nil
}
