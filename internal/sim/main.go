package sim

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/trusch/jamesd/internal/config"
	"github.com/trusch/jamesd/internal/version"
	"github.com/trusch/jamesd/pkg/james"
)

const programName = "jamesd-sim"

// Exit codes, as the help documents them.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
)

// Main runs jamesd-sim and returns its exit code. A first SIGINT or SIGTERM ends the
// fleet and has printed what was measured; a second one ends it at once.
func Main(p config.Process) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	return execute(ctx, p)
}

func execute(ctx context.Context, p config.Process) int {
	cmd := newCommand(p)
	cmd.SetArgs(p.Args)
	cmd.SetIn(p.In)
	cmd.SetOut(p.Out)
	cmd.SetErr(p.Err)
	err := cmd.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	p.Complain(programName, err)
	if config.IsUsageError(err) {
		return exitUsage
	}
	return exitFailure
}

const long = `jamesd-sim is a fleet of devices that do on the wire what jamesc does, without
installing anything. It measures how long a jamesd takes to answer them.

It needs the key of the authority, as it makes the certificates of its devices
itself, and with --want that of an admin; nothing of that is written to a file.
Its devices stay in what the server knows: run it against a server that is there
to be measured.

A share is a number of devices or a percentage of them, such as 20 or 5%. An app is
"NAME TAG,TAG"; several are separated by semicolons.

Every setting may also be given in the environment, as JAMESD_SIM_ and the flag's name
in capitals with underscores, or in the YAML file that --config names.

Exit codes: 0 measured, 1 failure, or no device was ever answered, 2 wrong settings.`

const example = `  jamesd-sim --addr localhost:2761 --ca pki/ca.crt --ca-key pki/ca.key --devices 1000
  jamesd-sim ... --devices 10000 --boot 30s --storm-every 1m --duration 5m
  jamesd-sim ... --devices 5000 --want "openvpn v1.0.0" --change-every 1s --download archive
  jamesd-sim ... --devices 100000 --mode poll --interval 30m --keep-alive 0s
  jamesd-sim ... --devices 1000 --flood 1% --stall 1% --garbage 1% -o json`

func newCommand(p config.Process) *cobra.Command {
	s := defaults()
	cmd := &cobra.Command{
		Use:           programName,
		Short:         "Simulate a fleet of devices against a jamesd",
		Long:          long,
		Example:       example,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return config.UsageError(james.Errorf(james.KindInvalid, args[0], "there is no such command").
					WithHint("jamesd-sim --help lists the flags."))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			file, mustExist := config.File(cmd.Flags(), envPrefix, "", p.Getenv)
			if err := config.Load(cmd.Flags(), envPrefix, file, mustExist, p.Getenv); err != nil {
				return config.UsageError(err)
			}
			if err := s.check(); err != nil {
				return config.UsageError(err)
			}
			return simulate(cmd.Context(), p, s)
		},
	}
	s.register(cmd.Flags())
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return config.UsageError(wrongFlag(err)) })
	cmd.AddCommand(&cobra.Command{
		Use:   "version",
		Short: "Print the commit and the Go version that jamesd-sim was built from",
		Args:  cobra.NoArgs,
		Run:   func(*cobra.Command, []string) { version.Print(p.Out, programName) },
	})
	return cmd
}
