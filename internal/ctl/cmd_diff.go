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

func (p *program) diffCommand() *cobra.Command {
	var name string
	var tags []string
	cmd := &cobra.Command{
		Use:   "diff NAME --tags OLD --tags NEW",
		Short: "Show what an upgrade from one packet to another changes and costs",
		Long: `Show what an upgrade from one packet to another changes: files, modes, owners, links
and scripts; and what it costs a device that has nothing else installed: what it has
already, what comes as patches, what comes whole, and the bytes on the wire.

The packet with the first --tags is the old one. Both packets have all of the tags
that are given, and no others. Patches that are not there yet are made from then on,
so a second look may show less.`,
		Example: "  jamesd-ctl diff openvpn --tags v1.0.0,armv7l --tags v1.1.0,armv7l",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if len(tags) != 2 {
				return usagef(cmd, "--tags is given %d times, and is needed twice", len(tags)).
					WithHint("The tags of the old packet come first: %s NAME --tags OLD --tags NEW", cmd.CommandPath())
			}
			return p.diff(cmd.Context(), name, tags[0], tags[1])
		},
	}
	p.named(cmd, &name, "name", "the packets' `NAME`", true, p.packetNames)
	cmd.Flags().StringArrayVar(&tags, "tags", nil, "the `TAGS` of the old packet, and then those of the new one, separated by commas")
	p.complete(cmd, "tags", p.tagSets)
	p.printsFormats(cmd)
	return cmd
}

func (p *program) diff(ctx context.Context, name, from, to string) error {
	d, err := ask(p, "compare the packets", name, func(c *client.Client) (d james.Difference, err error) {
		old, err := (&packetRef{name: name, tags: from, exact: true}).find(ctx, c)
		if err != nil {
			return d, err
		}
		new, err := (&packetRef{name: name, tags: to, exact: true}).find(ctx, c)
		if err != nil {
			return d, err
		}
		return c.Diff(ctx, old.Digest, new.Digest)
	})
	if err != nil {
		return err
	}
	d.Entries, d.Scripts = list(d.Entries), list(d.Scripts)
	return p.print(d, func(w io.Writer) { writeDifference(w, &d) })
}

func writeDifference(w io.Writer, d *james.Difference) {
	fmt.Fprintf(w, "%s: %s -> %s\n", clean(d.New.Name), clean(tagsOf(d.Old.Tags, d.Old.Digest)), clean(tagsOf(d.New.Tags, d.New.Digest)))
	if len(d.Entries)+len(d.Scripts) == 0 {
		fmt.Fprintln(w, "nothing differs")
		return
	}
	rows := [][]string{{"", "WAY", "SIZE", "PATH", "WHAT"}}
	for i := range d.Entries {
		rows = append(rows, differenceRow(&d.Entries[i]))
	}
	for _, s := range d.Scripts {
		rows = append(rows, []string{mark(s.Old > 0, s.New > 0), "-", fmt.Sprint(s.New), string(s.Script), "script"})
	}
	table(w, "", rows...)
	fmt.Fprintln(w)
	table(w, "", costRows(&d.Cost)...)
}

// mark tells what comes from what goes and what is not as it was.
func mark(old, new bool) string {
	switch {
	case !old:
		return "+"
	case !new:
		return "-"
	}
	return "~"
}

func differenceRow(d *james.EntryDifference) []string {
	bytes, what := "-", "removed"
	switch {
	case d.Old == nil:
		what = string(d.New.Type) + " added"
		if d.New.Type == james.TypeSymlink {
			what += " -> " + d.New.Target.String()
		}
	case d.New != nil:
		what = changes(d)
	}
	if d.New != nil && d.New.Type == james.TypeFile {
		bytes = fmt.Sprint(d.New.Size)
	}
	return []string{mark(d.Old != nil, d.New != nil), none(string(d.Way)), bytes, d.Path.String(), what}
}

// changes says what of an entry is not as it was.
func changes(d *james.EntryDifference) string {
	var out []string
	for _, a := range d.Changed {
		switch a {
		case james.AttributeMode:
			out = append(out, fmt.Sprintf("mode %04o -> %04o", uint32(d.Old.Mode), uint32(d.New.Mode)))
		case james.AttributeOwner:
			out = append(out, "owner "+ownerOf(d.Old)+" -> "+ownerOf(d.New))
		case james.AttributeType:
			out = append(out, fmt.Sprintf("%s -> %s", d.Old.Type, d.New.Type))
		case james.AttributeTarget:
			out = append(out, "target "+targetOf(d.Old)+" -> "+targetOf(d.New))
		case james.AttributeContent:
			if !slices.Contains(d.Changed, james.AttributeType) {
				out = append(out, fmt.Sprintf("content, %+d bytes", d.New.Size-d.Old.Size))
			}
		case james.AttributeTime: // it says nothing beside the others
		default:
			out = append(out, string(a))
		}
	}
	return strings.Join(out, "; ")
}

func ownerOf(e *james.Entry) string { return orNumber(e.User, e.UID) + ":" + orNumber(e.Group, e.GID) }

func targetOf(e *james.Entry) string {
	switch e.Type {
	case james.TypeSymlink:
		return e.Target.String()
	case james.TypeHardlink:
		return e.Link.String()
	case james.TypeChar, james.TypeBlock:
		return fmt.Sprintf("(%d,%d)", e.Major, e.Minor)
	}
	return "-"
}

func costRows(c *james.Cost) [][]string {
	about := "about "
	if c.Exact {
		about = ""
	}
	rows := [][]string{{"reused:", contentsText(c.Reused) + ", the device has them"}}
	if c.Patched.Files > 0 {
		rows = append(rows, []string{"patched:", contentsText(c.Patched)})
	}
	if c.Pending.Files > 0 {
		rows = append(rows, []string{"not patched yet:", contentsText(c.Pending) + ", whole until their patches are made"})
	}
	saved := ""
	if c.Archive > 0 {
		saved = fmt.Sprintf(", %.1f %% of the archive's %s", 100*float64(c.Wire)/float64(c.Archive), size(c.Archive))
	}
	return append(rows, []string{"whole:", contentsText(c.Whole)}, []string{"on the wire:", about + size(c.Wire) + saved})
}

func contentsText(c james.Contents) string {
	return fmt.Sprintf("%d %s, %s", c.Files, plural(c.Files, "file", "files"), size(c.Bytes))
}
