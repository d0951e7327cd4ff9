// Package config gives a program its settings: from the command line, the
// environment and a YAML file, in that order of precedence, over the defaults
// of its flags.
//
// A setting exists once, as a flag; its environment variable and its key in the
// file follow from the flag's name. What a file or the environment says is
// checked as strictly as the command line: nothing is skipped or guessed. The
// package knows no program's settings.
package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"

	"github.com/trusch/jamesd/pkg/james"
)

// Process is what a program gets from its environment.
type Process struct {
	Args     []string // without the program's name
	In       io.Reader
	Out, Err io.Writer
	// Getenv returns the value of an environment variable, "" where it is not set.
	Getenv func(string) string
}

// OS returns the real process.
func OS() Process {
	return Process{Args: os.Args[1:], In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Getenv: os.Getenv}
}

// Complain says why a program of that name has failed, and what to do about it.
func (p Process) Complain(program string, err error) {
	fmt.Fprintf(p.Err, "%s: %s\n", program, Printable(strings.TrimSpace(err.Error())))
	if hint := james.HintOf(err); hint != "" {
		fmt.Fprintf(p.Err, "hint: %s\n", hint)
	}
}

// Printable returns s with what would command a terminal replaced: an error may hold the
// output of a script, or what the other side says.
func Printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, s)
}

// usageError is a mistake in the command line, the environment or the settings.
type usageError struct{ error }

func (u usageError) Unwrap() error { return u.error }

// UsageError returns err as a mistake in the command line, the environment or the
// settings, for which programs have an exit code of its own.
func UsageError(err error) error { return usageError{err} }

// IsUsageError reports whether err is one of UsageError.
func IsUsageError(err error) bool { return errors.As(err, new(usageError)) }
