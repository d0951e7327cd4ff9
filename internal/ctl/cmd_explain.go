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

func (p *program) explainCommand() *cobra.Command {
	var id, app string
	cmd := &cobra.Command{
		Use:   "explain ID",
		Short: "Show how a device's desired state resolves to packets",
		Long: `Show every packet that was considered for each app of a device's desired state, the
tags that ruled it out, which one was chosen, and what the device has to do.

A packet fits if it has the app's name and each of its tags is a tag of the app in
the desired state or a system tag of the device. Of those that fit, the one with
most of the app's tags is chosen, then the one with most tags. If two are level,
none is chosen, and the device keeps what it has.`,
		Example: "  jamesd-ctl explain device-1 --app openvpn",
		RunE:    func(cmd *cobra.Command, _ []string) error { return p.explain(cmd.Context(), id, app) },
	}
	p.named(cmd, &id, "id", "the device's `ID`", true, p.deviceIDs)
	cmd.Flags().StringVar(&app, "app", "", "only the app of that `NAME`")
	p.complete(cmd, "app", p.packetNames)
	p.printsFormats(cmd)
	return cmd
}

func (p *program) explain(ctx context.Context, id, app string) error {
	const op = "explain the desired state of"
	r, err := ask(p, op, id, func(c *client.Client) (james.PlanResponse, error) { return c.Plan(ctx, id) })
	if err != nil {
		return err
	}
	if app != "" {
		if r = only(r, app); len(r.Explanations)+len(r.Plan.Steps) == 0 {
			return james.Cannot(op, id, james.Errorf(james.KindNotFound, "", "the app %s is neither in it nor to be uninstalled", app))
		}
	}
	r.Explanations = list(r.Explanations)
	return p.print(r, func(w io.Writer) { writePlan(w, r) })
}

// only keeps what is about one app.
func only(r james.PlanResponse, app string) james.PlanResponse {
	r.Explanations = slices.DeleteFunc(r.Explanations, func(e james.Explanation) bool { return e.App.Name != app })
	r.Plan.Steps = slices.DeleteFunc(r.Plan.Steps, func(s james.Step) bool { return s.Name() != app })
	r.Plan.Problems = slices.DeleteFunc(r.Plan.Problems, func(pr james.Problem) bool { return pr.App.Name != app })
	return r
}

func writePlan(w io.Writer, r james.PlanResponse) {
	for _, e := range r.Explanations {
		writeExplanation(w, e)
	}
	fmt.Fprintf(w, "plan for revision %d:\n", r.Plan.Revision)
	if len(r.Plan.Steps) == 0 {
		fmt.Fprintln(w, "  nothing to do")
		return
	}
	var rows [][]string
	for _, s := range r.Plan.Steps {
		rows = append(rows, stepRow(&s))
	}
	table(w, "  ", rows...)
	if when := r.Plan.Schedule.Describe(); when != "" {
		fmt.Fprintf(w, "when: %s\n", when)
	}
}

func stepRow(s *james.Step) []string {
	switch s.Action() {
	case james.ActionInstall:
		return []string{"install", s.New.Name, tagsOf(s.New.Tags, s.New.Digest) + takeOver(s.New)}
	case james.ActionRemove:
		with := ""
		if s.Purge {
			with = ", purge: with its configuration files"
		}
		return []string{"uninstall", s.Old.Name, tagsOf(s.Old.Tags, s.Old.Digest) + with}
	}
	return []string{"upgrade", s.New.Name, tagsOf(s.Old.Tags, s.Old.Digest) + " -> " + tagsOf(s.New.Tags, s.New.Digest) + takeOver(s.New)}
}

// takeOver says from which packets this one may take over files.
func takeOver(k *james.Packet) string {
	if len(k.Replaces) == 0 {
		return ""
	}
	return ", takes over the files that it shares with " + strings.Join(k.Replaces, ", ")
}

func tagsOf(tags james.TagSet, d james.Digest) string {
	return none(tags.String()) + " (" + d.Short() + ")"
}

func writeExplanation(w io.Writer, e james.Explanation) {
	fmt.Fprintf(w, "%s:\n", clean(e.App.String()))
	if e.Problem != nil {
		fmt.Fprintf(w, "  %s: %s\n", clean(string(e.Problem.Kind)), clean(e.Problem.Detail))
	}
	if len(e.Candidates) == 0 {
		fmt.Fprintf(w, "  there is no packet %s\n", clean(e.App.Name))
		return
	}
	rows := [][]string{{"DIGEST", "TAGS", "VERDICT"}}
	for _, c := range e.Candidates {
		rows = append(rows, []string{c.Packet.Digest.Short(), none(c.Packet.Tags.String()), verdict(c, e.App)})
	}
	table(w, "  ", rows...)
}

func verdict(c james.Candidate, app james.App) string {
	if !c.Missing.IsZero() {
		return "ruled out by " + c.Missing.String()
	}
	fits := fmt.Sprintf("fits, with %d of the app's %d %s and %d in all",
		c.AppTags, app.Tags.Len(), plural(app.Tags.Len(), "tag", "tags"), c.Packet.Tags.Len())
	if c.Chosen {
		return "chosen: " + fits
	}
	return fits
}
