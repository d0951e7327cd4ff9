package ctl

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/trusch/jamesd/pkg/client"
	"github.com/trusch/jamesd/pkg/james"
)

type getDesiredOptions struct {
	id       string
	revision uint64
	history  bool
}

func (p *program) getDesiredStateCommand() *cobra.Command {
	var o getDesiredOptions
	cmd := &cobra.Command{
		Use:   "get-desired-state ID",
		Short: "Print what a device should have installed",
		Long: fmt.Sprintf(`Print the desired state of a device in the form that set-desired-state reads.
With -o yaml or json, print all that jamesd knows of it, with the states before
it: the last %d are kept. An earlier one, printed with --revision, can be set
again.`, james.MaxHistory),
		Example: `  jamesd-ctl get-desired-state device-1 --history
  jamesd-ctl get-desired-state device-1 --revision 3 | jamesd-ctl set-desired-state --file -`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.history && o.revision > 0 {
				return usagef(cmd, "--history and --revision do not go together")
			}
			return p.getDesiredState(cmd.Context(), o)
		},
	}
	p.named(cmd, &o.id, "id", "the device's `ID`", true, p.deviceIDs)
	cmd.Flags().Uint64Var(&o.revision, "revision", 0, "print the state of revision `N`")
	cmd.Flags().BoolVar(&o.history, "history", false, "list all revisions that are kept")
	p.printsFormats(cmd)
	return cmd
}

func (p *program) getDesiredState(ctx context.Context, o getDesiredOptions) error {
	const op = "get the desired state of"
	d, err := ask(p, op, o.id, func(c *client.Client) (james.Desired, error) { return c.Desired(ctx, o.id) })
	if err != nil {
		return err
	}
	if o.history {
		return p.print(d, func(w io.Writer) { desiredHistory(w, d) })
	}
	if o.revision > 0 && o.revision != d.Revision {
		if d, err = revisionOf(d, o.revision); err != nil {
			return james.Cannot(op, o.id, err)
		}
	}
	if p.format != formatTable {
		return p.print(d, nil)
	}
	fmt.Fprintf(p.out, "# revision %d, set %s", d.Revision, stamp(d.SetAt))
	if d.SetBy != "" {
		fmt.Fprintf(p.out, " by %s", clean(d.SetBy))
	}
	fmt.Fprintln(p.out)
	return printDesired(p.out, d)
}

// printDesired leaves the system tags away: they are the device's business.
func printDesired(w io.Writer, d james.Desired) error {
	type app struct {
		Name string
		Tags james.TagSet
	}
	s := struct {
		ID    string
		Apps  []app
		Purge []string `yaml:",omitempty"`

		james.Schedule `yaml:",inline"`
	}{ID: d.Device, Purge: d.Purge, Schedule: d.Schedule}
	for _, a := range d.Apps {
		s.Apps = append(s.Apps, app{a.Name, a.Tags})
	}
	return encodeNode(w, s)
}

func revisionOf(d james.Desired, revision uint64) (james.Desired, error) {
	for _, former := range d.History {
		if former.Revision == revision {
			return former, nil
		}
	}
	return d, james.Errorf(james.KindNotFound, "", "there is no revision %d of it", revision).
		WithHint("\"jamesd-ctl get-desired-state %s --history\" lists those that are kept.", d.Device)
}

func desiredHistory(w io.Writer, d james.Desired) {
	rows := [][]string{{"REVISION", "SET", "BY", "APPS"}}
	for _, r := range append([]james.Desired{d}, d.History...) {
		var apps []string
		for _, a := range r.Apps {
			apps = append(apps, a.String())
		}
		what := none(strings.Join(apps, "; "))
		if len(r.Purge) > 0 {
			what += "; purge " + strings.Join(r.Purge, ", ")
		}
		if when := r.Schedule.Describe(); when != "" {
			what += "; " + when
		}
		if r.Unset {
			what = "(deleted)"
		}
		rows = append(rows, []string{fmt.Sprint(r.Revision), stamp(r.SetAt), none(r.SetBy), what})
	}
	table(w, "", rows...)
}
