package budget_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/trusch/jamesd/internal/archive"
	"github.com/trusch/jamesd/internal/device/disk"
	"github.com/trusch/jamesd/internal/device/txn"
	"github.com/trusch/jamesd/pkg/james"
)

// measureTransaction compares the transaction alone, of an archive that needs no
// decoding, with dpkg unpacking a .deb that needs none.
func measureTransaction(b *testing.B, m *machine, t *table) {
	const what, budget = "transaction alone against dpkg --unpack, nothing compressed", "<= 1.0x"
	if why := cantUnpack(); why != "" {
		t.skip(what, budget, why)
		return
	}
	tr := m.theTree(b)
	p := localPacket(b, tr)
	ours, theirs, ratio := pairs(7, func() float64 { return p.install(b) }, func() float64 { return unpack(b, tr.plain) })
	t.note("the tree", "%s: %d files, %.0f MB; %.0f MB as in the .deb, %.0f MB as zstd", tr.name, tr.files, float64(tr.size)/1e6, float64(tr.dataSize)/1e6, float64(tr.zLen)/1e6)
	t.add(what, budget, ratio <= 1, "%.2fx (%.2f s against %.2f s)", ratio, ours, theirs)
}

// timed returns the seconds that f takes, after all that was written before is
// on the disk, so that nobody pays for another. For the same reason nothing that was
// installed is removed before the end: for some minutes ext4 gives out no inode again
// (recently_deleted in its ialloc.c), and looks at each of them whenever a file is made.
func timed(f func()) float64 {
	syscall.Sync()
	begin := time.Now()
	f()
	return time.Since(begin).Seconds()
}

// unpack unpacks a .deb into a new root.
func unpack(b *testing.B, deb string) float64 {
	b.Helper()
	root := b.TempDir()
	for _, file := range []string{"status", "available", "info/format", "updates/"} {
		if file[len(file)-1] == '/' {
			must(b, os.MkdirAll(root+"/var/lib/dpkg/"+file, 0o755))
			continue
		}
		content := ""
		if file == "info/format" {
			content = "1\n"
		}
		must(b, writeFile(root+"/var/lib/dpkg/"+file, []byte(content)))
	}
	cmd := exec.Command("dpkg", "--root="+root, "--log=/dev/null", "--force-depends", "--force-architecture", "--unpack", deb)
	return timed(func() { run(b, cmd) })
}

// local is a packet that needs no server: it is its own txn.Source. What is fetched
// is written while it is measured, out of a plain archive.
type local struct {
	packet   *james.Packet
	manifest *james.Manifest
	archive  string
	contents *disk.Disk // of the device that it is installed on
}

func localPacket(b *testing.B, tr *tree) *local {
	b.Helper()
	f, err := os.Open(tr.tar)
	must(b, err)
	defer f.Close()
	entries, _, err := archive.Scan(b.Context(), f, archive.DefaultLimits())
	must(b, err)
	mf := &james.Manifest{Name: "bench", Tags: james.MustTags("v1"), Entries: entries}
	_, digest, err := mf.Encode()
	must(b, err)
	return &local{packet: &james.Packet{Digest: digest, Name: mf.Name, Tags: mf.Tags}, manifest: mf, archive: tr.tar}
}

func (l *local) Manifest(context.Context, *james.Packet) (*james.Manifest, error) {
	return l.manifest, nil
}

func (l *local) Dir() *disk.Disk { return l.contents }

func (l *local) Missing(o *txn.Order) (n int64) {
	for _, w := range o.Wants {
		for _, k := range w.Entries {
			n += w.Manifest.Entries[k].Size
		}
	}
	return n
}

// Fetch stores what is ordered, as a transfer does.
func (l *local) Fetch(ctx context.Context, o *txn.Order) error {
	in, err := os.Open(l.archive)
	if err != nil {
		return err
	}
	defer in.Close()
	wanted := map[james.Path]bool{}
	for _, k := range o.Wants[0].Entries {
		wanted[l.manifest.Entries[k].Path] = true
	}
	own := disk.Meta{Mode: 0o600}
	return archive.Extract(ctx, in, l.manifest, func(e *james.Entry, content io.Reader) error {
		if !wanted[e.Path] {
			return nil
		}
		o.Use(e.Size)
		return l.contents.WriteNew(e.Digest.String(), content, disk.New{Meta: own, Size: e.Size, Sparse: e.Sparse})
	})
}

func (l *local) Content(d james.Digest) (string, error) { return d.String(), nil }

func (l *local) Forget(contents []james.Digest) {
	for _, d := range contents {
		_ = l.contents.RemoveAll(d.String())
	}
}

// install carries the plan out on a new device.
func (l *local) install(b *testing.B) float64 {
	b.Helper()
	base := b.TempDir()
	return timed(func() { must(b, l.apply(b, filepath.Join(base, "root"), filepath.Join(base, "state"))) })
}

func (l *local) apply(b *testing.B, root, state string) error {
	d, err := disk.Open(root, disk.Options{})
	if err != nil {
		return err
	}
	defer d.Close()
	in, err := txn.Open(txn.Options{Disk: d, StateDir: state})
	if err != nil {
		return err
	}
	defer in.Close()
	if l.contents, err = d.At(filepath.Join(state, "contents")); err != nil {
		return err
	}
	defer l.contents.Close()
	if _, err := in.Recover(b.Context()); err != nil {
		return err
	}
	plan := james.NewPlan(1, []james.Step{{New: l.packet}}, nil)
	r, err := in.Apply(b.Context(), &plan, l)
	if err == nil && r.Result != james.Committed {
		err = fmt.Errorf("the transaction is %s: %s", r.Result, r.Error)
	}
	return err
}
