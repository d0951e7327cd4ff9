package script

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/trusch/jamesd/pkg/james"
)

// Run runs the script to its end and returns the end of what it printed. A
// failure is an *Error. When ctx is done the script is ended like one whose time
// is up.
func (r *Runner) Run(ctx context.Context, c Call) (output string, err error) {
	if err := ctx.Err(); err != nil {
		return "", c.fail("", james.KindInterrupted, "not begun: %w", context.Cause(ctx))
	}
	argv, err := command(c.File)
	if err != nil {
		return "", c.fail("", james.KindUnavailable, "%w", err)
	}
	c.ID = c.ID.orMade()
	sweep(c.ID.Owner)
	out := &tail{limit: james.MaxOutput}
	run := &confined{id: c.ID, group: newCgroup(c.ID, r.kernel)}
	defer run.release()
	timeout := r.timeout(&c)
	limit, cancel := context.WithTimeoutCause(ctx, timeout, errTimeout)
	defer cancel()
	cmd, err := r.start(limit, &c, argv, out, run)
	if err != nil && limit.Err() != nil {
		return "", c.exitFailure(limit, "", timeout, err, nil)
	}
	if err != nil {
		return "", c.startFailure(argv, err)
	}
	err = cmd.Wait()
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil // the script ended well and in time; something that it started holds its output open
	}
	if err == nil {
		return out.String(), nil
	}
	left := run.end(r.grace())
	return out.String(), c.exitFailure(limit, out.String(), timeout, err, left)
}

var errTimeout = errors.New("time is up")

func (r *Runner) timeout(c *Call) time.Duration {
	return cmp.Or(c.Timeout, r.Timeout, DefaultTimeout)
}

// EndLimit is how long a run may go on after its time is up.
func (r *Runner) EndLimit() time.Duration { return 2*r.grace() + killLimit }

func (r *Runner) grace() time.Duration {
	if r.Grace > 0 {
		return r.Grace
	}
	return DefaultGrace
}

// command returns how to start the script: by itself where the kernel knows how,
// by /bin/sh where it has neither "#!" nor the shape of a binary, and by the
// interpreter it names where its file system does not allow to start programs.
func command(file string) ([]string, error) {
	head, err := readHead(file)
	if err != nil {
		return nil, err
	}
	line, isScript := strings.CutPrefix(head, "#!")
	switch {
	case strings.HasPrefix(head, "\x7fELF"):
		return []string{file}, nil
	case !isScript:
		return []string{"/bin/sh", file}, nil
	case startable(file):
		return []string{file}, nil
	}
	line, _, _ = strings.Cut(line, "\n")
	interpreter, arg, _ := strings.Cut(strings.TrimSpace(line), " ")
	if arg = strings.TrimSpace(arg); arg != "" {
		return []string{interpreter, arg, file}, nil
	}
	return []string{interpreter, file}, nil
}

// startable reports whether the file system of file is mounted without noexec.
func startable(file string) bool {
	var st unix.Statfs_t
	return unix.Statfs(file, &st) != nil || int64(st.Flags)&unix.ST_NOEXEC == 0
}

func readHead(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	buf := make([]byte, 256) // as much as the kernel reads
	n, _ := f.Read(buf)
	return string(buf[:n]), nil
}

// startFailure says why a script could not be started. The kernel's "no such
// file" is about the interpreter: the script itself was just read.
func (c *Call) startFailure(argv []string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		what := argv[0]
		if head, _ := readHead(c.File); strings.HasPrefix(head, "#!") {
			what, _, _ = strings.Cut(head[2:], "\n")
		}
		if strings.HasSuffix(what, "\r") {
			return c.fail("", james.KindInvalid, "its lines end with carriage returns; save it with Unix line ends")
		}
		if _, err := os.Stat(c.Root); err != nil {
			return c.fail("", james.KindUnavailable, "the install root %s: %w", c.Root, err)
		}
		return c.fail("", james.KindInvalid, "its interpreter %s is not on this device", strings.TrimSpace(what))
	}
	if errors.Is(err, syscall.ENOEXEC) {
		return c.fail("", james.KindInvalid, "it is a program for another kind of machine")
	}
	return c.fail("", james.KindUnavailable, "not started: %w", err)
}

// exitFailure says how a script ended that began; left is what it started and
// nothing can end.
func (c *Call) exitFailure(ctx context.Context, output string, limit time.Duration, err error, left []process) error {
	kind, how := james.KindUnavailable, err
	var exit *exec.ExitError
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, errTimeout):
		kind, how = james.KindInterrupted, fmt.Errorf("was stopped after %s, its time limit", limit)
	case cause != nil:
		kind, how = james.KindInterrupted, fmt.Errorf("was stopped: %w", cause)
	case !errors.As(err, &exit):
	case exit.Sys().(syscall.WaitStatus).Signaled():
		signal := exit.Sys().(syscall.WaitStatus).Signal()
		kind, how = james.KindInterrupted, fmt.Errorf("was ended by signal %d (%s)", int(signal), signal)
	default:
		kind, how = james.KindConflict, fmt.Errorf("exit status %d", exit.ExitCode())
	}
	if len(left) > 0 {
		how = fmt.Errorf("%w; it %w", how, unkillable(left))
	}
	return c.fail(output, kind, "%w", how)
}

func home() string {
	if os.Geteuid() == 0 {
		return "/root"
	}
	return "/"
}
