package ctl

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/trusch/jamesd/pkg/client"
	"github.com/trusch/jamesd/pkg/james"
)

func (p *program) setDesiredStateCommand() *cobra.Command {
	var file string
	var force bool
	cmd := &cobra.Command{
		Use:   "set-desired-state --file FILE",
		Short: "Set what devices should have installed",
		Long: `Set the desired state of the devices of a YAML file, in the form that get-state
prints; several states are separated by lines "---". A device has afterwards
exactly the apps of its list: others that jamesd installed are uninstalled.

The whole file is checked before anything is sent. jamesd refuses a state that
does not resolve to packets on its device, or a device that has never polled,
unless --force is given; see explain. A refused state does not keep the other
states of the file from being set.`,
		Example: `  jamesd-ctl set-desired-state --file state.yaml
  jamesd-ctl get-state device-1 | sed s/v0.9.9/v1.0.0/ | jamesd-ctl set-desired-state --file -`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if file == "" {
				return usagef(cmd, "the file with the state is missing").WithHint("Give it as in: %s", cmd.UseLine())
			}
			return p.setDesiredState(cmd.Context(), file, force)
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	cmd.Flags().StringVarP(&file, "file", "f", "", "YAML `FILE` with states, - for the standard input")
	cmd.Flags().BoolVar(&force, "force", false, "set a state that cannot be resolved now, or for a device that has never polled")
	p.printsFormats(cmd)
	return cmd
}

func (p *program) setDesiredState(ctx context.Context, file string, force bool) error {
	const op = "set the desired state"
	states, err := p.openStates(file)
	if err != nil {
		return james.Cannot(op, "", err)
	}
	c, err := p.connect(retries)
	if err != nil {
		return james.Cannot(op, "", err)
	}
	defer c.Close()
	responses := []james.SetDesiredResponse{}
	var failed []error
	for _, s := range states {
		r, err := p.setOne(ctx, c, s, force)
		if err != nil {
			failed = append(failed, err)
			if hopeless(err) {
				break
			}
			continue
		}
		responses = append(responses, r)
	}
	if p.format != formatTable {
		if err := p.print(responses, nil); err != nil {
			return err
		}
	}
	return p.summarize(op, failed, len(states)-len(responses), len(states))
}

func (p *program) setOne(ctx context.Context, c *client.Client, s james.State, force bool) (james.SetDesiredResponse, error) {
	r, err := c.SetDesired(ctx, james.SetDesiredRequest{State: s, Force: force})
	if err != nil {
		return r, cannot("set the desired state of", s.ID, err)
	}
	if p.format == formatTable {
		change := "unchanged"
		if r.Changed {
			change = "changed"
		}
		fmt.Fprintf(p.out, "%s: revision %d, %s\n", s.ID, r.Desired.Revision, change)
	}
	for _, w := range r.Warnings {
		if !strings.Contains(w, s.ID) {
			w = s.ID + ": " + w
		}
		fmt.Fprintf(p.Err, "warning: %s\n", clean(w))
	}
	return r, nil
}

// hopeless reports that the next request would fail in the same way.
func hopeless(err error) bool {
	switch james.KindOf(err) {
	case james.KindUnavailable, james.KindInterrupted, james.KindDenied, james.KindUnauthenticated, james.KindInternal:
		return true
	}
	return false
}

// summarize returns the only error, or prints all and returns one about them,
// of the kind of the last.
func (p *program) summarize(op string, failed []error, not, all int) error {
	switch {
	case len(failed) == 0:
		return nil
	case all == 1:
		return failed[0]
	}
	for _, err := range failed {
		p.complain(err)
	}
	kind := james.KindOf(failed[len(failed)-1])
	return &james.Error{Op: op, Kind: kind, Err: fmt.Errorf("%d of %d states were not set", not, all)}
}

// openStates reads a file of states, "-" being the standard input.
func (p *program) openStates(file string) ([]james.State, error) {
	if file == "-" {
		return readStates("standard input", p.In)
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, fileError(file, err)
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.IsDir() {
		return nil, james.Errorf(james.KindInvalid, file, "is a directory")
	}
	return readStates(file, f)
}
