// Package ctl is jamesd-ctl, the admin's command line.
//
// Every command is a file: its cobra command with flags and help, and the
// method that does the work. Arguments and files are checked before anything is
// sent. What a command found goes to the standard output, as a table for people
// or with -o as YAML or JSON for programs; everything else goes to the standard
// error: progress, only on a terminal, warnings, and the one error it ended
// with. Text that came from devices is printed without control characters.
//
// The package talks to jamesd through pkg/client only and knows nothing of
// stores or matching.
package ctl
