package ctl

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/trusch/jamesd/pkg/client"
	"github.com/trusch/jamesd/pkg/james"
)

// packetRef is how a user names one packet.
type packetRef struct {
	name   string // or the beginning of the digest
	tags   string
	digest string
	exact  bool // tags are given, if only as none
}

const packetRefHelp = `
A packet is named by its name and all its tags, by its name alone if it is the only
one of that name, or by its digest or enough of the digest's beginning.`

// flags gives cmd the flags that name a packet, besides its argument.
func (r *packetRef) flags(p *program, cmd *cobra.Command) {
	p.named(cmd, &r.name, "name", "the packet's `NAME`", false, p.packetNames)
	args := cmd.Args
	cmd.Flags().StringVar(&r.tags, "tags", "", "the packet's `TAGS`, separated by commas")
	cmd.Flags().StringVar(&r.digest, "digest", "", "the packet's `DIGEST` or the beginning of it")
	p.complete(cmd, "tags", p.tagSets)
	p.complete(cmd, "digest", cobra.NoFileCompletions)
	cmd.Args = func(c *cobra.Command, a []string) error {
		if err := args(c, a); err != nil {
			return err
		}
		r.exact = c.Flags().Changed("tags")
		switch {
		case r.name == "" && r.digest == "":
			return usagef(c, "the packet is missing").WithHint("Give it as in: %s NAME --tags TAGS", c.CommandPath())
		case r.digest != "" && (r.name != "" || r.exact):
			return usagef(c, "a packet is named by --digest or by its name and tags, not by both")
		}
		return nil
	}
}

// String names the packet as the user did.
func (r *packetRef) String() string {
	return strings.TrimSpace(r.name + r.digest + " " + r.tags)
}

// find returns the packet. It fails with KindNotFound, or with KindInvalid where
// it could be several.
func (r *packetRef) find(ctx context.Context, c *client.Client) (james.Packet, error) {
	if r.digest != "" {
		return findDigest(ctx, c, r.digest)
	}
	tags, err := james.ParseTags(r.tags)
	if err != nil {
		return james.Packet{}, err
	}
	if err := james.CheckName(r.name); err != nil {
		return james.Packet{}, err
	}
	all, err := c.Packets(ctx, r.name)
	if err != nil {
		return james.Packet{}, err
	}
	fits := all
	if r.exact {
		fits = slices.DeleteFunc(slices.Clone(all), func(k james.Packet) bool { return !k.Tags.Equal(tags) })
	}
	switch {
	case len(fits) == 1:
		return fits[0], nil
	case len(fits) > 1:
		return james.Packet{}, severalPackets(fits)
	case len(all) == 0 && !r.exact && isDigestPrefix(r.name):
		return findDigest(ctx, c, r.name)
	case len(all) == 0:
		return james.Packet{}, james.Errorf(james.KindNotFound, "", "there is no packet %s", r.name).
			WithHint("\"jamesd-ctl list-packets\" lists the packets.")
	}
	return james.Packet{}, james.Errorf(james.KindNotFound, "", "there is no packet %s with exactly the tags %s", r.name, none(tags.String())).
		WithHint("There is: %s.", tagLists(all))
}

func findDigest(ctx context.Context, c *client.Client, prefix string) (james.Packet, error) {
	if d, err := james.ParseDigest(prefix); err == nil && !d.IsZero() {
		return c.Packet(ctx, d)
	}
	if !isDigestPrefix(prefix) {
		return james.Packet{}, james.Errorf(james.KindInvalid, "", "%.80q is not 4 or more digits of a digest (0-9, a-f)", prefix)
	}
	all, err := c.Packets(ctx, "")
	if err != nil {
		return james.Packet{}, err
	}
	fits := slices.DeleteFunc(all, func(k james.Packet) bool { return !strings.HasPrefix(k.Digest.String(), prefix) })
	switch len(fits) {
	case 1:
		return fits[0], nil
	case 0:
		return james.Packet{}, james.Errorf(james.KindNotFound, "", "there is no packet of that name, or whose digest begins with it").
			WithHint("\"jamesd-ctl list-packets\" lists the packets.")
	}
	return james.Packet{}, severalPackets(fits)
}

// isDigestPrefix reports whether s has at least 4 digits of a digest.
func isDigestPrefix(s string) bool {
	return len(s) >= 4 && len(s) <= 64 && strings.Trim(s, "0123456789abcdef") == ""
}

func severalPackets(fits []james.Packet) error {
	return james.Errorf(james.KindInvalid, "", "there are %d such packets", len(fits)).
		WithHint("Name one with --tags or --digest: %s.", tagLists(fits))
}

// tagLists names the first few packets by their tags.
func tagLists(packets []james.Packet) string {
	const most = 10
	var out []string
	for _, k := range packets[:min(most, len(packets))] {
		out = append(out, fmt.Sprintf("%s (%s)", none(k.Tags.String()), k.Digest.Short()))
	}
	if len(packets) > most {
		out = append(out, fmt.Sprintf("and %d more", len(packets)-most))
	}
	return strings.Join(out, "; ")
}
