package txn_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/trusch/jamesd/internal/device/disk"
	"github.com/trusch/jamesd/internal/device/disk/disktest"
	"github.com/trusch/jamesd/pkg/james"
)

// What a test has another process of this program do.
const (
	childEnv  = "JAMES_CRASH_CHILD"
	childBase = "JAMES_CRASH_BASE"  // the device's directory
	childSpec = "JAMES_CRASH_SPEC"  // a file with a spec
	childKill = "JAMES_CRASH_KILL"  // number of the operation that it is killed at
	childPost = "JAMES_CRASH_AFTER" // whether after it
)

func TestMain(m *testing.M) {
	switch os.Getenv(childEnv) {
	case "":
		os.Exit(m.Run())
	case "apply":
		applyAndDie()
	case "recover":
		recoverAndTell()
	}
}

// childDevice opens the device that the environment names.
func childDevice() (*world, *spec) {
	s, err := readSpec(os.Getenv(childSpec))
	if err != nil {
		panic(err)
	}
	return newDevice(os.Getenv(childBase), s, s.packets()), s
}

// applyAndDie carries the plan out and sends this process SIGKILL at an operation.
func applyAndDie() {
	w, s := childDevice()
	if r, err := w.start(); r != nil || err != nil {
		panic(fmt.Sprint(r, err))
	}
	at := disktest.Point{N: must(strconv.Atoi(os.Getenv(childKill))), After: os.Getenv(childPost) == "true"}
	w.hook = killAt(at)
	o := &ordeal{spec: *s}
	r, err := o.apply(w)
	fmt.Fprintf(os.Stderr, "survived: %+v, %v\n", r, err)
	os.Exit(1)
}

// killAt returns a hook that ends this process at a point.
func killAt(at disktest.Point) disk.Hook {
	var c counter
	return func(before bool, _ disk.Op) error {
		n := c.now()
		if before {
			n = c.next()
		}
		if n == at.N && before != at.After || before && at.After && n == at.N+1 { // nothing comes after what fails
			_ = unix.Kill(os.Getpid(), unix.SIGKILL)
			select {}
		}
		return nil
	}
}

// counter counts operations.
type counter struct {
	mu sync.Mutex
	n  int
}

func (c *counter) next() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
	return c.n
}

func (c *counter) now() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}

// told is what a process that has recovered prints.
type told struct {
	Report *james.Report
	Error  string
}

// recoverAndTell starts the device and prints the report of the recovery.
func recoverAndTell() {
	w, _ := childDevice()
	r, err := w.start()
	w.close()
	t := told{Report: r}
	if err != nil {
		t.Error = err.Error()
	}
	if err := json.NewEncoder(os.Stdout).Encode(t); err != nil {
		panic(err)
	}
	os.Exit(0)
}

// child returns the command of another process for the device.
func (o *ordeal) child(w *world, what string, env ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), append(env, childEnv+"="+what, childBase+"="+deviceDir(w), childSpec+"="+o.specFile())...)
	return cmd
}

// killed carries the plan out in another process, which is killed at a point.
func (o *ordeal) killed(w *world, at disktest.Point) error {
	cmd := o.child(w, "apply", fmt.Sprintf("%s=%d", childKill, at.N), fmt.Sprintf("%s=%t", childPost, at.After))
	out, err := cmd.CombinedOutput()
	if s, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && s.Signal() == syscall.SIGKILL {
		return nil
	}
	return fmt.Errorf("the process was not killed: %w\n%s", err, out)
}

// recovered has a fresh process recover the device.
func (o *ordeal) recovered(w *world) (*james.Report, error) {
	cmd := o.child(w, "recover")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, err
	}
	var t told
	if err := json.Unmarshal(out, &t); err != nil {
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	if t.Error != "" {
		return nil, fmt.Errorf("start: %s", t.Error)
	}
	return t.Report, nil
}
