// Package device is the program jamesc: it reads the settings, puts the parts of
// the device side together and turns what becomes of them into an exit code.
// What a device does stands in the packages below this one.
package device

import (
	"context"
	"errors"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/trusch/jamesd/internal/config"
	"github.com/trusch/jamesd/internal/device/agent"
	"github.com/trusch/jamesd/internal/version"
)

const programName = "jamesc"

// The exit codes.
const (
	exitDone   = 0
	exitFailed = 1
	exitUndone = 3
)

// Main runs jamesc and returns its exit code. SIGTERM and SIGINT end it in
// order; a second one of them at once.
func Main(p config.Process) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	context.AfterFunc(ctx, stop)
	return execute(ctx, p)
}

func execute(ctx context.Context, p config.Process) int {
	root := newRootCommand(p)
	root.SetArgs(p.Args)
	root.SetIn(p.In)
	root.SetOut(p.Out)
	root.SetErr(p.Err)
	if err := root.ExecuteContext(ctx); err != nil {
		p.Complain(programName, err)
		return exitCode(err)
	}
	return exitDone
}

func exitCode(err error) int {
	var failed *agent.PlanError
	if errors.As(err, &failed) && failed.Undone() {
		return exitUndone
	}
	return exitFailed
}

func newVersionCommand(p config.Process) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the commit and the Go version that jamesc was built from",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			version.Print(p.Out, programName)
			return nil
		},
	}
}
