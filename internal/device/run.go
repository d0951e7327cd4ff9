package device

import (
	"context"
	"os"
	"strings"

	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"

	"github.com/trusch/jamesd/internal/config"
	"github.com/trusch/jamesd/internal/device/agent"
	"github.com/trusch/jamesd/internal/device/inventory"
	"github.com/trusch/jamesd/internal/logging"
	"github.com/trusch/jamesd/internal/version"
	"github.com/trusch/jamesd/pkg/james"
)

const about = `jamesc makes this device what its desired state on jamesd says: it polls jamesd,
installs, upgrades and removes packets as one transaction, and reports how that
went. A transaction that fails, or is cut off by a crash, is undone as a whole.

Every flag can also be set in the settings file, by its name, and as an
environment variable: --state-dir is state-dir: in the file and JAMESC_STATE_DIR.
The command line wins over the environment, and that over the file.

With --once the exit code is 0 when the device is in its desired state afterwards
or has none, 3 when the plan failed and was undone, and 1 for anything else.
Without it jamesc runs until it is stopped (SIGTERM, SIGINT); a transaction that
has begun to change the device is finished first.`

func newRootCommand(p config.Process) *cobra.Command {
	var s settings
	cmd := &cobra.Command{
		Use:           programName,
		Short:         "The agent of jamesd: makes this device what its desired state says",
		Long:          about,
		Example:       "  jamesc --addr jamesd.example.org\n  jamesc --addr jamesd.example.org --once --system-tags auto,gpu",
		Args:          cobra.NoArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := s.load(cmd, p); err != nil {
				return err
			}
			return run(cmd.Context(), p, &s)
		},
	}
	s.define(cmd.Flags())
	cmd.CompletionOptions.DisableDefaultCmd = true // nobody types on a device
	cmd.AddCommand(newTagsCommand(p), newStatusCommand(p), newCheckCommand(p), newVerifyCommand(p), newVersionCommand(p))
	return cmd
}

// run is the agent, from the settings to its end.
func run(ctx context.Context, p config.Process, s *settings) error {
	log, err := logging.New(p.Err, s.logLevel, s.logFormat)
	if err != nil {
		return err
	}
	tags, err := s.tags()
	if err != nil {
		return err
	}
	tuneMemory(p.Getenv)
	parts, err := start(ctx, s, log, tags)
	if err != nil {
		return err
	}
	defer parts.close()
	if s.once {
		return parts.agent.Once(ctx)
	}
	log.WithFields(logrus.Fields{"version": version.String(), "addr": s.addr, "install_root": s.installRoot}).Info("jamesc starts")
	fate := parts.agent.Run(ctx)
	switch fate {
	case agent.Replaced:
		return parts.restart(log)
	case agent.Removed:
		log.Info("jamesc is not installed any more and ends")
	default:
		log.Info("jamesc stops")
	}
	parts.notify("STOPPING=1")
	return nil
}

// tags returns what finds the system tags; it fails for a list that cannot be
// one.
func (s *settings) tags() (func() james.TagSet, error) {
	list := strings.Join(s.systemTags, ",")
	detect := func() james.TagSet { return inventory.Host{}.Tags() }
	last, err := inventory.Select(list, detect)
	if err != nil {
		return nil, err
	}
	return func() james.TagSet {
		if now, err := inventory.Select(list, detect); err == nil {
			last = now
		}
		return last
	}, nil
}

// restart puts the new jamesc in the place of this process, with its arguments,
// its environment and its process id. It returns only if that fails; whoever
// supervises jamesc starts the new one then.
func (p *parts) restart(log logrus.FieldLogger) error {
	_, file := p.self.Fate()
	log.WithField("file", file).Info("jamesc was replaced, starting the new one")
	p.notify("RELOADING=1\nSTATUS=starting the new jamesc")
	p.close()
	err := p.exec(file, os.Args, os.Environ())
	return james.Cannot("start the new jamesc", file, err)
}
