package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/trusch/jamesd/internal/e2e/powercut/load"
)

// world is everything that a run needs.
type world struct {
	options
	tools
	work    string // directory of this run
	sockets string // short: the path of a socket is limited
	out     *printer
	kernel  *kernel
	initrd  string
	server  *server
	states  []load.State
	devices []*device
}

// layouts are the devices: the sizes of their disks in MB. The second disk, where
// there is one, is mounted at /var, so that the agent's state and a part of the
// packets lie on another file system than the rest.
var layouts = [][]int{{256}, {192, 128}}

// prepare makes everything that is needed before the first machine is turned on.
func (w *world) prepare(ctx context.Context, build string) error {
	var err error
	if w.kernel, err = findKernel(ctx, filepath.Join(build, "kernel")); err != nil {
		return err
	}
	if w.sockets, err = os.MkdirTemp("", "powercut"); err != nil {
		return err
	}
	w.out.line("kernel %s; building the programs", w.kernel.release)
	if err := w.compile(ctx); err != nil {
		return err
	}
	w.states = load.States()
	var ids []string
	for n, sizes := range layouts {
		d, err := w.newDevice(ctx, fmt.Sprintf("device-%d", n+1), n, sizes)
		if err != nil {
			return err
		}
		ids = append(ids, d.id)
		w.devices = append(w.devices, d)
	}
	certs := filepath.Join(w.work, "pki")
	if err := os.Mkdir(certs, 0o700); err != nil {
		return err
	}
	if err := makeCertificates(certs, ids); err != nil {
		return err
	}
	w.initrd = filepath.Join(w.work, "initramfs")
	if err := writeInitramfs(w.initrd, filepath.Join(w.work, "bin"), certs, ids, w.kernel); err != nil {
		return err
	}
	if w.server, err = startServer(ctx, filepath.Join(w.work, "bin/jamesd"), w.work); err != nil {
		return err
	}
	return w.server.addPackets(ctx, w.states)
}

// compile builds jamesd for this machine, and the rest for the virtual one.
func (w *world) compile(ctx context.Context) error {
	bin := filepath.Join(w.work, "bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		return err
	}
	const module = "github.com/trusch/jamesd/"
	guest := []string{"GOOS=linux", "GOARCH=amd64"}
	programs := []struct {
		pkg string
		env []string
	}{{"cmd/jamesd", nil}, {"internal/e2e/powercut/guest", guest}, {"cmd/jamesc", guest}}
	for _, p := range programs {
		if p.pkg == "cmd/jamesc" && w.agent != "" {
			_, err := output(ctx, "", w.tools["cp"], w.agent, filepath.Join(bin, "jamesc"))
			return err
		}
		cmd := exec.CommandContext(ctx, w.tools["go"], "build", "-trimpath", "-ldflags", "-s -w", "-o", bin+"/", module+p.pkg)
		cmd.Env = append(append(os.Environ(), "CGO_ENABLED=0"), p.env...)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s does not build: %w: %s", p.pkg, err, strings.TrimSpace(string(out)))
		}
	}
	return nil
}

// close ends what still runs.
func (w *world) close() {
	for _, d := range w.devices {
		d.close()
	}
	if w.server != nil {
		w.server.stop()
	}
	if w.sockets != "" {
		os.RemoveAll(w.sockets)
	}
}

// cut has all devices cut at once, each its part of the number, until all is done
// or one has lost something.
func (w *world) cut(ctx context.Context) (*results, error) {
	r := &results{want: w.cuts, world: w}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	errs := make(chan error)
	for n, d := range w.devices {
		count := w.cuts / len(w.devices)
		if n < w.cuts%len(w.devices) {
			count++
		}
		go func() {
			err := d.run(ctx, count, r)
			if err != nil {
				err = fmt.Errorf("%s: %w", d.id, err)
				stop(err)
			}
			errs <- err
		}()
	}
	var first error
	for range w.devices {
		if err := <-errs; err != nil && first == nil {
			first = err
		}
	}
	if errors.Is(first, errLost) {
		first = nil // the table tells
	}
	return r, first
}
