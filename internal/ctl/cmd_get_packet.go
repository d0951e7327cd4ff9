package ctl

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/trusch/jamesd/pkg/client"
	"github.com/trusch/jamesd/pkg/james"
)

type getPacketOptions struct {
	packetRef
	manifest bool
	file     string
}

func (p *program) getPacketCommand() *cobra.Command {
	var o getPacketOptions
	cmd := &cobra.Command{
		Use:   "get-packet NAME",
		Short: "Show a packet, list its files or download it",
		Long: `Show what is known of a packet. With --manifest, list the files in it; with
--output-file, download its archive, byte by byte as it was uploaded.
` + packetRefHelp,
		Example: `  jamesd-ctl get-packet openvpn --tags v1.0.0,armv7l --manifest
  jamesd-ctl get-packet 5f2a90 --output-file openvpn.tar.xz`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.manifest && o.file != "" {
				return usagef(cmd, "--manifest and --output-file do not go together")
			}
			return p.getPacket(cmd.Context(), o)
		},
	}
	o.flags(p, cmd)
	cmd.Flags().BoolVar(&o.manifest, "manifest", false, "list the packet's files")
	cmd.Flags().StringVar(&o.file, "output-file", "", "write the packet's archive to `FILE`, - for the standard output")
	p.printsFormats(cmd)
	return cmd
}

func (p *program) getPacket(ctx context.Context, o getPacketOptions) error {
	const op = "get packet"
	c, err := p.connect(retries)
	if err != nil {
		return cannot(op, o.String(), err)
	}
	defer c.Close()
	k, err := o.find(ctx, c)
	switch {
	case err != nil:
	case o.manifest:
		err = p.listManifest(ctx, c, k)
	case o.file != "":
		err = p.writeFile(o.file, func(w io.Writer) error { return p.download(ctx, c, k, w) })
	default:
		err = p.print(k, func(w io.Writer) { writePacket(w, k) })
	}
	return cannot(op, o.String(), err)
}

func writePacket(w io.Writer, k james.Packet) {
	rows := [][]string{
		{"name:", k.Name},
		{"tags:", none(k.Tags.String())},
		{"digest:", k.Digest.String()},
		{"files:", fmt.Sprintf("%d entries, %s", k.Entries, size(k.Size))},
		{"scripts:", none(scriptList(k.Scripts))},
	}
	if slices.Contains(k.Scripts, james.HealthCheck) {
		rows = append(rows, []string{"health check:", healthText(k.Health)})
	}
	if len(k.Replaces) > 0 {
		rows = append(rows, []string{"replaces:", strings.Join(k.Replaces, ", ")})
	}
	table(w, "", append(rows,
		[]string{"archive:", fmt.Sprintf("%s, %s", k.Archive.Format, size(k.Archive.Size))},
		[]string{"archive digest:", k.Archive.Digest.String()},
		[]string{"added:", addedBy(k)})...)
}

func scriptList(names []james.ScriptName) string {
	out := ""
	for _, n := range names {
		if out != "" {
			out += ", "
		}
		out += string(n)
	}
	return out
}

func addedBy(k james.Packet) string {
	if k.AddedBy == "" {
		return stamp(k.Added)
	}
	return stamp(k.Added) + " by " + k.AddedBy
}

func (p *program) listManifest(ctx context.Context, c *client.Client, k james.Packet) error {
	m, err := c.Manifest(ctx, k.Digest)
	if err != nil {
		return err
	}
	return p.print(m, func(w io.Writer) {
		rows := [][]string{{"TYPE", "MODE", "OWNER", "SIZE", "PATH"}}
		for _, e := range m.Entries {
			rows = append(rows, entryRow(e))
		}
		table(w, "", rows...)
	})
}

func entryRow(e james.Entry) []string {
	mode := fmt.Sprintf("%04o", uint32(e.Mode))
	owner := orNumber(e.User, e.UID) + ":" + orNumber(e.Group, e.GID)
	bytes, path := "-", e.Path.String()
	switch e.Type {
	case james.TypeFile:
		bytes = fmt.Sprint(e.Size)
	case james.TypeSymlink:
		mode, path = "-", path+" -> "+e.Target.String()
	case james.TypeHardlink:
		mode, owner, path = "-", "-", path+" = "+e.Link.String()
	case james.TypeChar, james.TypeBlock:
		path += fmt.Sprintf(" (%d,%d)", e.Major, e.Minor)
	}
	return []string{string(e.Type), mode, owner, bytes, path}
}

func orNumber(name string, number uint32) string {
	if name == "" {
		return fmt.Sprint(number)
	}
	return name
}
