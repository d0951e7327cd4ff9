package ctl

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/trusch/jamesd/pkg/client"
	"github.com/trusch/jamesd/pkg/james"
)

type setDesiredOptions struct {
	file  string
	purge []string
	force bool
}

func (p *program) setDesiredStateCommand() *cobra.Command {
	var o setDesiredOptions
	cmd := &cobra.Command{
		Use:   "set-desired-state --file FILE",
		Short: "Set what devices should have installed",
		Long: `Set the desired state of the devices of a YAML file, in the form that get-state
prints; several states are separated by lines "---". A device has afterwards
exactly the apps of its list: others that jamesd installed are uninstalled.
Configuration files that somebody edited stay on the device then, unless the
state has the app's name in its list "purge", which --purge adds to.

A state may say when it is to become true: "download: 00:00-06:00" when contents
may be fetched, "apply: Mon-Fri 02:00-04:00" when a change may begin, by the
device's clock; both are "now", "never", or such spans, separated by commas, and win
over the device's settings. "urgent: true" has contents fetched at once, also
over a metered link.

The whole file is checked before anything is sent. jamesd refuses a state that
does not resolve to packets on its device, or a device that has never polled,
unless --force is given; see explain. A refused state does not keep the other
states of the file from being set.`,
		Example: `  jamesd-ctl set-desired-state --file state.yaml
  jamesd-ctl get-state device-1 | sed s/v0.9.9/v1.0.0/ | jamesd-ctl set-desired-state --file -
  jamesd-ctl set-desired-state --file without-openvpn.yaml --purge openvpn`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.file == "" {
				return usagef(cmd, "the file with the state is missing").WithHint("Give it as in: %s", cmd.UseLine())
			}
			return p.setDesiredState(cmd.Context(), o)
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	cmd.Flags().StringVarP(&o.file, "file", "f", "", "YAML `FILE` with states, - for the standard input")
	cmd.Flags().StringSliceVar(&o.purge, "purge", nil, "`NAMES` of apps to uninstall with their configuration files")
	p.complete(cmd, "purge", p.packetNameList)
	cmd.Flags().BoolVar(&o.force, "force", false, "set a state that cannot be resolved now, or for a device that has never polled")
	p.printsFormats(cmd)
	return cmd
}

func (p *program) setDesiredState(ctx context.Context, o setDesiredOptions) error {
	const op = "set the desired state"
	states, err := p.openStates(o.file)
	if err == nil && len(o.purge) > 0 {
		err = addPurge(states, o.purge)
	}
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
		r, err := p.setOne(ctx, c, s, o.force)
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

// addPurge adds names to what the only state of a file purges.
func addPurge(states []james.State, names []string) error {
	if len(states) > 1 {
		return james.Errorf(james.KindInvalid, "--purge", "there are %d states in the file", len(states)).
			WithHint("Write \"purge: [%s]\" into those that are meant.", strings.Join(names, ", "))
	}
	names, err := nameList("--purge", names)
	if err != nil {
		return err
	}
	s := &states[0]
	s.Purge = slices.Compact(slices.Sorted(slices.Values(append(names, s.Purge...))))
	return s.Validate()
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
