package script

import (
	"bufio"
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// cgroup is the control group (version 2) of one run. What a script starts is in
// it whatever it does: a session of its own, two forks, another environment. It
// limits nothing; it is there to be killed as a whole. A nil *cgroup is that of
// a run that has none.
type cgroup struct {
	dir    string
	kernel kernel
}

// groupPrefix begins the name of every cgroup that is made here.
const groupPrefix = "jamesc-"

func groupName(id ID) string { return groupPrefix + id.String() }

// newCgroup makes the cgroup of a run below the agent's own, nil where it cannot:
// there is no version 2, or it is not the agent's to write.
func newCgroup(id ID, k kernel) *cgroup {
	own, ok := ownCgroup()
	if !ok || k.noCgroup {
		return nil
	}
	g := &cgroup{filepath.Join(own, groupName(id)), k}
	if err := os.Mkdir(g.dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil
	}
	return g
}

// findCgroup returns the cgroup of a run that was begun before, also where the
// agent is in another one today: then processes of the run tell where it is.
func findCgroup(id ID, members []process) *cgroup {
	if own, ok := ownCgroup(); ok {
		if g := (&cgroup{dir: filepath.Join(own, groupName(id))}); g.exists() {
			return g
		}
	}
	for _, p := range members {
		if dir, ok := cgroupOf(strconv.Itoa(p.pid)); ok && filepath.Base(dir) == groupName(id) {
			return &cgroup{dir: dir}
		}
	}
	return nil
}

func (g *cgroup) exists() bool {
	_, err := os.Stat(g.dir)
	return err == nil
}

// open returns a descriptor to start a process in the cgroup with.
func (g *cgroup) open() (int, error) {
	if g == nil || g.kernel.noCgroupStart {
		return -1, errors.ErrUnsupported
	}
	return unix.Open(g.dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
}

// add moves a process into the cgroup.
func (g *cgroup) add(pid int) error {
	return os.WriteFile(filepath.Join(g.dir, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0)
}

// pids returns the living processes of the cgroup and of those below it.
func (g *cgroup) pids() []int {
	if g == nil {
		return nil
	}
	var all []int
	_ = filepath.WalkDir(g.dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.IsDir() {
			return nil // one that is gone has no processes
		}
		raw, _ := os.ReadFile(filepath.Join(path, "cgroup.procs"))
		for line := range strings.FieldsSeq(string(raw)) {
			if pid, err := strconv.Atoi(line); err == nil && pid > 0 {
				all = append(all, pid)
			}
		}
		return nil
	})
	return all
}

// kill kills all processes of the cgroup at once. Before Linux 5.14 it can only
// be stopped as a whole, which keeps it from growing while they are killed one by
// one.
func (g *cgroup) kill() {
	if g == nil {
		return
	}
	if !g.kernel.noCgroupKill && os.WriteFile(filepath.Join(g.dir, "cgroup.kill"), []byte("1"), 0) == nil {
		return
	}
	freeze := filepath.Join(g.dir, "cgroup.freeze")
	_ = os.WriteFile(freeze, []byte("1"), 0) // before Linux 5.2 there is none
	for _, pid := range g.pids() {
		_ = unix.Kill(pid, unix.SIGKILL)
	}
	_ = os.WriteFile(freeze, []byte("0"), 0)
}

// remove removes the cgroup if nothing runs in it any more.
func (g *cgroup) remove() {
	if g == nil {
		return
	}
	var dirs []string
	_ = filepath.WalkDir(g.dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.IsDir() {
			dirs = append(dirs, path)
		}
		return nil
	})
	for _, dir := range slices.Backward(dirs) {
		_ = unix.Rmdir(dir) // refused while something runs in it
	}
}

// sweep removes the cgroups of the owner's runs in which nothing runs any more.
func sweep(owner string) {
	own, ok := ownCgroup()
	if !ok {
		return
	}
	entries, err := os.ReadDir(own)
	if err != nil {
		return
	}
	for _, e := range entries {
		if e.IsDir() && strings.HasPrefix(e.Name(), groupPrefix+owner+".") {
			(&cgroup{dir: filepath.Join(own, e.Name())}).remove()
		}
	}
}

// ownCgroup returns the directory of the agent's cgroup.
func ownCgroup() (dir string, ok bool) {
	dir, ok = cgroupOf("self")
	if !ok {
		return "", false
	}
	raw, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	if err != nil {
		return "", false
	}
	// What is mounted there may be the view of another container.
	return dir, slices.Contains(strings.Fields(string(raw)), strconv.Itoa(os.Getpid()))
}

// cgroupOf returns the directory of the cgroup, version 2, of a process.
func cgroupOf(pid string) (dir string, ok bool) {
	raw, err := os.ReadFile("/proc/" + pid + "/cgroup")
	if err != nil {
		return "", false
	}
	for line := range strings.Lines(string(raw)) {
		if path, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "0::"); ok {
			mounts, err := os.ReadFile("/proc/self/mountinfo")
			if err != nil {
				return "", false
			}
			return underMount(mounts, path)
		}
	}
	return "", false
}

// underMount returns where the cgroup of that path is among the mounts, which
// are as in /proc/self/mountinfo. In a hybrid layout version 2 is mounted below
// the others; in a container the mount may show a part of the tree.
func underMount(mounts []byte, path string) (dir string, ok bool) {
	lines := bufio.NewScanner(bytes.NewReader(mounts))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		about, kind, _ := strings.Cut(lines.Text(), " - ")
		fields := strings.Fields(about)
		if len(fields) < 5 || !strings.HasPrefix(kind, "cgroup2 ") {
			continue
		}
		root, point := unescape(fields[3]), unescape(fields[4])
		rel, err := filepath.Rel(root, path)
		if err != nil || rel == ".." || strings.HasPrefix(rel, "../") || strings.HasPrefix(path, "/../") {
			continue // not in what is mounted there
		}
		return filepath.Join(point, rel), true
	}
	return "", false
}

// unescape undoes the octal numbers that stand for blanks in /proc/self/mountinfo.
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}
