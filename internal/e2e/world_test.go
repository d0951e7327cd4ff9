package e2e_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/trusch/jamesd/internal/e2e/linktest"
	"github.com/trusch/jamesd/internal/e2e/mongodtest"
)

// patience bounds every wait of a script. It is long, as a test machine may be
// slow; nothing waits for it when all is well.
const patience = 60 * time.Second

type worldKey struct{}

// world is the processes that one script has started.
type world struct {
	tb    testing.TB
	mongo *mongodtest.Server // of the script's own
	env   *testscript.Env
	mu    sync.Mutex
	proc  map[string]*process
	addr  map[string]string   // of jamesd by name, kept over a restart
	arch  map[string][]string // of a device: the command that runs its jamesc
	proxy *linktest.Proxy     // the last one
}

func newWorld(tb testing.TB, env *testscript.Env) *world {
	return &world{tb: tb, env: env, proc: map[string]*process{}, addr: map[string]string{}, arch: map[string][]string{}}
}

func worldOf(ts *testscript.TestScript) *world { return ts.Value(worldKey{}).(*world) }

// start runs a program in the background under a name.
func (w *world) start(ts *testscript.TestScript, name, program string, args ...string) *process {
	path := program
	if !filepath.IsAbs(path) {
		path = filepath.Join(binDir, program)
	}
	r, pipe, err := os.Pipe()
	ts.Check(err)
	cmd := exec.Command(path, args...)
	cmd.Dir = ts.MkAbs(".")
	cmd.Env = append([]string{}, w.env.Vars...)
	for _, v := range []string{"PATH", "HOME"} {
		cmd.Env = append(cmd.Env, v+"="+ts.Getenv(v))
	}
	cmd.Stdout, cmd.Stderr = pipe, pipe
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p := &process{cmd: cmd, done: make(chan struct{}), grown: make(chan struct{})}
	ts.Check(cmd.Start())
	pipe.Close()
	collected := make(chan struct{})
	go func() { p.collect(r); r.Close(); close(collected) }()
	go func() { p.err = cmd.Wait(); <-collected; close(p.done) }()
	w.mu.Lock()
	defer w.mu.Unlock()
	if old := w.proc[name]; old != nil && !old.ended() {
		ts.Fatalf("%s runs already", name)
	}
	w.proc[name] = p
	return p
}

func (w *world) get(ts *testscript.TestScript, name string) *process {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.proc[name]
	if p == nil {
		ts.Fatalf("there is no process %s", name)
	}
	return p
}

func (w *world) stopAll() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.proc {
		p.signal(syscall.SIGKILL)
		<-p.done
	}
}
