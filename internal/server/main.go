package server

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/trusch/jamesd/internal/config"
	"github.com/trusch/jamesd/internal/logging"
	"github.com/trusch/jamesd/internal/version"
	"github.com/trusch/jamesd/pkg/james"
)

// Exit codes, as the help documents them.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
	exitDamaged = 3 // of check, backup and restore
)

// envPrefix begins the names of jamesd's variables. JAMESD_ alone is that of
// jamesd-ctl: in a shell that is set up for it, its address and certificate must
// not become the server's.
const envPrefix = "JAMESD_SERVER"

// Main runs jamesd with the given arguments and returns its exit code.
func Main(p config.Process) int {
	cmd := newCommand(p)
	cmd.SetArgs(p.Args)
	cmd.SetIn(p.In)
	cmd.SetOut(p.Out)
	cmd.SetErr(p.Err)
	err := cmd.ExecuteContext(context.Background())
	if err == nil {
		return exitOK
	}
	p.Complain("jamesd", err)
	if config.IsUsageError(err) {
		return exitUsage
	}
	if errors.As(err, new(problemsError)) {
		return exitDamaged
	}
	return exitFailure
}

const long = `jamesd keeps packets and the desired states of devices, and tells each device
what to install and what to uninstall.

Every setting may also be given in the environment, as JAMESD_SERVER_ and the
flag's name in capitals with underscores (JAMESD_SERVER_METRICS_ADDR; the names
without SERVER are those of jamesd-ctl), or in the YAML file that --config names,
with the flag's name as the key. The command line goes before the environment,
and the environment before the file.

With --cache-of it is the cache of a site instead: it serves devices there what they
would fetch from that jamesd, and nothing else.

A first SIGTERM or SIGINT lets transfers finish and saves everything; a second
one ends jamesd at once.

jamesd check looks whether what it keeps is sound; jamesd backup and jamesd restore
save it and bring it back.

Exit codes: 0 ended as it was told to, 1 failure, 2 wrong settings; those of the
commands are in their help.`

func newCommand(p config.Process) *cobra.Command {
	o := defaults()
	cmd := &cobra.Command{
		Use:           "jamesd",
		Short:         "The server of a fleet of devices",
		Long:          long,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return config.UsageError(james.Errorf(james.KindInvalid, args[0], "there is no such command").
					WithHint("jamesd --help lists the commands and flags; jamesd-ctl is what administers a fleet."))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			file, mustExist := config.File(cmd.Flags(), envPrefix, configFile, p.Getenv)
			if err := config.Load(cmd.Flags(), envPrefix, file, mustExist, p.Getenv); err != nil {
				return config.UsageError(err)
			}
			if err := o.checkSite(cmd.Flags()); err != nil {
				return config.UsageError(err)
			}
			return start(p, o)
		},
	}
	o.register(cmd.Flags())
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return config.UsageError(err) })
	cmd.AddCommand(newCheckCommand(p), newBackupCommand(p), newRestoreCommand(p), &cobra.Command{
		Use:   "version",
		Short: "Print the commit and the Go version that jamesd was built from",
		Args:  cobra.NoArgs,
		Run:   func(*cobra.Command, []string) { version.Print(p.Out, "jamesd") },
	})
	return cmd
}

// start runs jamesd until a signal ends it.
func start(p config.Process, o *options) error {
	if err := o.check(); err != nil {
		return config.UsageError(err)
	}
	log, flush, err := logging.NewBusy(p.Err, o.logLevel, o.logFormat)
	if err != nil {
		return config.UsageError(err)
	}
	defer flush()
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	defer signal.Stop(signals)
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, o, log) }()
	for range 2 {
		select {
		case err := <-ended:
			return err
		case s := <-signals:
			log.WithField("signal", s.String()).Info("stopping")
			stop()
		}
	}
	return james.Errorf(james.KindInterrupted, "", "stopped at once by a second signal")
}
