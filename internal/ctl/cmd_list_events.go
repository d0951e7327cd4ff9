package ctl

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/trusch/jamesd/pkg/client"
	"github.com/trusch/jamesd/pkg/james"
)

type listEventsOptions struct {
	after  uint64
	limit  int
	device string
	packet string
	kinds  []string
	follow bool
}

func (p *program) listEventsCommand() *cobra.Command {
	var o listEventsOptions
	cmd := &cobra.Command{
		Use:     "list-events",
		Aliases: []string{"events"},
		Short:   "List what happened to the fleet",
		Long: `List the newest events, the oldest of them first: packets that were added or deleted,
desired states that were set, and how devices ended their transactions.

With --follow, go on with new ones as they happen, until interrupted, which is how it
ends: the exit code is 0 then. A lost connection is made again, and no event is left
out or printed twice. With -o json each event is one line, with -o yaml a document.

Kinds:
` + strings.Join(wrap(strings.Join(eventKinds(), ", "), 78), "\n") + `.`,
		Example: `  jamesd-ctl events --follow
  jamesd-ctl events --device device-1 --kind report,drift
  jamesd-ctl events --follow -o json --after 1234`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.limit < 0 {
				return usagef(cmd, "--limit must not be negative")
			}
			for _, k := range o.kinds {
				if !slices.Contains(eventKinds(), k) {
					return usagef(cmd, "there is no kind of event %q", k)
				}
			}
			return p.listEvents(cmd.Context(), o)
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	cmd.Flags().Uint64Var(&o.after, "after", 0, "only events after the one of number `SEQ`")
	cmd.Flags().IntVar(&o.limit, "limit", 100, "the newest `N` events, 0 for all")
	cmd.Flags().StringVar(&o.device, "device", "", "only events of the device `ID`")
	cmd.Flags().StringVar(&o.packet, "packet", "", "only events of packets of that `NAME`")
	cmd.Flags().StringSliceVar(&o.kinds, "kind", nil, "only events of these `KINDS`, separated by commas")
	cmd.Flags().BoolVar(&o.follow, "follow", false, "go on with new events")
	p.complete(cmd, "device", p.deviceIDs)
	p.complete(cmd, "packet", p.packetNames)
	p.complete(cmd, "kind", cobra.FixedCompletions(eventKinds(), cobra.ShellCompDirectiveNoFileComp))
	p.printsFormats(cmd)
	return cmd
}

func eventKinds() []string {
	var kinds []string
	for _, k := range james.EventKinds() {
		kinds = append(kinds, string(k))
	}
	return kinds
}

// wants reports whether an event is to be printed.
func (o *listEventsOptions) wants(e *james.Event) bool {
	name, _, _ := strings.Cut(e.Packet, " ")
	return (o.device == "" || e.Device == o.device) && (o.packet == "" || name == o.packet) &&
		(len(o.kinds) == 0 || slices.Contains(o.kinds, string(e.Kind)))
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
	if err := p.printNew(events, true); err != nil {
		return err
	}
	return cannot(op, "", p.followEvents(ctx, c, o, last))
}

// eventsAfter returns the newest events that o asks for, and the number of the
// last that there is.
func eventsAfter(ctx context.Context, c *client.Client, o listEventsOptions) (events []james.Event, last uint64, err error) {
	last = o.after
	for {
		got, err := c.Events(ctx, last, eventsPage, 0)
		if err != nil || len(got) == 0 {
			return events, last, err
		}
		last = got[len(got)-1].Seq
		events = append(events, o.of(got)...)
		if o.limit > 0 && len(events) > o.limit {
			events = events[len(events)-o.limit:]
		}
	}
}

const (
	// eventsPage is how many events are asked for at once.
	eventsPage = 1000
	// eventsWait is how long the server holds a request for new events: something in
	// between may end a connection that is silent for longer.
	eventsWait = time.Minute
)

// of returns those of some events that are to be printed.
func (o *listEventsOptions) of(events []james.Event) []james.Event {
	return slices.DeleteFunc(events, func(e james.Event) bool { return !o.wants(&e) })
}

// followEvents prints the events after the one of number last as they come, until ctx
// is done, which is how it ends. While the server does not answer it goes on trying.
func (p *program) followEvents(ctx context.Context, c *client.Client, o listEventsOptions, last uint64) error {
	for tries := 0; p.out.err() == nil; {
		got, err := c.Events(ctx, last, eventsPage, eventsWait)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && !james.KindOf(err).Retryable():
			return err
		case err != nil:
			if tries++; tries == 1 {
				fmt.Fprintf(p.Err, "jamesd-ctl: waiting for the server: %s\n", clean(err.Error()))
			}
			if !pause(ctx, p.pauseUnit, min(tries, maxFollowPause)) {
				return nil
			}
			continue
		case len(got) > 0:
			last = got[len(got)-1].Seq
		}
		tries = 0
		if err := p.printNew(o.of(got), false); err != nil {
			return err
		}
	}
	return nil
}

// maxFollowPause bounds the pauses between tries to reach the server again, in units.
const maxFollowPause = 5

// printNew prints events as they come: rows, or one line or document each.
func (p *program) printNew(events []james.Event, first bool) error {
	if p.format == formatTable {
		return p.print(events, func(w io.Writer) { writeEvents(w, events, first) })
	}
	for _, e := range events {
		if p.format == formatJSON {
			if err := printLine(p.out, e); err != nil {
				return err
			}
			continue
		}
		fmt.Fprintln(p.out, "---")
		if err := p.print(e, nil); err != nil {
			return err
		}
	}
	return nil
}

// printLine writes v as one line of JSON.
func printLine(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
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
