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

func (p *program) listDevicesCommand() *cobra.Command {
	var outOfSync bool
	cmd := &cobra.Command{
		Use:   "list-devices",
		Short: "List the devices and why they are not what they should be",
		Long: `List the devices that have polled or have a desired state.

  LAST SEEN  when the device polled last
  IN SYNC    whether it has what its desired state resolves to
  REVISION   of the desired state: the one it has applied / the one it should have
  AGENT      commit of its jamesc; get-device shows the whole version
  REASON     why it is not in sync`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return p.listDevices(cmd.Context(), outOfSync) },

		ValidArgsFunction: cobra.NoFileCompletions,
	}
	cmd.Flags().BoolVar(&outOfSync, "out-of-sync", false, "only devices that are not in sync")
	p.printsFormats(cmd)
	return cmd
}

func (p *program) listDevices(ctx context.Context, outOfSync bool) error {
	devices, err := ask(p, "list devices", "", func(c *client.Client) ([]james.DeviceStatus, error) { return c.Devices(ctx) })
	if err != nil {
		return err
	}
	if outOfSync {
		devices = slices.DeleteFunc(devices, func(d james.DeviceStatus) bool { return d.InSync })
	}
	slices.SortFunc(devices, func(a, b james.DeviceStatus) int { return strings.Compare(a.ID, b.ID) })
	return p.print(list(devices), func(w io.Writer) {
		rows := [][]string{{"ID", "LAST SEEN", "IN SYNC", "REVISION", "AGENT", "REASON"}}
		for _, d := range devices {
			rows = append(rows, []string{d.ID, p.ago(d.LastSeen), yesNo(d.InSync), revisions(d), none(agentCommit(d.Agent)), d.Reason})
		}
		table(w, "", rows...)
	})
}

// agentCommit returns the commit that "commit abc go1.2 linux/arm64" names: it
// is what tells one jamesc from another, and leaves room for the reason.
func agentCommit(version string) string {
	if words := strings.Fields(version); len(words) > 1 && words[0] == "commit" {
		return words[1]
	}
	return version
}

// revisions is "applied/desired".
func revisions(d james.DeviceStatus) string {
	number := func(n uint64) string {
		if n == 0 {
			return "-"
		}
		return fmt.Sprint(n)
	}
	return number(d.Revision) + "/" + number(d.Desired)
}

// list makes an empty list of none, as programs expect it.
func list[T any](items []T) []T {
	if items == nil {
		return []T{}
	}
	return items
}
