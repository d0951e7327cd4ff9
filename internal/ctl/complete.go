package ctl

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/trusch/jamesd/pkg/client"
	"github.com/trusch/jamesd/pkg/james"
)

// completeTimeout bounds what a user waits for after the tab key.
const completeTimeout = 1500 * time.Millisecond

// suggest asks the server for what a word may be. Where that fails there is
// nothing to suggest; the user finds out when running the command.
func (p *program) suggest(cmd *cobra.Command, call func(context.Context, *client.Client) ([]string, error)) []string {
	ctx, cancel := context.WithTimeout(cmd.Context(), completeTimeout)
	defer cancel()
	c, err := p.connect(-1)
	if err != nil {
		return nil
	}
	defer c.Close()
	words, err := call(ctx, c)
	if err != nil {
		return nil
	}
	slices.Sort(words)
	return slices.Compact(words)
}

func withPrefix(words []string, prefix string) []string {
	return slices.DeleteFunc(words, func(w string) bool { return !strings.HasPrefix(w, prefix) })
}

func (p *program) deviceIDs(cmd *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
	ids := p.suggest(cmd, func(ctx context.Context, c *client.Client) (ids []string, err error) {
		devices, err := c.Devices(ctx)
		for _, d := range devices {
			ids = append(ids, d.ID)
		}
		return ids, err
	})
	return withPrefix(ids, prefix), cobra.ShellCompDirectiveNoFileComp
}

func (p *program) packetNames(cmd *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
	names := p.suggest(cmd, func(ctx context.Context, c *client.Client) (names []string, err error) {
		packets, err := c.Packets(ctx, "")
		for _, k := range packets {
			names = append(names, k.Name)
		}
		return names, err
	})
	return withPrefix(names, prefix), cobra.ShellCompDirectiveNoFileComp
}

// tagSets completes the tags of a packet that is there.
func (p *program) tagSets(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	name, _ := cmd.Flags().GetString("name")
	if len(args) > 0 {
		name = args[0]
	}
	sets := p.suggest(cmd, func(ctx context.Context, c *client.Client) (sets []string, err error) {
		packets, err := c.Packets(ctx, name)
		for _, k := range packets {
			sets = append(sets, k.Tags.String())
		}
		return sets, err
	})
	return withPrefix(sets, prefix), cobra.ShellCompDirectiveNoFileComp
}

// tags completes the last tag of a list with those of packets and devices.
func (p *program) tags(cmd *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
	all := p.suggest(cmd, func(ctx context.Context, c *client.Client) (tags []string, err error) {
		packets, err := c.Packets(ctx, "")
		if err != nil {
			return nil, err
		}
		for _, k := range packets {
			tags = append(tags, k.Tags.Strings()...)
		}
		devices, err := c.Devices(ctx)
		for _, d := range devices {
			tags = append(tags, d.SystemTags.Strings()...)
		}
		return tags, err
	})
	return nextOf(all, prefix)
}

// nextOf completes a list that is separated by commas with one more of all.
func nextOf(all []string, prefix string) ([]string, cobra.ShellCompDirective) {
	head := prefix[:strings.LastIndexByte(prefix, ',')+1]
	given := strings.Split(head, ",")
	all = slices.DeleteFunc(all, func(t string) bool { return slices.Contains(given, t) })
	for i := range all {
		all[i] = head + all[i]
	}
	return withPrefix(all, prefix), cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}

// packetNameList completes a list of packets' names.
func (p *program) packetNameList(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	all, _ := p.packetNames(cmd, args, "")
	return nextOf(all, prefix)
}

// nameList returns the names of a flag sorted and each once.
func nameList(flag string, names []string) ([]string, error) {
	var out []string
	for _, name := range names {
		name = strings.TrimSpace(name)
		if err := james.CheckName(name); err != nil {
			return nil, james.Errorf(james.KindInvalid, flag, "%w", err)
		}
		out = append(out, name)
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}
