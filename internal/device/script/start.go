package script

import (
	"bytes"
	"context"
	"errors"
	"math"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// start starts the script. A file that was just written may still be open for
// writing in a child that another part of the agent is starting at this moment;
// then the start is tried again.
func (r *Runner) start(ctx context.Context, c *Call, argv []string, out *tail, run *confined) (*exec.Cmd, error) {
	argv = append(argv, string(c.Action))
	newCmd := func() *exec.Cmd {
		cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
		cmd.Dir, cmd.Env = c.Root, r.env(c)
		cmd.Stdout, cmd.Stderr = out, out
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		cmd.Cancel = func() error { <-run.begun; run.tell(); return nil }
		cmd.WaitDelay = r.grace()
		return cmd
	}
	for wait := time.Millisecond; ; wait *= 2 {
		cmd, err := run.start(newCmd)
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

// start starts a command in the cgroup of the run. Where the kernel cannot do
// both at once (before Linux 5.7), the process is moved after its start; what it
// has started until then is moved too.
func (c *confined) start(newCmd func() *exec.Cmd) (*exec.Cmd, error) {
	c.begun = make(chan struct{})
	defer close(c.begun)
	if fd, err := c.group.open(); err == nil {
		cmd := newCmd()
		cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, fd
		err := clean(cmd.Start)
		unix.Close(fd)
		if err == nil || errors.Is(err, syscall.ETXTBSY) {
			c.began(cmd)
			return cmd, err
		}
	}
	cmd := newCmd()
	if err := clean(cmd.Start); err != nil {
		return cmd, err
	}
	c.began(cmd)
	if c.group != nil {
		c.moveIn()
	}
	return cmd, nil
}

// began notes which process the script is.
func (c *confined) began(cmd *exec.Cmd) {
	if cmd.Process == nil {
		return
	}
	if p, ok := readProcess(cmd.Process.Pid); ok {
		c.leader, c.born = p.pid, p.born
	}
}

// moveIn moves the run into its cgroup, or gives that up.
func (c *confined) moveIn() {
	if err := c.group.add(c.leader); err != nil {
		c.group.remove()
		c.group = nil
		return
	}
	for _, p := range c.members() {
		_ = c.group.add(p.pid) // it may have ended
	}
}

// clean calls start, which starts a process, so that the process has nothing of
// what this one was given for itself: descriptors, ignored signals, a mask for
// new files, a priority, and what keeps the agent alive when memory is short. A
// daemon that a script starts would have that for good.
func clean(start func() error) error {
	cleaning.Lock()
	defer cleaning.Unlock()
	closeOnExec()
	defer heedSignals()()
	defer standBack()()
	err := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with this goroutine, and with it what it was given
		if unix.Unshare(unix.CLONE_FS) == nil {
			unix.Umask(0o022)
		}
		_ = unix.Setpriority(unix.PRIO_PROCESS, 0, 0) // of this thread; only the superuser may raise it
		_, _, _ = unix.Syscall(unix.SYS_IOPRIO_SET, ioprioProcess, 0, 0)
		err <- start()
	}()
	return <-err
}

// cleaning is held while a process is started: some of what clean does concerns
// the whole of this one.
var cleaning sync.Mutex

// ioprioProcess has ioprio_set concern one thread.
const ioprioProcess = 1

// closeOnExec keeps descriptors that the agent itself inherited from passing to
// a script. Those that Go opened do not pass anyway.
func closeOnExec() {
	if unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC) == nil {
		return
	}
	entries, err := os.ReadDir("/proc/self/fd") // before Linux 5.11
	if err != nil {
		return
	}
	for _, e := range entries {
		if fd, err := strconv.Atoi(e.Name()); err == nil && fd > 2 {
			unix.CloseOnExec(fd)
		}
	}
}

// heedSignals has this process handle the signals that it ignores, as nohup and
// shells make it, until restore is called. What is handled here has its default
// effect in a new program, and what is ignored is ignored there too.
func heedSignals() (restore func()) {
	var ignored []os.Signal
	for s, mask := 1, ignoredSignals(); s < 32; s++ {
		if mask&(1<<(s-1)) != 0 {
			ignored = append(ignored, syscall.Signal(s))
		}
	}
	if len(ignored) == 0 {
		return func() {}
	}
	heard := make(chan os.Signal, 1)
	signal.Notify(heard, ignored...)
	return func() { signal.Stop(heard) }
}

func ignoredSignals() uint64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if mask, ok := strings.CutPrefix(line, "SigIgn:"); ok {
			n, _ := strconv.ParseUint(strings.TrimSpace(mask), 16, 64)
			return n
		}
	}
	return 0
}

// standBack has this process wait its turn when the system needs memory and ends
// processes, until restore is called; a process inherits that when it starts.
func standBack() (restore func()) {
	const file = "/proc/self/oom_score_adj"
	own, err := os.ReadFile(file)
	if err != nil || !bytes.HasPrefix(own, []byte("-")) || os.WriteFile(file, []byte("0"), 0) != nil {
		return func() {}
	}
	return func() { _ = os.WriteFile(file, bytes.TrimSpace(own), 0) }
}
