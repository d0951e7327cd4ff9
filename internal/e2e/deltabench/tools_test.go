package deltabench_test

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// tool is what ours is compared with.
type tool struct {
	name     string
	programs map[string]string // by the Debian package that has it
	measure  func(b *testing.B, p *pair) result
}

var tools = []tool{
	{"whole, xz -9", map[string]string{"xz-utils": "xz"}, measureWhole},
	{"xdelta3 -9", map[string]string{"xdelta3": "xdelta3", "xz-utils": "xz"}, perFile(
		func(old, new, patch string) []string {
			return []string{"xdelta3", "-9", "-f", "-e", "-s", old, new, patch}
		},
		func(old, patch, new string) []string { return []string{"xdelta3", "-f", "-d", "-s", old, patch, new} })},
	{"bsdiff", map[string]string{"bsdiff": "bsdiff", "xz-utils": "xz"}, perFile(
		func(old, new, patch string) []string { return []string{"bsdiff", old, new, patch} },
		func(old, patch, new string) []string { return []string{"bspatch", old, new, patch} })},
	{"zstd -19 --patch-from", map[string]string{"zstd": "zstd", "xz-utils": "xz"}, perFile(
		func(old, new, patch string) []string {
			return []string{"zstd", "-q", "-f", "-19", "--single-thread", "--patch-from=" + old, new, "-o", patch}
		},
		func(old, patch, new string) []string {
			return []string{"zstd", "-q", "-f", "-d", "--patch-from=" + old, patch, "-o", new}
		})},
	{"casync", map[string]string{"casync": "casync"}, measureCasync},
	{"OSTree", map[string]string{"ostree": "ostree"}, measureOSTree},
}

// missing says which packages there are to install, or nothing.
func (t *tool) missing() string {
	var lacks []string
	for pkg, program := range t.programs {
		if _, err := exec.LookPath(program); err != nil {
			lacks = append(lacks, pkg)
		}
	}
	if len(lacks) == 0 {
		return ""
	}
	return "apt-get install " + strings.Join(lacks, " ")
}

// packed returns the size of a tar of the files of changes, compressed by xz -9, with
// the time to make it and to unpack it.
func (p *pair) packed(b *testing.B, changes []change) result {
	b.Helper()
	if len(changes) == 0 {
		return result{}
	}
	var list strings.Builder
	for _, c := range changes {
		fmt.Fprintf(&list, "./%s\n", p.new.entries[c.new].Path)
	}
	dir, err := os.MkdirTemp(p.work, "packed")
	must(b, err)
	must(b, os.WriteFile(dir+"/list", []byte(list.String()), 0o644))
	run(b, exec.Command("tar", "-cf", dir+"/tar", "--owner=0", "--group=0", "--numeric-owner", "-C", p.new.dir, "-T", dir+"/list"))
	var r result
	r.make = run(b, exec.Command("xz", "-9", "-T1", dir+"/tar"))
	r.bytes = size(b, dir+"/tar.xz")
	must(b, os.Mkdir(dir+"/out", 0o755))
	r.apply = run(b, exec.Command("tar", "-xJf", dir+"/tar.xz", "-C", dir+"/out"))
	return r
}

func measureWhole(b *testing.B, p *pair) result { return p.packed(b, p.changes) }

// perFile measures a tool that makes a patch of each file that has a base; the others
// are packed together.
func perFile(makePatch, applyPatch func(old, patch, new string) []string) func(b *testing.B, p *pair) result {
	return func(b *testing.B, p *pair) result {
		b.Helper()
		r := p.packed(b, p.added())
		patch, out := filepath.Join(p.work, "patch"), filepath.Join(p.work, "patched")
		for _, c := range p.patched() {
			r.make += run(b, command(makePatch(p.old.path(c.old), p.new.path(c.new), patch)))
			r.bytes += size(b, patch)
			r.apply += run(b, command(applyPatch(p.old.path(c.old), patch, out)))
		}
		return r
	}
}

// measureCasync chunks both trees. A device fetches the index and the chunks that the
// old tree has not.
func measureCasync(b *testing.B, p *pair) result {
	b.Helper()
	in := func(name string) string { return filepath.Join(p.work, "casync", name) }
	must(b, os.MkdirAll(in(""), 0o755))
	run(b, exec.Command("casync", "make", "--store="+in("old"), in("old.caidx"), p.old.dir))
	var r result
	r.make = run(b, exec.Command("casync", "make", "--store="+in("new"), in("new.caidx"), p.new.dir))
	r.bytes = size(b, in("new.caidx"))
	must(b, filepath.WalkDir(in("new"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, _ := filepath.Rel(in("new"), path)
		if _, err := os.Stat(filepath.Join(in("old"), name)); err != nil {
			r.bytes += size(b, path)
		}
		return nil
	}))
	r.apply = run(b, exec.Command("casync", "extract", "--store="+in("new"), "--seed="+p.old.dir, in("new.caidx"), in("out")))
	return r
}

// measureOSTree makes a delta of all that it may, and applies it to a repository that
// has the old commit.
func measureOSTree(b *testing.B, p *pair) result {
	b.Helper()
	repo, device := filepath.Join(p.work, "ostree"), filepath.Join(p.work, "ostree-device")
	run(b, exec.Command("ostree", "--repo="+repo, "init", "--mode=archive"))
	run(b, exec.Command("ostree", "--repo="+device, "init", "--mode=bare-user"))
	commit := func(s *side) string {
		cmd := exec.Command("ostree", "--repo="+repo, "commit", "-b", "main", "--no-xattrs", "--timestamp=@0", s.dir)
		out, err := cmd.Output()
		must(b, err)
		return strings.TrimSpace(string(out))
	}
	from := commit(&p.old)
	run(b, exec.Command("ostree", "--repo="+device, "pull-local", repo, "main"))
	to := commit(&p.new)
	var r result
	file := filepath.Join(p.work, "ostree.delta")
	r.make = run(b, exec.Command("ostree", "--repo="+repo, "static-delta", "generate", "--inline", "--min-fallback-size=0",
		"--from="+from, "--to="+to, "--filename="+file))
	r.bytes = size(b, file)
	r.apply = run(b, exec.Command("ostree", "--repo="+device, "static-delta", "apply-offline", file))
	return r
}

func command(args []string) *exec.Cmd { return exec.Command(args[0], args[1:]...) }

// run runs a program and returns the time that processors worked for it.
func run(b *testing.B, cmd *exec.Cmd) time.Duration {
	b.Helper()
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		b.Fatalf("%v: %v: %s", cmd, err, stderr.String())
	}
	return cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
}

func size(b *testing.B, path string) int64 {
	b.Helper()
	info, err := os.Stat(path)
	must(b, err)
	return info.Size()
}

func must(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}
