package ctl

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/trusch/jamesd/pkg/james"
)

// rewriteSeed makes "X ..." of "... --cmd X ..." and "... --cmd=X ...", the
// spelling of the founding document. Arguments after "--" are left alone.
func rewriteSeed(args []string) ([]string, error) {
	end := slices.Index(args, "--")
	if end < 0 {
		end = len(args)
	}
	at := slices.IndexFunc(args[:end], isSeed)
	if at < 0 {
		return args, nil
	}
	name, joined := strings.CutPrefix(args[at], "--cmd=")
	next := at + 1
	if !joined {
		if next == end {
			return nil, seedError("the flag --cmd needs the name of a command")
		}
		name = args[next]
		next++
	}
	if slices.ContainsFunc(args[next:end], isSeed) {
		return nil, seedError("the flag --cmd is given twice")
	}
	rest := slices.Concat(args[:at], args[next:])
	words := strings.Fields(name) // "pki init" is a command, too
	if len(rest) > 0 && (rest[0] == cobra.ShellCompRequestCmd || rest[0] == cobra.ShellCompNoDescRequestCmd) {
		if len(rest) == 1 {
			words = []string{name} // it is the name that is to be completed
		}
		return slices.Concat(rest[:1], words, rest[1:]), nil
	}
	if len(words) == 0 || strings.HasPrefix(name, "-") {
		return nil, seedError("the flag --cmd needs the name of a command")
	}
	return slices.Concat(words, rest), nil
}

func isSeed(arg string) bool { return arg == "--cmd" || strings.HasPrefix(arg, "--cmd=") }

func seedError(text string) error {
	return james.Errorf(james.KindInvalid, "", "%s", text).
		WithHint("\"jamesd-ctl --cmd get-state --id device-1\" is the same as \"jamesd-ctl get-state device-1\".")
}
