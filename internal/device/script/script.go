// Package script runs a packet's scripts.
//
// What always holds: a script gets the arguments and the environment that Call
// describes and nothing else of the agent's: no variables, no descriptors, no
// input, no terminal, no priority, no ignored signals. What it starts is ended
// with it, as a whole, when the time is up, when the caller gives up, or when the
// script fails; see confined. Memory for what it prints is bounded, and the end
// of that is kept.
//
// The package knows nothing of plans, journals or what a script is run for.
package script

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/trusch/jamesd/internal/device/disk"
	"github.com/trusch/jamesd/pkg/james"
)

// DefaultTimeout is how long a script may take.
const DefaultTimeout = 5 * time.Minute

// DefaultGrace is how long a script has between SIGTERM and SIGKILL, and how
// long what it left running may hold its output open after its end.
const DefaultGrace = 5 * time.Second

// DefaultPath is where scripts find programs.
const DefaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Runner runs scripts. Its zero value runs them with the defaults.
type Runner struct {
	Timeout time.Duration // of one script; 0 means DefaultTimeout
	Grace   time.Duration // 0 means DefaultGrace
	Path    string        // PATH; "" means DefaultPath
	Home    string        // HOME; "" means "/root" for the superuser and "/" for others

	kernel kernel
}

// kernel says what a run does without, for tests of older kernels and of systems
// where cgroups are not the agent's to make.
type kernel struct{ noCgroup, noCgroupStart, noCgroupKill bool }

// Call is one run of a script.
type Call struct {
	ID   ID
	Name james.ScriptName
	App  james.App // whose script it is
	// File is the absolute name of the script, as Write made it.
	File string
	// Action is the script's argument.
	Action james.Action
	// Root is the install root, and the directory the script runs in.
	Root string
	// Old is the app that goes and New the one that comes; either may be nil.
	Old, New *james.App
	// Purge says that the old app goes with its configuration files.
	Purge bool
	// Rerun says that this run may not be the first, as the device stopped in the
	// middle of one.
	Rerun bool
	// Try counts the runs of a script that is tried several times, from 1; 0 is for
	// those that are not.
	Try int
	// Timeout is how long this run may take; 0 leaves it to the Runner.
	Timeout time.Duration
}

// Write makes body an executable file at path of d, which must be on a file
// system that programs can be started from. It is not durable.
func Write(d *disk.Disk, path string, body []byte) error {
	if err := d.RemoveAll(path); err != nil {
		return err
	}
	return d.WriteNew(path, bytes.NewReader(body), disk.New{Meta: disk.Meta{Mode: 0o700}, Size: int64(len(body))})
}

// env returns the whole environment of the script. JAMES_OLD_TAGS and
// JAMES_NEW_TAGS are there only where a packet goes or comes, JAMES_PURGE only where
// it goes with its configuration, JAMES_RERUN only in a second run, JAMES_TRY only in one of several tries.
func (r *Runner) env(c *Call) []string {
	env := []string{
		"PATH=" + or(r.Path, DefaultPath),
		"HOME=" + or(r.Home, home()),
		"LANG=C.UTF-8",
		"PWD=" + c.Root,
		"JAMES_PACKET=" + c.App.Name,
		"JAMES_TAGS=" + c.App.Tags.String(),
		"JAMES_ROOT=" + c.Root,
		"JAMES_ACTION=" + string(c.Action),
		c.ID.variable(),
	}
	if c.Old != nil {
		env = append(env, "JAMES_OLD_TAGS="+c.Old.Tags.String())
	}
	if c.New != nil {
		env = append(env, "JAMES_NEW_TAGS="+c.New.Tags.String())
	}
	if c.Purge {
		env = append(env, "JAMES_PURGE=1")
	}
	if c.Rerun {
		env = append(env, "JAMES_RERUN=1")
	}
	if c.Try > 0 {
		env = append(env, "JAMES_TRY="+strconv.Itoa(c.Try))
	}
	return env
}

func or(s, fallback string) string {
	if s != "" {
		return s
	}
	return fallback
}

// Error says which script failed and how.
type Error struct {
	App    james.App
	Name   james.ScriptName
	Output string // the end of what it printed, at most james.MaxOutput bytes
	// Err is a *james.Error: KindConflict where the script said no, KindInterrupted
	// where a signal or the time limit ended it, KindInvalid where it cannot run
	// here at all.
	Err error
}

// Error names packet and script, says how it ended, and quotes its last line.
func (e *Error) Error() string {
	msg := e.Err.Error()
	lines := strings.Split(strings.TrimRight(e.Output, "\n"), "\n")
	if last := strings.TrimSpace(lines[len(lines)-1]); last != "" {
		msg += " (" + shorten(last, 200) + ")"
	}
	return msg
}

func shorten(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "..."
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

func (c *Call) fail(output string, kind james.Kind, format string, args ...any) error {
	err := james.Errorf(kind, "script "+string(c.Name)+" of "+c.App.String(), format, args...)
	return &Error{App: c.App, Name: c.Name, Output: output, Err: err}
}

// Output returns what the failed script in err's chain printed.
func Output(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Output
	}
	return ""
}
