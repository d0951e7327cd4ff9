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
	"io"
	"os"
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
