package device

import (
	"context"
	"fmt"
	"os"
	"slices"

	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/trusch/jamesd/internal/config"
	"github.com/trusch/jamesd/internal/device/disk"
	"github.com/trusch/jamesd/internal/device/txn"
	"github.com/trusch/jamesd/internal/logging"
	"github.com/trusch/jamesd/internal/meter"
	"github.com/trusch/jamesd/pkg/james"
)

const aboutVerify = `Compare every file of the installed packets with the packets' manifests: content,
type, permissions, owner, extended attributes, links. Times do not count. What
differs is printed, one line each: app, path, what it is, and what that means.

  config    a configuration file was edited, deleted or given to others; it stays
            so, also with --repair
  missing, type, content, link, mode, owner, xattrs, manifest
            a file is damaged, which is whatever nobody but a packet may change

With --repair what is damaged is fetched from jamesd, verified, and put in its
place as one transaction without scripts: after a crash or a failure everything is
as it was before or repaired. A file that somebody changed on purpose and that is
not configuration is damaged, too. jamesd is asked for what is not on the device.

jamesc may run meanwhile: a repair waits for its transaction, and the other way
round.

The exit code is 0 when nothing but configuration differs afterwards, and 1 when
something is damaged and not repaired, or when it could not be found out.`

// visible are the flags of settings that matter to verify.
var visible = []string{"addr", "ca", "cert", "key", "install-root", "state-dir", "log-level", "config"}

func newVerifyCommand(p config.Process) *cobra.Command {
	var s settings
	var repair bool
	cmd := &cobra.Command{
		Use:     "verify",
		Short:   "Compare the installed files with their packets, and repair them",
		Long:    aboutVerify,
		Example: "  jamesc verify\n  jamesc verify --repair",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := s.load(cmd, p); err != nil {
				return err
			}
			if !cmd.Flags().Changed("log-level") {
				s.logLevel = "warn"
			}
			return verify(cmd.Context(), p, &s, repair)
		},
	}
	s.define(cmd.Flags())
	cmd.Flags().VisitAll(func(f *pflag.Flag) { f.Hidden = !slices.Contains(visible, f.Name) })
	cmd.Flags().BoolVar(&repair, "repair", false, "put what is damaged right")
	return cmd
}

// inspection is one run of verify.
type inspection struct {
	config.Process
	s         *settings
	log       logrus.FieldLogger
	root      *disk.Disk
	installer *txn.Installer
	meter     *meter.Meter
}

func verify(ctx context.Context, p config.Process, s *settings, repair bool) error {
	in, err := inspect(p, s)
	if err != nil {
		return james.Cannot("verify", "", err)
	}
	defer in.close()
	if repair {
		if err := in.installer.EndRepair(ctx); err != nil {
			return james.Cannot("repair", "", err)
		}
	}
	changes, err := in.installer.Verify(ctx, txn.Verification{Progress: in.meter.Bytes("verifying")})
	in.meter.Clear()
	if err != nil {
		return james.Cannot("verify", "", err)
	}
	in.print(changes)
	drift := james.NewDrift(changes)
	if drift == nil || drift.Damaged == 0 {
		return nil
	}
	if !repair {
		return james.Errorf(james.KindCorrupt, "", "%s", drift).WithHint("jamesc verify --repair puts right what is damaged")
	}
	return in.repair(ctx)
}

// inspect opens what is installed, beside an agent that may run.
func inspect(p config.Process, s *settings) (_ *inspection, err error) {
	in := &inspection{Process: p, s: s, meter: meter.New(p.Err)}
	defer func() {
		if err != nil {
			in.close()
		}
	}()
	if in.log, err = logging.New(p.Err, s.logLevel, s.logFormat); err != nil {
		return nil, err
	}
	if err := exists(s.stateDir); err != nil {
		return nil, err
	}
	if _, err := os.Stat(s.installRoot); err != nil {
		return nil, james.Errorf(james.KindNotFound, s.installRoot, "the install root: %w", err)
	}
	if in.root, err = disk.Open(s.installRoot, disk.Options{}); err != nil {
		return nil, err
	}
	in.installer, err = txn.Open(txn.Options{Disk: in.root, StateDir: s.stateDir, Log: in.log, Beside: true, Waiting: in.waits})
	return in, err
}

func (in *inspection) close() {
	if in.installer != nil {
		_ = in.installer.Close() // nothing is written any more
	}
	if in.root != nil {
		_ = in.root.Close()
	}
}

func (in *inspection) waits() {
	in.meter.Clear()
	fmt.Fprintf(in.Err, "%s: waiting for the agent to end its transaction\n", programName)
}

// print prints a line for each change, or that there is none.
func (in *inspection) print(changes []james.Change) {
	var app, path, kind int
	for _, c := range changes {
		app, path, kind = max(app, len(c.App)), max(path, len(c.Path.String())), max(kind, len(c.Kind))
	}
	for _, c := range changes {
		fmt.Fprintf(in.Out, "%-*s  %-*s  %-*s  %s\n", app, c.App, path, c.Path, kind, string(c.Kind), c.Kind.Meaning())
	}
	n := len(in.installer.Apps())
	if drift := james.NewDrift(changes); drift == nil {
		fmt.Fprintf(in.Out, "all files of %d installed %s are as their packets have them\n", n, map[bool]string{true: "app", false: "apps"}[n == 1])
	} else if drift.Damaged == 0 {
		fmt.Fprintf(in.Out, "nothing is damaged; %d configuration %s edited\n", drift.Count, map[bool]string{true: "file was", false: "files were"}[drift.Count == 1])
	}
}
