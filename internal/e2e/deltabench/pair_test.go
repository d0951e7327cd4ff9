package deltabench_test

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/trusch/jamesd/internal/archive"
	"github.com/trusch/jamesd/internal/delta"
	"github.com/trusch/jamesd/pkg/james"
)

// upgrade is two versions of a Debian package.
type upgrade struct{ name, old, new string }

var upgrades = []upgrade{
	{"nginx", "nginx=1.22.1-9+deb12u9", "nginx=1.22.1-9+deb12u10"},
	{"openssl", "openssl=3.0.17-1~deb12u2", "openssl=3.0.22-1~deb12u2"},
	{"mosquitto", "mosquitto=2.0.11-1.2+deb12u1", "mosquitto=2.0.11-1.2+deb12u2"},
	{"libssl3", "libssl3=3.0.17-1~deb12u2", "libssl3=3.0.22-1~deb12u2"},
	{"python3.11-minimal", "python3.11-minimal=3.11.2-6+deb12u8", "python3.11-minimal=3.11.2-6+deb12u9"},
	{"libc6", "libc6=2.36-9+deb12u7", "libc6=2.36-9+deb12u14"},
	{"systemd", "systemd=252.38-1~deb12u1", "systemd=252.39-1~deb12u2"},
	{"cloud kernel", "linux-image-6.1.0-55-cloud-amd64=6.1.192-1", "linux-image-6.1.0-56-cloud-amd64=6.1.192-2"},
}

// cache is where packages are kept that apt-get has fetched.
const cache = "../../../build/deltabench"

// beside, as elsewhere in the tests, may have published packages.
const beside = "../../../../shared/realdata"

// fetch returns the .deb of NAME=VERSION.
func fetch(spec string) (string, error) {
	name, version, _ := bytes.Cut([]byte(spec), []byte("="))
	pattern := fmt.Sprintf("%s_%s_*.deb", name, version)
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", err
	}
	for _, dir := range []string{cache, beside} {
		// Where a colon is, apt-get writes %3a; none of these has an epoch.
		if found, _ := filepath.Glob(filepath.Join(dir, pattern)); len(found) > 0 {
			return filepath.Abs(found[0])
		}
	}
	cmd := exec.Command("apt-get", "download", spec)
	cmd.Dir = cache
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("apt-get download %s: %v: %s", spec, err, bytes.TrimSpace(out))
	}
	found, _ := filepath.Glob(filepath.Join(cache, pattern))
	if len(found) == 0 {
		return "", fmt.Errorf("apt-get download %s has written no %s", spec, pattern)
	}
	return filepath.Abs(found[0])
}

// side is one version, unpacked.
type side struct {
	dir     string
	entries []james.Entry
}

func (s *side) path(entry int) string { return filepath.Join(s.dir, string(s.entries[entry].Path)) }

func (s *side) read(b *testing.B, entry int) []byte {
	b.Helper()
	content, err := os.ReadFile(s.path(entry))
	must(b, err)
	return content
}

// pair is an upgrade, as it is measured.
type pair struct {
	name     string
	old, new side
	changes  []change // files whose contents a device with the old version lacks
	work     string   // for what is made
}

// change is a file of the new version, and the file of the old one that it is
// patched from, -1 where there is none.
type change struct{ new, old int }

func (p *pair) patched() []change {
	return slices.DeleteFunc(slices.Clone(p.changes), func(c change) bool { return c.old < 0 })
}

// added are the files that no tool has a base for.
func (p *pair) added() []change {
	return slices.DeleteFunc(slices.Clone(p.changes), func(c change) bool { return c.old >= 0 })
}

// open unpacks both versions.
func (u upgrade) open(b *testing.B) (*pair, error) {
	work := b.TempDir()
	p := &pair{name: u.name, work: work}
	for spec, s := range map[string]*side{u.old: &p.old, u.new: &p.new} {
		deb, err := fetch(spec)
		if err != nil {
			return nil, err
		}
		s.dir = filepath.Join(work, spec)
		run(b, exec.Command("dpkg-deb", "-x", deb, s.dir))
		var tar bytes.Buffer
		cmd := exec.Command("dpkg-deb", "--fsys-tarfile", deb)
		cmd.Stdout = &tar
		run(b, cmd)
		s.entries, _, err = archive.Scan(context.Background(), &tar, archive.Limits{})
		must(b, err)
	}
	p.pairUp(b)
	return p, nil
}

// pairUp finds what has changed. Of several bases the one is taken whose patch is
// smallest, so that every tool has the same.
func (p *pair) pairUp(b *testing.B) {
	b.Helper()
	base := make(map[int]int)
	for _, found := range delta.Pair(p.old.entries, p.new.entries) {
		base[found.New] = found.Old[0]
		if len(found.Old) > 1 {
			base[found.New] = p.best(b, found)
		}
	}
	known := make(map[james.Digest]bool)
	for i := range p.old.entries {
		known[p.old.entries[i].Digest] = true
	}
	for i := range p.new.entries {
		e := &p.new.entries[i]
		if e.Type != james.TypeFile || known[e.Digest] {
			continue
		}
		known[e.Digest] = true
		old, ok := base[i]
		if !ok {
			old = -1
		}
		p.changes = append(p.changes, change{new: i, old: old})
	}
}

func (p *pair) best(b *testing.B, found delta.Pairing) int {
	b.Helper()
	return slices.MinFunc(found.Old, func(x, y int) int {
		return cmp.Compare(p.patch(b, change{found.New, x}).Encoded(), p.patch(b, change{found.New, y}).Encoded())
	})
}

func (p *pair) patch(b *testing.B, c change) *delta.Patch {
	b.Helper()
	patch, err := delta.Make(context.Background(), p.old.read(b, c.old), p.new.read(b, c.new), delta.Limits{})
	must(b, err)
	return patch
}
