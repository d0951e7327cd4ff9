package device

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/sirupsen/logrus"

	"github.com/trusch/jamesd/internal/device/agent"
	"github.com/trusch/jamesd/internal/device/disk"
	"github.com/trusch/jamesd/internal/device/script"
	"github.com/trusch/jamesd/internal/device/txn"
	"github.com/trusch/jamesd/internal/version"
	"github.com/trusch/jamesd/pkg/james"
)

// parts is a running jamesc.
type parts struct {
	agent  *agent.Agent
	self   *agent.Self
	notify func(state string)
	// noServer says why there is no server that could be connected to; reconnect
	// has the agent's next calls use new connections.
	noServer  error
	reconnect func()
	exec      func(file string, args, env []string) error

	once    sync.Once
	closers []func() error
}

// agentDir is the agent's own directory in the state directory, the rest of
// which is the installer's.
const agentDir = "agent"

// build puts a jamesc together.
func build(s *settings, log logrus.FieldLogger, tags func() james.TagSet) (_ *parts, err error) {
	p := &parts{notify: notifier(log), exec: syscall.Exec}
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	server, id, err := p.connect(s, log)
	if err != nil {
		return nil, err
	}
	root, err := disk.Open(s.installRoot, disk.Options{})
	if err != nil {
		return nil, james.Cannot("use the install root", s.installRoot, err)
	}
	p.closers = append(p.closers, root.Close)
	p.self = p.findSelf(root.Root(), log)
	installer, err := txn.Open(p.txnOptions(s, root, log))
	if err != nil {
		return nil, james.Cannot("use the state directory", s.stateDir, err)
	}
	p.closers = append(p.closers, installer.Close)
	if err := dropOldDownloads(root, s.stateDir); err != nil {
		log.WithError(err).Warn("what a repair has downloaded is left")
	}
	state, err := root.At(filepath.Join(s.stateDir, agentDir))
	if err != nil {
		return nil, james.Cannot("use the state directory", s.stateDir, err)
	}
	p.closers = append(p.closers, state.Close)
	watchdog, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		log.WithError(err).Warn("the service manager's watchdog is not fed")
	}
	p.agent, err = agent.New(agent.Options{
		Server: server, Installer: installer, State: state,
		Tags: tags, Device: id, Version: version.String(), Log: log,
		Interval: s.pollInterval, Hold: s.hold, Download: s.download, Apply: s.apply, Metered: s.metered, MaxRate: int64(s.maxRate), RetryFirst: s.retry, RetryLimit: s.limit,
		Probation: s.probation, Reach: reach(s, log, p.reconnect),
		CacheSize: int64(s.cacheSize), VerifyInterval: s.verify, StepLimit: stepLimit(s), Self: p.self, Notify: p.notify, Watchdog: watchdog,
	})
	return p, err
}

// txnOptions returns what the installer works with. It asks the agent, which is
// there when it does.
func (p *parts) txnOptions(s *settings, root *disk.Disk, log logrus.FieldLogger) txn.Options {
	o := txn.Options{
		Disk: root, StateDir: s.stateDir, Log: log,
		Scripts: &script.Runner{Timeout: s.scriptTimeout},
		BeforeApply: func(ctx context.Context, plan *james.Plan, staged func(james.Path) (string, bool)) error {
			return p.agent.BeforeApply(ctx, plan, staged)
		},
		OnProbation: func(plan *james.Plan, checks time.Duration) { p.agent.OnProbation(plan, checks) },
	}
	if s.probation > 0 {
		o.Confirm = func(ctx context.Context, plan *james.Plan) error { return p.agent.Confirm(ctx, plan) }
	}
	return o
}

// connect returns the server of the agent, and who the device is to it. Where there
// is none, and something to be ended without, it is a noServer.
func (p *parts) connect(s *settings, log logrus.FieldLogger) (agent.Server, string, error) {
	c, err := connect(s, log)
	if err != nil {
		if !txn.Interrupted(s.stateDir) {
			return nil, "", err
		}
		p.noServer, p.reconnect = err, func() {}
		return noServer{james.Errorf(james.KindUnavailable, "server", "%w", err)}, "", nil
	}
	p.reconnect = c.reconnect
	p.closers = append(p.closers, func() error { c.close(); return nil })
	return c.Server, c.device, nil
}

// close releases everything, the state directory among it, once.
func (p *parts) close() {
	p.once.Do(func() {
		for i := len(p.closers) - 1; i >= 0; i-- {
			_ = p.closers[i]() // nothing is written any more
		}
	})
}

// stepLimit is how long a step of a plan may take at most: four scripts, and as
// many to undo them, and on the slowest of devices an hour to unpack.
func stepLimit(s *settings) time.Duration { return 8*s.scriptTimeout + time.Hour }

// findSelf returns the watch over jamesc's own executable, nil where there is
// none to watch over.
func (p *parts) findSelf(root string, log logrus.FieldLogger) *agent.Self {
	file, err := os.Executable()
	if err != nil {
		log.WithError(err).Warn("own executable not found: a packet cannot replace jamesc while it runs")
		return nil
	}
	self := &agent.Self{Root: root, Executable: file, Program: calledAs(os.Args[0]), Run: runProgram}
	if self.Program == "" {
		self.Program = file
	}
	if err := self.Begin(); err != nil {
		log.WithError(err).Warn("own executable not found: a packet cannot replace jamesc while it runs")
		return nil
	}
	return self
}

// calledAs returns the path of the program by the name that it was called by,
// with the symbolic links of its directory followed, or "".
func calledAs(name string) string {
	file, err := exec.LookPath(name)
	if err != nil && !errors.Is(err, exec.ErrDot) {
		return ""
	}
	if file, err = filepath.Abs(file); err != nil {
		return ""
	}
	dir, err := filepath.EvalSymlinks(filepath.Dir(file))
	if err != nil {
		return ""
	}
	return filepath.Join(dir, filepath.Base(file))
}

// maxOutput bounds what is kept of what a program prints, in bytes.
const maxOutput = 4 << 10

// runProgram runs a program and returns the beginning of what it prints.
func runProgram(ctx context.Context, file string, args ...string) ([]byte, error) {
	var out head
	cmd := exec.CommandContext(ctx, file, args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.b, err
}

// head keeps the beginning of what is written to it.
type head struct{ b []byte }

func (h *head) Write(p []byte) (int, error) {
	h.b = append(h.b, p[:min(len(p), maxOutput-len(h.b))]...)
	return len(p), nil
}

// notifier returns what tells systemd; where jamesc was not started by systemd
// it does nothing.
func notifier(log logrus.FieldLogger) func(string) {
	return func(state string) {
		if _, err := daemon.SdNotify(false, state); err != nil {
			log.WithError(err).Debug("systemd is not told")
		}
	}
}

// softMemory is where the garbage collector begins to work harder, in bytes: an
// agent waits beside programs that the device is there for.
const softMemory = 40 << 20

// tuneMemory keeps the heap small, unless the environment says otherwise. How much
// may become garbage before it is collected stays Go's own: half of that saves 4 MB while
// a kernel is installed, and costs a twentieth of the time.
func tuneMemory(getenv func(string) string) {
	if getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(softMemory)
	}
}
