package server

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/trusch/jamesd/internal/config"
	"github.com/trusch/jamesd/pkg/james"
)

// newKeptCommand returns a command on what jamesd keeps, with jamesd's settings, of
// which --db matters to it. The first signal ends its context, the second the process.
func newKeptCommand(p config.Process, do func(ctx context.Context, o *options) error) *cobra.Command {
	o, settings := defaults(), pflag.NewFlagSet("jamesd", pflag.ContinueOnError)
	o.register(settings)
	settings.VisitAll(func(f *pflag.Flag) { f.Hidden = f.Name != "db" && f.Name != "config" })
	cmd := &cobra.Command{
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return config.UsageError(james.Errorf(james.KindInvalid, args[0], "nothing like that is expected here"))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.loadKept(settings, p); err != nil {
				return config.UsageError(err)
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			context.AfterFunc(ctx, stop)
			return do(ctx, o)
		},
	}
	cmd.Flags().AddFlagSet(settings)
	return cmd
}

// loadKept reads the settings that jamesd runs with.
func (o *options) loadKept(settings *pflag.FlagSet, p config.Process) error {
	file, mustExist := config.File(settings, envPrefix, configFile, p.Getenv)
	if err := config.Load(settings, envPrefix, file, mustExist, p.Getenv); err != nil {
		return err
	}
	if o.cacheOf != "" {
		return james.Errorf(james.KindInvalid, "--cache-of", "a site's cache keeps nothing that could not be made again")
	}
	return checkDB(o.db)
}

// safeName returns --db without what is secret in it.
func safeName(db string) string {
	if scheme, rest, ok := strings.Cut(db, "://"); ok {
		return scheme + "://" + rest[strings.LastIndex(rest, "@")+1:]
	}
	return db
}

func count(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// amount returns a number of bytes for people.
func amount(n int64) string {
	for _, unit := range []struct {
		bytes int64
		name  string
	}{{1e9, "GB"}, {1e6, "MB"}, {1e3, "kB"}} {
		if n >= unit.bytes {
			return fmt.Sprintf("%.1f %s", float64(n)/float64(unit.bytes), unit.name)
		}
	}
	return fmt.Sprintf("%d bytes", n)
}
