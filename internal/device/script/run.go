package script

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"strconv"
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
	closeOnExec()
	argv, err := command(c.File)
	if err != nil {
		return "", c.fail("", james.KindUnavailable, "%w", err)
	}
	timeout := r.timeout(&c)
	limit, cancel := context.WithTimeoutCause(ctx, timeout, errTimeout)
	defer cancel()
	out := &tail{limit: james.MaxOutput}
	cmd, err := r.start(limit, &c, argv, out)
	if err != nil {
		return "", c.startFailure(argv, err)
	}
	err = cmd.Wait()
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil // the script ended well and in time; something that it started holds its output open
	}
	if err != nil {
		_ = unix.Kill(-cmd.Process.Pid, unix.SIGKILL) // what is left of the group
		return out.String(), c.exitFailure(limit, out.String(), timeout, err)
	}
	return out.String(), nil
}

var errTimeout = errors.New("time is up")

func (r *Runner) timeout(c *Call) time.Duration {
	return cmp.Or(c.Timeout, r.Timeout, DefaultTimeout)
}

// EndLimit is how long a run may go on after its time is up.
func (r *Runner) EndLimit() time.Duration { return 2 * r.grace() }

func (r *Runner) grace() time.Duration {
	if r.Grace > 0 {
		return r.Grace
	}
	return DefaultGrace
}

// start starts the script. A file that was just written may still be open for
// writing in a child that another part of the agent is starting at this moment;
// then the start is tried again.
func (r *Runner) start(ctx context.Context, c *Call, argv []string, out *tail) (*exec.Cmd, error) {
	argv = append(argv, string(c.Action))
	for wait := time.Millisecond; ; wait *= 2 {
		cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
		cmd.Dir, cmd.Env = c.Root, r.env(c)
		cmd.Stdout, cmd.Stderr = out, out
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGTERM) }
		cmd.WaitDelay = r.grace()
		err := cmd.Start()
		if !errors.Is(err, syscall.ETXTBSY) || wait > time.Second {
			return cmd, err
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(wait):
		}
	}
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

func (c *Call) exitFailure(ctx context.Context, output string, limit time.Duration, err error) error {
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, errTimeout):
		return c.fail(output, james.KindInterrupted, "was stopped after %s, its time limit", limit)
	case cause != nil:
		return c.fail(output, james.KindInterrupted, "was stopped: %w", cause)
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return c.fail(output, james.KindUnavailable, "%w", err)
	}
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return c.fail(output, james.KindInterrupted, "was ended by signal %d (%s)", int(status.Signal()), status.Signal())
	}
	return c.fail(output, james.KindConflict, "exit status %d", exit.ExitCode())
}

// closeOnExec keeps descriptors that the agent itself inherited from passing to
// a script. Those that Go opened do not pass anyway.
func closeOnExec() {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return
	}
	for _, e := range entries {
		if fd, err := strconv.Atoi(e.Name()); err == nil && fd > 2 {
			unix.CloseOnExec(fd)
		}
	}
}

func home() string {
	if os.Geteuid() == 0 {
		return "/root"
	}
	return "/"
}
