package device

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/trusch/jamesd/internal/config"
	"github.com/trusch/jamesd/internal/device/agent"
	"github.com/trusch/jamesd/internal/device/disk"
	"github.com/trusch/jamesd/internal/device/txn"
	"github.com/trusch/jamesd/pkg/james"
)

const aboutCheck = `Look through the state directory and change nothing: both copies of the inventory,
the manifests of what is installed, the journal and what it is in the middle of,
work areas that were left behind, downloads, what the agent remembers, and who may
write there. Each problem is a line that says what it means and what to do. jamesd
is not asked, and jamesc may run meanwhile: a transaction that is under way is no
problem. jamesc verify looks at the installed files themselves.

The exit code is 0 when all is well and 1 when something is not, or cannot be read.`

func newCheckCommand(p config.Process) *cobra.Command {
	var s settings
	cmd := &cobra.Command{
		Use:     "check",
		Short:   "Look whether the state directory is sound",
		Long:    aboutCheck,
		Example: "  jamesc check",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := s.load(cmd, p); err != nil {
				return err
			}
			return check(p, &s)
		},
	}
	s.define(cmd.Flags())
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		f.Hidden = !slices.Contains([]string{"install-root", "state-dir", "config"}, f.Name)
	})
	return cmd
}

func check(p config.Process, s *settings) error {
	installed, remembered, err := lookThrough(s)
	if err != nil {
		return james.Cannot("check", s.stateDir, err)
	}
	faults := append(installed.Faults, agentFaults(filepath.Join(s.stateDir, agentDir), remembered)...)
	for _, f := range faults {
		fmt.Fprintf(p.Out, "%s: %s; %s\n", f.Path, config.Printable(f.What), f.Do)
	}
	if installed.Busy {
		fmt.Fprintln(p.Out, "a transaction is under way; what it works with was not looked at")
	}
	if n := len(faults); n > 0 {
		return james.Errorf(james.KindCorrupt, "", "%s", count(n, "problem", "problems")+" in the state directory")
	}
	fmt.Fprintf(p.Out, "all is well: %s installed, %s, %s waiting for jamesd\n", count(installed.Apps, "app", "apps"),
		count(remembered.Contents, "fetched file", "fetched files"), count(remembered.Pending, "report", "reports"))
	return nil
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// lookThrough has both parts of the state directory checked.
func lookThrough(s *settings) (*txn.Checkup, *agent.Checkup, error) {
	if err := exists(s.stateDir); err != nil {
		return nil, nil, err
	}
	if _, err := os.Stat(s.installRoot); err != nil { // opening it would make it
		return nil, nil, james.Errorf(james.KindNotFound, s.installRoot, "is the install root and is not there: %w", err).
			WithHint("mount it, or name the one that jamesc runs with by --install-root or in the settings file")
	}
	root, err := disk.Open(s.installRoot, disk.Options{})
	if err != nil {
		return nil, nil, err
	}
	defer root.Close()
	state, err := root.At(s.stateDir)
	if err != nil {
		return nil, nil, err
	}
	defer state.Close()
	installed, err := txn.Check(root, state)
	if err != nil {
		return nil, nil, err
	}
	own := filepath.Join(s.stateDir, agentDir)
	if _, err := os.Stat(own); err != nil {
		return installed, &agent.Checkup{}, nil // no agent has run yet
	}
	d, err := root.At(own)
	if err != nil {
		return nil, nil, err
	}
	defer d.Close()
	remembered, err := agent.Check(d)
	return installed, remembered, err
}

// agentFaults says what is wrong in the agent's own directory. Nothing there is
// needed to install or remove anything.
func agentFaults(dir string, c *agent.Checkup) []txn.Fault {
	var faults []txn.Fault
	if c.Memory != nil {
		faults = append(faults, txn.Fault{Path: filepath.Join(dir, agent.MemoryFile),
			What: "is damaged: reports that jamesd has not got are lost, and a failed plan is tried again at once",
			Do:   "start jamesc, which writes it again"})
	}
	return faults
}
