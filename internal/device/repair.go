package device

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/trusch/jamesd/internal/config"
	"github.com/trusch/jamesd/internal/device/disk"
	"github.com/trusch/jamesd/internal/device/transfer"
	"github.com/trusch/jamesd/internal/device/txn"
	"github.com/trusch/jamesd/internal/throttle"
	"github.com/trusch/jamesd/pkg/james"
)

// repairDir is the directory in the state directory for what a repair downloads.
const repairDir = "repair"

// repair puts right what is damaged, and prints what is left.
func (in *inspection) repair(ctx context.Context) error {
	signal.Ignore(syscall.SIGTSTP) // who is suspended would keep the agent waiting
	downloads, end, err := in.downloads()
	if err != nil {
		return james.Cannot("repair", "", err)
	}
	did, err := in.repairFrom(ctx, downloads)
	in.meter.Clear()
	if err := errors.Join(err, end(err == nil && len(did.Reasons) == 0)); err != nil {
		return james.Cannot("repair", "", err)
	}
	fmt.Fprintf(in.Out, "repaired: %d\n", did.Repaired)
	left := james.NewDrift(did.Left)
	if left == nil || left.Damaged == 0 {
		return nil
	}
	hint := "run it again"
	for _, c := range did.Left {
		if c.Kind == james.ChangedConfig {
			continue
		}
		why := did.Reasons[c]
		if why == nil {
			fmt.Fprintf(in.Out, "still damaged: %s\n", c)
			continue
		}
		fmt.Fprintf(in.Out, "still damaged: %s: %s\n", c, config.Printable(why.Error()))
		hint = cmp.Or(james.HintOf(why), hint)
	}
	return james.Errorf(james.KindCorrupt, "", "%d of the damaged files could not be repaired", left.Damaged).WithHint("%s", hint)
}

// downloads opens the directory for downloads. Nobody else repairs until end is
// called, which removes them unless they are to be resumed.
func (in *inspection) downloads() (_ *disk.Disk, end func(done bool) error, err error) {
	d, err := in.root.At(filepath.Join(in.s.stateDir, repairDir))
	if err != nil {
		return nil, nil, err
	}
	lock, err := d.OpenLock("lock")
	if err != nil {
		return nil, nil, errors.Join(err, d.Close())
	}
	ok, err := lock.Try(false)
	if err == nil && !ok {
		err = james.Errorf(james.KindConflict, d.Root(), "another repair is under way")
	}
	if err != nil {
		lock.Close()
		return nil, nil, errors.Join(err, d.Close())
	}
	return d, func(done bool) error {
		defer d.Close()
		defer lock.Close()
		if done {
			return dropDownloads(in.root, in.s.stateDir)
		}
		return nil
	}, nil
}

func dropDownloads(root *disk.Disk, stateDir string) error {
	state, err := root.At(stateDir)
	if err != nil {
		return err
	}
	return errors.Join(state.RemoveAll(repairDir), state.Close())
}

// repairFrom repairs from the server.
func (in *inspection) repairFrom(ctx context.Context, downloads *disk.Disk) (*txn.Repairs, error) {
	src := &lazySource{in: in, downloads: downloads}
	defer src.close()
	return in.installer.Repair(ctx, src, txn.Verification{Progress: in.meter.Bytes("verifying")})
}

// lazySource is a source that needs a server only when it is asked for something:
// permissions and links are put right without one.
type lazySource struct {
	in        *inspection
	downloads *disk.Disk
	server    *connection
	src       *transfer.Fetcher
}

func (l *lazySource) open() (*transfer.Fetcher, error) {
	if l.src != nil {
		return l.src, nil
	}
	server, err := connect(l.in.s, l.in.log)
	if err != nil {
		return nil, err
	}
	src, err := transfer.New(transfer.Options{
		Server: server.Server, State: l.downloads, Log: l.in.log, Throttle: throttle.New(int64(l.in.s.maxRate)).Wait, Progress: l.in.meter.Bytes("fetching"),
	})
	l.server, l.src = server, src
	return src, err
}

// Manifest and what follows make it a txn.Source.
func (l *lazySource) Manifest(ctx context.Context, p *james.Packet) (*james.Manifest, error) {
	src, err := l.open()
	if err != nil {
		return nil, err
	}
	return src.Manifest(ctx, p)
}

// Dir is as in txn.Source.
func (l *lazySource) Dir() *disk.Disk { return l.downloads }

// Missing is as in txn.Source. Without a server nothing will be stored.
func (l *lazySource) Missing(o *txn.Order) int64 {
	src, err := l.open()
	if err != nil {
		return 0
	}
	return src.Missing(o)
}

// Fetch is as in txn.Source.
func (l *lazySource) Fetch(ctx context.Context, o *txn.Order) error {
	src, err := l.open()
	if err != nil {
		return err
	}
	return src.Fetch(ctx, o)
}

// Content is as in txn.Source.
func (l *lazySource) Content(d james.Digest) (string, error) {
	src, err := l.open()
	if err != nil {
		return "", err
	}
	return src.Content(d)
}

// Forget is as in txn.Source.
func (l *lazySource) Forget(contents []james.Digest) {
	if l.src != nil {
		l.src.Forget(contents)
	}
}

func (l *lazySource) close() {
	if l.server != nil {
		l.server.close()
	}
}

// dropOldDownloads removes what a repair has left that nobody is at.
func dropOldDownloads(root *disk.Disk, stateDir string) error {
	dir := filepath.Join(stateDir, repairDir)
	if exists(dir) != nil {
		return nil
	}
	d, err := root.At(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	lock, err := d.OpenLock("lock")
	if err != nil {
		return err
	}
	defer lock.Close()
	if ok, err := lock.Try(false); !ok || err != nil {
		return err
	}
	return dropDownloads(root, stateDir)
}
