package ctl

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/trusch/jamesd/pkg/client"
	"github.com/trusch/jamesd/pkg/james"
)

func (p *program) getDeviceCommand() *cobra.Command {
	var id string
	cmd := &cobra.Command{
		Use:   "get-device ID",
		Short: "Print all that is known of a device",
		Long: `Print all that is known of a device: whether it is in sync and why not, what it
has installed, which of its files are not as their packets have them, and how its
last transaction ended, with the end of what a failed script printed.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return p.getDevice(cmd.Context(), id) },
	}
	p.named(cmd, &id, "id", "the device's `ID`", true, p.deviceIDs)
	p.printsFormats(cmd)
	return cmd
}

func (p *program) getDevice(ctx context.Context, id string) error {
	d, err := ask(p, "get device", id, func(c *client.Client) (james.DeviceStatus, error) { return c.Device(ctx, id) })
	if err != nil {
		return err
	}
	return p.print(d, func(w io.Writer) { p.writeDevice(w, d) })
}

func (p *program) writeDevice(w io.Writer, d james.DeviceStatus) {
	rows := [][]string{
		{"id:", d.ID},
		{"in sync:", yesNo(d.InSync)},
	}
	if d.Reason != "" {
		rows = append(rows, []string{"reason:", d.Reason})
	}
	rows = append(rows,
		[]string{"last seen:", p.since(d.LastSeen)},
		[]string{"first seen:", p.since(d.FirstSeen)},
		[]string{"agent:", none(d.Agent)},
		[]string{"revision:", revisions(d) + " (applied/desired)"},
		[]string{"system tags:", none(d.SystemTags.String())})
	tableWithin(w, p.out.columns(), "", rows...)
	writeApps(w, d.Apps)
	writeProblems(w, d.Problems)
	writeDrift(w, d.Drift)
	if d.Report != nil {
		p.writeReport(w, d.Report)
	}
}

func writeApps(w io.Writer, apps []james.App) {
	if len(apps) == 0 {
		fmt.Fprintln(w, "apps: none")
		return
	}
	fmt.Fprintln(w, "apps:")
	rows := [][]string{{"NAME", "TAGS", "DIGEST"}}
	for _, a := range apps {
		rows = append(rows, []string{a.Name, none(a.Tags.String()), none(a.Digest.Short())})
	}
	table(w, "  ", rows...)
}

func writeProblems(w io.Writer, problems []james.Problem) {
	if len(problems) == 0 {
		return
	}
	fmt.Fprintln(w, "problems:")
	for _, pr := range problems {
		fmt.Fprintf(w, "  %s: %s: %s\n", clean(pr.App.String()), clean(string(pr.Kind)), clean(pr.Detail))
	}
}

func writeDrift(w io.Writer, d *james.Drift) {
	if d == nil {
		return
	}
	fmt.Fprintln(w, "files that are not as their packets have them:")
	rows := [][]string{{"APP", "PATH", "WHAT", "MEANING"}}
	for _, c := range d.Changes {
		rows = append(rows, []string{c.App, c.Path.String(), string(c.Kind), c.Kind.Meaning()})
	}
	table(w, "  ", rows...)
	if more := d.Count - len(d.Changes); more > 0 {
		fmt.Fprintf(w, "  and %d more; \"jamesc verify\" on the device lists all\n", more)
	}
}

func (p *program) writeReport(w io.Writer, r *james.Report) {
	fmt.Fprintln(w, "last transaction:")
	rows := [][]string{
		{"result:", string(r.Result)},
		{"summary:", r.Summary()},
		{"ended:", p.since(r.Ended) + ", took " + r.Ended.Sub(r.Started).Round(time.Millisecond).String()},
	}
	for _, row := range []struct{ name, value string }{
		{"app:", r.App}, {"script:", string(r.Script)},
	} {
		if row.value != "" {
			rows = append(rows, []string{row.name, row.value})
		}
	}
	if r.Attempts > 1 {
		rows = append(rows, []string{"attempts:", fmt.Sprint(r.Attempts)})
	}
	if !r.RetryAt.IsZero() {
		rows = append(rows, []string{"next attempt:", stamp(r.RetryAt)})
	}
	tableWithin(w, p.out.columns(), "  ", rows...)
	if r.Output == "" {
		return
	}
	fmt.Fprintln(w, "  output:")
	for line := range strings.SplitSeq(strings.TrimRight(r.Output, "\n"), "\n") {
		fmt.Fprintln(w, strings.TrimRight("    "+clean(line), " "))
	}
}

// since says when t was, exactly and for people.
func (p *program) since(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return stamp(t) + " (" + p.ago(t) + ")"
}
