package ctl

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/trusch/jamesd/internal/config"
	"github.com/trusch/jamesd/pkg/james"
)

// Exit codes.
const (
	exitFailed      = 1
	exitInvalid     = 2
	exitNotFound    = 3
	exitConflict    = 4
	exitDenied      = 5
	exitInterrupted = 130 // as shells have it for SIGINT
)

// exitCodes is the part of the help about them.
const exitCodes = `Exit codes:
  0    done
  1    failed: the server does not answer, a file cannot be written, ...
  2    the command line, a setting or an input file is wrong
  3    what was named does not exist
  4    refused, as it does not go with what is there
  5    this certificate may not do that
  130  interrupted`

func exitCode(err error) int {
	switch james.KindOf(err) {
	case james.KindInvalid:
		return exitInvalid
	case james.KindNotFound:
		return exitNotFound
	case james.KindConflict, james.KindExists:
		return exitConflict
	case james.KindDenied, james.KindUnauthenticated:
		return exitDenied
	}
	return exitFailed
}

// complain prints an error and its hint.
func (p *program) complain(err error) {
	fmt.Fprintf(p.Err, "jamesd-ctl: %s\n", clean(err.Error()))
	if hint := james.HintOf(err); hint != "" {
		fmt.Fprintf(p.Err, "hint: %s\n", clean(hint))
	}
	if id := requestOf(err); id != "" {
		fmt.Fprintf(p.Err, "request: %s, as the log of jamesd names it\n", clean(id))
	}
}

// requestOf returns the id of the request that failed, where the log of jamesd says
// more than the error does and the hint does not name it.
func requestOf(err error) string {
	id := james.RequestOf(err)
	switch james.KindOf(err) {
	case james.KindInternal, james.KindUnavailable, james.KindCorrupt:
		if !strings.Contains(james.HintOf(err), id) {
			return id
		}
	}
	return ""
}

// cannot names the operation that the user asked for, in place of the one that
// failed on the way.
func cannot(op, subject string, err error) error {
	var e *james.Error
	if errors.As(err, &e) && e.Op != "" {
		return &james.Error{Op: op, Kind: e.Kind, Subject: subject, Err: e.Err, Hint: james.HintOf(e)}
	}
	return james.Cannot(op, subject, err)
}

// interrupted keeps of a failure after a signal only what the user asked for.
func interrupted(err error) error {
	var e *james.Error
	if errors.As(err, &e) && e.Op != "" {
		return &james.Error{Op: e.Op, Kind: james.KindInterrupted, Subject: e.Subject, Err: errors.New("interrupted")}
	}
	return errors.New("interrupted")
}

// usagef returns an error about the command line of cmd.
func usagef(cmd *cobra.Command, format string, args ...any) *james.Error {
	return james.Errorf(james.KindInvalid, "", format, args...).WithHint("See %s --help.", cmd.CommandPath())
}

// flagError words what pflag found wrong.
func flagError(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	var bare *pflag.ValueRequiredError
	var invalid *pflag.InvalidValueError
	switch {
	case cmd.HasSubCommands() && cmd.Flags().NArg() > 0: // the flag is that of a command which there is not
		return unknownCommand(cmd, cmd.Flags().Args())
	case errors.As(err, &unknown):
		return unknownFlag(cmd, unknown.GetSpecifiedName())
	case errors.As(err, &bare):
		return usagef(cmd, "the flag --%s needs a value", bare.GetFlag().Name)
	case errors.As(err, &invalid):
		return usagef(cmd, "--%s: %w", invalid.GetFlag().Name, config.Refusal(invalid.GetFlag(), invalid.GetValue(), errors.Unwrap(invalid)))
	}
	return usagef(cmd, "%w", err)
}

func unknownFlag(cmd *cobra.Command, name string) error {
	dashes := "--"
	if len(name) == 1 {
		dashes = "-"
	}
	e := usagef(cmd, "unknown flag %s%s of %s", dashes, name, cmd.CommandPath())
	var known []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { known = append(known, f.Name) })
	if near := config.Nearest(name, known); near != "" {
		return e.WithHint("Did you mean --%s?", near)
	}
	return e
}

// unknownCommand is the RunE of a command that only has subcommands.
func unknownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return cmd.Help()
	}
	e := usagef(cmd, "unknown command %q of %s", args[0], cmd.CommandPath())
	var known []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			known = append(known, c.Name())
		}
	}
	if near := nearCommand(args[0], known); near != "" {
		return e.WithHint("Did you mean %q?", near)
	}
	return e
}

// nearCommand also finds a command by a word of it: "packets", "explain-device".
func nearCommand(name string, known []string) string {
	if near := config.Nearest(name, known); near != "" {
		return near
	}
	for _, k := range known {
		if len(name) > 2 && (strings.Contains(k, name) || strings.HasPrefix(name, k)) {
			return k
		}
	}
	return ""
}
