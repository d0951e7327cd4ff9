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

type listEventsOptions struct {
	after    uint64
	limit    int
	device   string
	follow   bool
	interval time.Duration
}

func (p *program) listEventsCommand() *cobra.Command {
	var o listEventsOptions
	cmd := &cobra.Command{
		Use:   "list-events",
		Short: "List what happened to the fleet",
		Long: `List the newest events, the oldest of them first: packets that were added or deleted,
desired states that were set, and how devices ended their transactions. With
--follow, go on printing new ones until interrupted.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.limit < 0 || o.interval <= 0 {
				return usagef(cmd, "--limit and --interval must not be negative")
			}
			return p.listEvents(cmd.Context(), o)
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	cmd.Flags().Uint64Var(&o.after, "after", 0, "only events after the one of number `SEQ`")
	cmd.Flags().IntVar(&o.limit, "limit", 100, "the newest `N` events, 0 for all")
	cmd.Flags().StringVar(&o.device, "device", "", "only events of the device `ID`")
	cmd.Flags().BoolVar(&o.follow, "follow", false, "go on with new events")
	cmd.Flags().DurationVar(&o.interval, "interval", 2*time.Second, "how often --follow asks for new events")
	p.complete(cmd, "device", p.deviceIDs)
	p.printsFormats(cmd)
	return cmd
}

func (p *program) listEvents(ctx context.Context, o listEventsOptions) error {
	const op = "list events"
	c, err := p.connect(retries)
	if err != nil {
		return cannot(op, "", err)
	}
	defer c.Close()
	events, last, err := eventsAfter(ctx, c, o)
	if err != nil {
		return cannot(op, "", err)
	}
	if !o.follow {
		return p.print(list(events), func(w io.Writer) { writeEvents(w, events, true) })
	}
	for first := true; ; first = false {
		if err := p.printNew(events, first); err != nil {
			return err
		}
		if p.out.err() != nil || !pause(ctx, o.interval, 1) {
			return nil // to be interrupted is how it ends
		}
		o.after, o.limit = last, 0
		if events, last, err = eventsAfter(ctx, c, o); err != nil && ctx.Err() == nil {
			return cannot(op, "", err)
		}
	}
}

// eventsAfter returns the newest events that o asks for, and the number of the
// last that there is.
func eventsAfter(ctx context.Context, c *client.Client, o listEventsOptions) (events []james.Event, last uint64, err error) {
	const page = 1000
	last = o.after
	for {
		got, err := c.Events(ctx, last, page)
		if err != nil || len(got) == 0 {
			return events, last, err
		}
		last = got[len(got)-1].Seq
		for _, e := range got {
			if o.device == "" || e.Device == o.device {
				events = append(events, e)
			}
		}
		if o.limit > 0 && len(events) > o.limit {
			events = events[len(events)-o.limit:]
		}
	}
}

// printNew prints events as they come: rows, or one document each.
func (p *program) printNew(events []james.Event, first bool) error {
	if p.format == formatTable {
		return p.print(events, func(w io.Writer) { writeEvents(w, events, first) })
	}
	for _, e := range events {
		if p.format == formatYAML {
			fmt.Fprintln(p.out, "---")
		}
		if err := p.print(e, nil); err != nil {
			return err
		}
	}
	return nil
}

func writeEvents(w io.Writer, events []james.Event, header bool) {
	var rows [][]string
	if header {
		rows = append(rows, []string{"SEQ", "TIME", "EVENT", "BY", "TEXT"})
	}
	for _, e := range events {
		rows = append(rows, []string{fmt.Sprint(e.Seq), stamp(e.Time), string(e.Kind), none(e.Actor), eventText(e)})
	}
	table(w, "", rows...)
}

// eventText is the event's sentence with the device and packet that it is
// about, unless it names them.
func eventText(e james.Event) string {
	var about []string
	for _, s := range []string{e.Device, e.Packet} {
		if s != "" && !strings.Contains(e.Text, s) {
			about = append(about, s)
		}
	}
	if len(about) == 0 {
		return e.Text
	}
	return strings.Join(about, ", ") + ": " + e.Text
}
