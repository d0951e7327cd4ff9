// Package device is the program jamesc: it reads the settings, puts the parts of
// the device side together and turns what becomes of them into an exit code.
// What a device does stands in the packages below this one.
package device

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/signal"
	"strings"
	"syscall"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/trusch/jamesd/internal/config"
	"github.com/trusch/jamesd/internal/device/agent"
	"github.com/trusch/jamesd/internal/version"
	"github.com/trusch/jamesd/pkg/james"
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
		explain(p.Err, err)
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

// explain prints an error and what to do about it.
func explain(w io.Writer, err error) {
	fmt.Fprintf(w, "%s: %s\n", programName, printable(strings.TrimSpace(err.Error())))
	if hint := james.HintOf(err); hint != "" {
		fmt.Fprintf(w, "hint: %s\n", hint)
	}
}

// printable replaces what would command a terminal: the output of a script is
// whatever it likes.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, s)
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
