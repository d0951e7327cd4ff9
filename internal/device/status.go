package device

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/trusch/jamesd/internal/config"
	"github.com/trusch/jamesd/internal/device/agent"
	"github.com/trusch/jamesd/pkg/james"
)

func newStatusCommand(p config.Process) *cobra.Command {
	var s settings
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Print what is installed on this device and how the last plan went",
		Long: `Print what is installed on this device and how the last plan went, as it stands
in the state directory. jamesd is not asked, and jamesc need not run.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := s.load(cmd, p); err != nil {
				return err
			}
			m, err := readMemory(s.stateDir)
			if err != nil {
				return james.Cannot("read the state directory", s.stateDir, err)
			}
			printStatus(p.Out, m)
			return nil
		},
	}
	s.define(cmd.Flags())
	cmd.Flags().VisitAll(func(f *pflag.Flag) { // the file may set all of them, here two matter
		f.Hidden = f.Name != "state-dir" && f.Name != "config"
	})
	return cmd
}

// readMemory reads what the agent remembers; one that has not done anything yet
// remembers nothing.
func readMemory(stateDir string) (agent.Memory, error) {
	raw, err := os.ReadFile(filepath.Join(stateDir, agentDir, agent.MemoryFile))
	if errors.Is(err, os.ErrNotExist) {
		return agent.Memory{}, exists(stateDir)
	}
	if err != nil {
		return agent.Memory{}, err
	}
	return agent.DecodeMemory(raw)
}

// exists fails for a directory that no agent has made.
func exists(stateDir string) error {
	_, err := os.Stat(stateDir)
	if errors.Is(err, os.ErrNotExist) {
		return james.Errorf(james.KindNotFound, stateDir, "does not exist: no jamesc has run with it").
			WithHint("name the one that it runs with by --state-dir or in the settings file")
	}
	return err
}

func printStatus(out io.Writer, m agent.Memory) {
	if m.Device != "" {
		fmt.Fprintf(out, "device: %s\n", m.Device)
	}
	fmt.Fprintf(out, "revision: %d\n", m.Revision)
	fmt.Fprintf(out, "installed: %d\n", len(m.Apps))
	for _, a := range m.Apps {
		fmt.Fprintf(out, "  %s  (%s)\n", a, a.Digest.Short())
	}
	if r := m.Last; r != nil {
		fmt.Fprintf(out, "last plan: %s, revision %d, %s\n", r.Result, r.Revision, r.Ended.Local().Format(time.RFC3339))
		if r.Error != "" {
			fmt.Fprintf(out, "  %s\n", config.Printable(r.Error))
		}
		if said := strings.TrimSpace(r.Output); said != "" {
			fmt.Fprintf(out, "  output of %s:\n%s\n", r.Script, config.Printable(said))
		}
	}
	if w := m.Waiting; w != nil {
		fmt.Fprintf(out, "next plan: revision %d is %s\n", w.Revision, w)
	}
	if f := m.Failure; f != nil {
		fmt.Fprintf(out, "next try: %s, after %d failed so far\n", f.RetryAt.Local().Format(time.RFC3339), f.Attempts)
	}
	if n := len(m.Pending); n > 0 {
		fmt.Fprintf(out, "reports that jamesd has not got yet: %d\n", n)
	}
}
