package txn_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/trusch/jamesd/internal/device/disk"
	"github.com/trusch/jamesd/internal/device/txn"
	"github.com/trusch/jamesd/pkg/james"
)

// beside opens the device a second time, as a process does that is not its agent.
func (w *world) beside(waiting func()) *txn.Installer {
	w.t.Helper()
	d := must(disk.Open(w.root, disk.Options{}))
	o := w.opts
	o.Disk, o.StateDir, o.Scripts, o.Beside, o.Waiting = d, w.state, &w.runner, true, waiting
	in := must(txn.Open(o))
	w.t.Cleanup(func() { in.Close(); d.Close() })
	return in
}

func TestOneAgent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.mustStart()
	other := must(disk.Open(w.root, disk.Options{}))
	defer other.Close()
	if _, err := txn.Open(txn.Options{Disk: other, StateDir: w.state}); james.KindOf(err) != james.KindConflict {
		t.Errorf("a second agent: %v", err)
	}
	w.must(install(w.pack(t, "a v1", nil, file("bin/a", "1"))))
	if apps := w.beside(nil).Apps(); len(apps) != 1 {
		t.Errorf("beside the agent there are %v", apps)
	}
}

// Whoever wants to change the device waits for a transaction of another process,
// and then sees what it has done.
func TestTurns(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.mustStart()
	p, begun, goOn := w.blocking("a v1")
	ended := make(chan *james.Report)
	go func() { ended <- w.apply(install(p)) }()
	begun()

	waits := make(chan bool, 1)
	b := w.beside(func() { waits <- true })
	ctx, cancel := context.WithCancel(t.Context())
	stopped := make(chan error)
	go func() { _, err := b.Recover(ctx); stopped <- err }()
	<-waits
	cancel()
	if err := <-stopped; james.KindOf(err) != james.KindInterrupted {
		t.Errorf("stopped while it waits: %v", err)
	}
	go func() { _, err := b.Recover(t.Context()); stopped <- err }()
	<-waits
	goOn()
	if r := <-ended; r.Result != james.Committed {
		t.Errorf("%+v", r)
	}
	if err := <-stopped; err != nil || len(b.Apps()) != 1 {
		t.Errorf("after the transaction: %v, %v", err, b.Apps())
	}
}

// blocking returns a packet with bin/a whose preinst waits: begun returns when it
// does, and goOn lets it go on.
func (w *world) blocking(app string) (p *james.Packet, begun, goOn func()) {
	w.t.Helper()
	pipe := func(name string) string {
		path := filepath.Join(filepath.Dir(w.root), name)
		if err := unix.Mkfifo(path, 0o600); err != nil {
			w.t.Fatal(err)
		}
		return path
	}
	in, out := pipe("in"), pipe("out")
	p = w.pack(w.t, app, map[james.ScriptName]string{james.Preinst: `cd "$JAMES_ROOT/.."; echo > out; cat in`}, file("bin/a", "1"))
	return p, func() { must(os.ReadFile(out)) }, func() {
		if err := os.WriteFile(in, nil, 0); err != nil {
			w.t.Error(err)
		}
	}
}
