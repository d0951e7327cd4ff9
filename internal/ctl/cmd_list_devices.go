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
	var outOfSync, drift bool
	cmd := &cobra.Command{
		Use:   "list-devices",
		Short: "List the devices and why they are not what they should be",
		Long: `List the devices that have polled or have a desired state.

  LAST SEEN  when the device polled last
  IN SYNC    whether it has what its desired state resolves to
  DRIFT      how many files are not as their packets have them, edited
             configuration files among them; get-device lists them
  REVISION   of the desired state: the one it has applied / the one it should have
  AGENT      commit of its jamesc; get-device shows the whole version
  REASON     why it is not in sync: what failed, how far the device is with its
             plan, or what it waits for; and what is damaged`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return p.listDevices(cmd.Context(), outOfSync, drift) },

		ValidArgsFunction: cobra.NoFileCompletions,
	}
	cmd.Flags().BoolVar(&outOfSync, "out-of-sync", false, "only devices that are not in sync")
	cmd.Flags().BoolVar(&drift, "drift", false, "only devices with files that are not as their packets have them")
	p.printsFormats(cmd)
	return cmd
}

func (p *program) listDevices(ctx context.Context, outOfSync, drift bool) error {
	devices, err := ask(p, "list devices", "", func(c *client.Client) ([]james.DeviceStatus, error) { return c.Devices(ctx) })
	if err != nil {
		return err
	}
	devices = slices.DeleteFunc(devices, func(d james.DeviceStatus) bool { return outOfSync && d.InSync || drift && d.Drift == nil })
	slices.SortFunc(devices, func(a, b james.DeviceStatus) int { return strings.Compare(a.ID, b.ID) })
	return p.print(list(devices), func(w io.Writer) {
		rows := [][]string{{"ID", "LAST SEEN", "IN SYNC", "DRIFT", "REVISION", "AGENT", "REASON"}}
		for _, d := range devices {
			rows = append(rows, []string{d.ID, p.ago(d.LastSeen), yesNo(d.InSync), drifted(d.Drift), revisions(d), none(agentCommit(d.Agent)), allReasons(d)})
		}
		tableWithin(w, p.out.columns(), "", rows...)
	})
}

// drifted is the number of changed files.
func drifted(d *james.Drift) string {
	if d == nil {
		return "-"
	}
	return fmt.Sprint(d.Count)
}

// allReasons says why a device is not in sync, and what of it is damaged: one
// that is in sync need not be well.
func allReasons(d james.DeviceStatus) string {
	switch {
	case d.Drift == nil || d.Drift.Damaged == 0:
		return d.Reason
	case d.Reason == "":
		return d.Drift.String()
	}
	return d.Reason + "; " + d.Drift.String()
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
