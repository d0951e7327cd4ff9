package budget_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/trusch/jamesd/internal/archive"
)

// published, in the environment, names a .deb whose tree is used instead of the
// one that is made here.
const published = "JAMES_BENCH_DEB"

// tree is one tree of files as everything that is compared.
type tree struct {
	name           string
	dir            string
	tar, zstd      string // archives of packets
	deb, plain     string // .deb, compressed as published, and not at all
	data           string // the compressed archive that deb holds
	size, files    int64
	dataSize, zLen int64
}

// cantUnpack says why dpkg cannot be compared with here, or nothing.
func cantUnpack() string {
	for _, program := range []string{"dpkg", "dpkg-deb"} {
		if _, err := exec.LookPath(program); err != nil {
			return "there is no " + program
		}
	}
	if os.Geteuid() != 0 {
		return "dpkg --unpack needs root"
	}
	return ""
}

// theTree returns the tree, made once.
func (m *machine) theTree(b *testing.B) *tree {
	b.Helper()
	if m.tree != nil {
		return m.tree
	}
	base, err := os.MkdirTemp(filepath.Dir(m.bin), "tree")
	must(b, err)
	t := &tree{name: "made here", dir: base + "/dir", deb: os.Getenv(published), plain: base + "/plain.deb"}
	if t.deb != "" {
		t.name = filepath.Base(t.deb)
		run(b, exec.Command("dpkg-deb", "-x", t.deb, t.dir))
	} else {
		makeTree(b, t.dir)
	}
	t.tar, t.zstd = base+"/packet.tar", base+"/packet.tar.zst"
	saveArchive(b, t.dir, t.tar, archive.FormatTar)
	saveArchive(b, t.dir, t.zstd, archive.FormatZstd)
	must(b, filepath.WalkDir(t.dir, func(_ string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		t.files++
		t.size += info.Size()
		return err
	}))
	t.pack(b, base)
	m.tree = t
	return t
}

// pack makes the .deb files, and takes the archive out of the compressed one. Of
// a published one only that archive is kept: its scripts are for a whole system.
func (t *tree) pack(b *testing.B, base string) {
	b.Helper()
	must(b, writeFile(t.dir+"/DEBIAN/control", []byte("Package: bench\nVersion: 1\nArchitecture: all\nMaintainer: bench <bench@localhost>\nDescription: bench\n")))
	run(b, exec.Command("dpkg-deb", "--root-owner-group", "-Znone", "-b", t.dir, t.plain))
	from := t.deb
	if from == "" {
		from = base + "/own.deb"
		run(b, exec.Command("dpkg-deb", "--root-owner-group", "-Zxz", "-b", t.dir, from))
	}
	control, data := readDeb(b, t.plain)[1], readDeb(b, from)[2]
	t.deb, t.data = base+"/published.deb", base+"/data"
	must(b, writeDeb(t.deb, control, data))
	must(b, writeFile(t.data, data.content))
	info, err := os.Stat(t.zstd)
	must(b, err)
	t.dataSize, t.zLen = int64(len(data.content)), info.Size()
}

// makeTree makes a tree of the shape of a cloud kernel: 1,144 files of 107 MB in
// 190 directories, of bytes that compress as well as its do.
func makeTree(b *testing.B, dir string) {
	b.Helper()
	const files = 1144
	shape, left := rand.New(rand.NewPCG(1, 2)), 107_000_000
	content := newProse(3)
	for n := range files {
		size := min(left, int(shape.ExpFloat64()*60e3)+2000)
		switch {
		case n < 3:
			size = 13 << 20
		case n == files-1:
			size = left
		}
		left -= size
		body := make([]byte, size)
		content.fill(body)
		name := fmt.Sprintf("usr/lib/modules/6.1.0/kernel/d%03d/f%04d.ko", n/6, n)
		must(b, writeFile(filepath.Join(dir, name), body))
	}
}

// prose makes bytes that repeat themselves about as machine code does.
type prose struct {
	rnd   *rand.Rand
	words [][]byte
}

func newProse(seed uint64) *prose {
	p := &prose{rnd: rand.New(rand.NewPCG(seed, seed))}
	for range 4096 {
		w := make([]byte, 4+p.rnd.IntN(28))
		for i := range w {
			w[i] = byte(p.rnd.Uint32())
		}
		p.words = append(p.words, w)
	}
	return p
}

func (p *prose) fill(b []byte) {
	for len(b) > 0 {
		w := p.words[int(float64(len(p.words))*p.rnd.Float64()*p.rnd.Float64()*p.rnd.Float64())]
		b = b[copy(b, w):]
		for range min(len(b), p.rnd.IntN(4)) {
			b[0] = byte(p.rnd.Uint32())
			b = b[1:]
		}
	}
}

func writeFile(name string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return os.WriteFile(name, content, 0o644)
}

// buildArchive returns the archive of a small tree.
func buildArchive(b *testing.B, dir, format string) io.Reader {
	b.Helper()
	var buf bytes.Buffer
	must(b, archive.Build(b.Context(), &buf, dir, archive.BuildOptions{Format: format, Time: time.Now()}))
	return &buf
}

// saveArchive writes the archive of a tree to a file.
func saveArchive(b *testing.B, dir, file, format string) {
	b.Helper()
	f, err := os.Create(file)
	must(b, err)
	must(b, archive.Build(b.Context(), f, dir, archive.BuildOptions{Format: format, Time: time.Now()}))
	must(b, f.Close())
}
