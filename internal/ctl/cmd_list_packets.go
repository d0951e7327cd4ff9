package ctl

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"github.com/trusch/jamesd/pkg/client"
	"github.com/trusch/jamesd/pkg/james"
)

func (p *program) listPacketsCommand() *cobra.Command {
	var name string
	cmd := &cobra.Command{
		Use:   "list-packets [NAME]",
		Short: "List the packets, or those of one name",
		Long: `List the packets, or those of one name. DIGEST is the beginning of the packet's
digest, which other commands take for it. SIZE is that of the files in it.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return p.listPackets(cmd.Context(), name) },
	}
	p.named(cmd, &name, "name", "only packets of that `NAME`", false, p.packetNames)
	p.printsFormats(cmd)
	return cmd
}

func (p *program) listPackets(ctx context.Context, name string) error {
	const op = "list packets"
	if name != "" {
		if err := james.CheckName(name); err != nil {
			return james.Cannot(op, "", err)
		}
	}
	packets, err := ask(p, op, "", func(c *client.Client) ([]james.Packet, error) { return c.Packets(ctx, name) })
	if err != nil {
		return err
	}
	return p.print(list(packets), func(w io.Writer) { writePackets(w, "", packets) })
}

func writePackets(w io.Writer, indent string, packets []james.Packet) {
	rows := [][]string{{"NAME", "TAGS", "DIGEST", "SIZE", "ADDED"}}
	for _, k := range packets {
		rows = append(rows, []string{k.Name, none(k.Tags.String()), k.Digest.Short(), size(k.Size), stamp(k.Added)})
	}
	table(w, indent, rows...)
}
