package ctl

import (
	"context"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/trusch/jamesd/pkg/client"
	"github.com/trusch/jamesd/pkg/james"
)

type topOptions struct {
	interval time.Duration
	once     bool
}

func (p *program) topCommand() *cobra.Command {
	var o topOptions
	cmd := &cobra.Command{
		Use:   "top",
		Short: "Show the fleet at a glance, and keep it up to date",
		Long: `Show the fleet at a glance, and keep it up to date until q or Ctrl-C is pressed, which
is how it ends: the exit code is 0 then.

  devices       by condition; silent ones have missed three polls, damaged ones
                have files that are not as their packets have them
  polls         that this jamesd holds now, and answers a second
  transactions  devices by how their last one ended, within the last hour
  TROUBLE       devices that somebody should look at, the worst first
  WORKING       devices that are at their plans, with how far they are
  ROLLOUTS      packets that devices are still to get: how many have them, how many
                have not, and how many of those have tried in vain
  EVENTS        what happened, the newest last

What does not go to a terminal is printed once, and so is -o yaml or json.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.interval < minInterval {
				return usagef(cmd, "--interval must be at least %s", minInterval)
			}
			return p.top(cmd.Context(), o)
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	cmd.Flags().DurationVar(&o.interval, "interval", 2*time.Second, "time between two looks")
	cmd.Flags().BoolVar(&o.once, "once", false, "print it once")
	p.printsFormats(cmd)
	return cmd
}

// minInterval is how often jamesd has something new to say.
const minInterval = 500 * time.Millisecond

func (p *program) top(ctx context.Context, o topOptions) error {
	const op = "get the status of the fleet"
	c, err := p.connect(-1)
	if err != nil {
		return cannot(op, "", err)
	}
	defer c.Close()
	s, err := c.Status(ctx)
	if err != nil {
		return cannot(op, "", err)
	}
	t := &top{server: p.addr, now: p.now, status: &s}
	screen := p.screen()
	if o.once || screen == nil || p.format != formatTable {
		return p.print(s, func(w io.Writer) {
			for _, l := range t.view(p.out.columns(), 0) {
				io.WriteString(w, l.text+"\n")
			}
		})
	}
	return p.keepUp(ctx, c, o.interval, t, screen)
}

// answer is what the server said when it was asked, or that it did not.
type answer struct {
	status james.FleetStatus
	err    error
}

// keepUp draws the fleet again and again until a key or ctx ends it.
func (p *program) keepUp(ctx context.Context, c *client.Client, interval time.Duration, t *top, s *screen) error {
	ctx, cancel := context.WithCancel(ctx)
	answers, done := make(chan answer), make(chan struct{})
	go func() {
		defer close(done)
		for pause(ctx, interval, 1) {
			status, err := c.Status(ctx)
			select {
			case answers <- answer{status, err}:
			case <-ctx.Done():
			}
		}
	}()
	defer func() { cancel(); <-done }()
	restore, err := s.begin()
	if err != nil {
		return james.Cannot("use", "the terminal", err)
	}
	defer restore()
	resized := time.NewTicker(250 * time.Millisecond)
	defer resized.Stop()
	for {
		s.draw(t)
		select {
		case <-ctx.Done():
			return nil
		case key := <-s.keys:
			if quits(key) {
				return nil
			}
		case <-resized.C:
		case a := <-answers:
			if t.err = a.err; a.err == nil {
				t.status = &a.status
			}
		}
	}
}

// quits reports whether a key ends it: q, Ctrl-C, Ctrl-D.
func quits(key byte) bool { return key == 'q' || key == 'Q' || key == 3 || key == 4 }
