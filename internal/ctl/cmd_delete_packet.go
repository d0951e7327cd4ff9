package ctl

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/trusch/jamesd/pkg/client"
	"github.com/trusch/jamesd/pkg/james"
)

func (p *program) deletePacketCommand() *cobra.Command {
	var ref packetRef
	var force bool
	cmd := &cobra.Command{
		Use:   "delete-packet NAME",
		Short: "Delete a packet from the server",
		Long: `Delete a packet from the server. Devices that have it keep it, and can still
uninstall it. A packet that a desired state needs is deleted only with --force.
` + packetRefHelp,
		Example: "  jamesd-ctl delete-packet openvpn --tags v0.9.9,armv7l",
		RunE:    func(cmd *cobra.Command, _ []string) error { return p.deletePacket(cmd.Context(), &ref, force) },
	}
	ref.flags(p, cmd)
	cmd.Flags().BoolVar(&force, "force", false, "delete it although a desired state needs it")
	return cmd
}

func (p *program) deletePacket(ctx context.Context, ref *packetRef, force bool) error {
	k, err := ask(p, "delete packet", ref.String(), func(c *client.Client) (james.Packet, error) {
		k, err := ref.find(ctx, c)
		if err != nil {
			return k, err
		}
		return k, c.DeletePacket(ctx, k.Digest, force)
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(p.out, "packet %s is deleted (digest %s)\n", k.App(), k.Digest.Short())
	return nil
}
