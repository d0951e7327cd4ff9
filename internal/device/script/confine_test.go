package script_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/trusch/jamesd/internal/device/script"
	"github.com/trusch/jamesd/internal/need"
	"github.com/trusch/jamesd/pkg/james"
)

// kind is a way to confine a script.
type kind struct {
	name   string
	cgroup bool
	set    func(r *script.Runner)
}

var kinds = []kind{
	{"cgroup", true, func(*script.Runner) {}},
	{"cgroup of an old kernel", true, script.OldKernel},
	{"no cgroup", false, script.WithoutCgroups},
}

// need skips where this system does not have it.
func (k kind) need(t *testing.T) {
	t.Helper()
	if _, ok := script.OwnCgroup(); k.cgroup && (!ok || os.Geteuid() != 0) {
		need.Lack(t, need.Cgroups, "this process may make no cgroups of version 2")
	}
}

// alive returns the processes that are alive and were started with the run's
// mark or in its cgroup, or whose numbers are in a file "pids".
func alive(t *testing.T, c script.Call) []string {
	t.Helper()
	var all []string
	raw, _ := os.ReadFile(filepath.Join(c.Root, "pids"))
	noted := strings.Fields(string(raw))
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil || len(stats) == 0 {
		t.Fatal("no processes are seen", err)
	}
	for _, file := range stats {
		stat, err := os.ReadFile(file)
		if err != nil || bytes.Contains(stat, []byte(") Z ")) {
			continue
		}
		dir := filepath.Dir(file)
		env, _ := os.ReadFile(dir + "/environ")
		group, _ := os.ReadFile(dir + "/cgroup")
		if slices.Contains(noted, filepath.Base(dir)) || slices.Contains(strings.Split(string(env), "\x00"), "JAMES_RUN="+c.ID.String()) ||
			strings.Contains(string(group), "jamesc-"+c.ID.String()) {
			all = append(all, string(stat))
		}
	}
	return all
}

func groupDir(t *testing.T, id script.ID) string {
	t.Helper()
	own, ok := script.OwnCgroup()
	if !ok {
		t.Fatal("no cgroup")
	}
	return filepath.Join(own, "jamesc-"+id.String())
}

var owners atomic.Int64

func newID() script.ID {
	return script.ID{Owner: fmt.Sprintf("test-%d-%d", os.Getpid(), owners.Add(1)), Run: "1"}
}

// note has a shell note its number, and wait for nothing.
const note = `echo $$ >> "$JAMES_ROOT/pids"; `

// TestNothingEscapes has scripts try to leave something behind.
func TestNothingEscapes(t *testing.T) {
	type row struct {
		name, body string
		procs      int  // that are noted
		cgroupOnly bool // nothing else finds it
	}
	rows := []row{
		{"a child", `sh -c '` + note + `exec sleep 600' &`, 1, false},
		{"a session of its own", `setsid sh -c '` + note + `exec sleep 600' &`, 1, false},
		{"two forks", `(setsid sh -c 'sh -c "` + strings.ReplaceAll(note, `"`, `\"`) + `exec sleep 600" &' &)`, 1, false},
		{"no environment", `env -i JAMES_ROOT="$PWD" PATH="$PATH" sh -c '` + note + `exec sleep 600' &`, 1, false},
		{"neither", `setsid env -i JAMES_ROOT="$PWD" PATH="$PATH" sh -c '(` + note + `exec sleep 600) &' & `, 1, true},
		{"deaf", `setsid sh -c 'trap "" TERM HUP INT; ` + note + `while :; do sleep 1; done' &`, 1, false},
		{"stopped", `setsid sh -c '` + note + `kill -STOP $$; sleep 600' &`, 1, false},
		{"many", `i=0; while [ $i -lt 200 ]; do i=$((i+1)); setsid sh -c '` + note + `exec sleep 600' & done`, 200, false},
		{"growing", `cat > grow <<'END'
` + note + `i=0; while [ $i -lt 4 ]; do i=$((i+1)); [ $1 -lt 3 ] && setsid sh grow $(($1+1)) & done
sleep 600
END
sh grow 1 &`, 21, false},
	}
	for _, how := range []struct {
		name, body string
		says       string
		kind       james.Kind
	}{
		{"the agent stops", "touch ready; sleep 600", "the agent stops", james.KindInterrupted},
		{"the script fails", "exit 3", "exit status 3", james.KindConflict},
	} {
		for _, c := range rows {
			t.Run(how.name+"/"+c.name, func(t *testing.T) {
				t.Parallel()
				for _, k := range kinds {
					if c.cgroupOnly && !k.cgroup {
						continue
					}
					t.Run(k.name, func(t *testing.T) {
						t.Parallel()
						k.need(t)
						escape(t, k, "#!/bin/sh\n"+c.body+fmt.Sprintf(`
while [ $(cat pids 2>/dev/null | wc -l) -lt %d ]; do sleep 0.02; done
`, c.procs)+how.body, c.procs, how.kind, how.says)
					})
				}
			})
		}
	}
}

// TestOrphansOfAKilledScript has something kill a script itself.
func TestOrphansOfAKilledScript(t *testing.T) {
	t.Parallel()
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			k.need(t)
			escape(t, k, "setsid sh -c '"+note+"exec sleep 600' & while [ ! -s pids ]; do sleep 0.02; done; kill -9 $$", 1, james.KindInterrupted, "signal 9")
		})
	}
}

// untilReady returns a context that ends when the script has made the file
// "ready".
func untilReady(t *testing.T, c script.Call) context.Context {
	t.Helper()
	ctx, cancel := context.WithCancelCause(context.Background())
	var watching sync.WaitGroup
	watching.Go(func() {
		for ctx.Err() == nil {
			if _, err := os.Stat(filepath.Join(c.Root, "ready")); err == nil {
				cancel(errors.New("the agent stops"))
			}
			time.Sleep(5 * time.Millisecond)
		}
	})
	t.Cleanup(func() { cancel(nil); watching.Wait() })
	return ctx
}

// escape runs a script that starts so many processes and fails.
func escape(t *testing.T, k kind, body string, procs int, kind james.Kind, says string) {
	r := script.Runner{Grace: 100 * time.Millisecond}
	k.set(&r)
	c := call(t, body)
	c.ID = newID()
	_, err := r.Run(untilReady(t, c), c)
	if james.KindOf(err) != kind || !strings.Contains(err.Error(), says) {
		t.Errorf("%v", err)
	}
	raw, _ := os.ReadFile(filepath.Join(c.Root, "pids"))
	if n := len(strings.Fields(string(raw))); n < procs {
		t.Errorf("only %d processes were there", n)
	}
	if left := alive(t, c); len(left) > 0 {
		t.Errorf("alive: %s", strings.Join(left, ""))
	}
	if !k.cgroup {
		return
	}
	if _, err := os.Stat(groupDir(t, c.ID)); err == nil {
		t.Error("its cgroup is left")
	}
}

// TestLeftAlone has a script succeed: what it started goes on, and its cgroup
// goes with the next run after that.
func TestLeftAlone(t *testing.T) {
	t.Parallel()
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			k.need(t)
			var r script.Runner
			k.set(&r)
			c := call(t, "setsid sh -c '"+note+"exec sleep 600' >/dev/null 2>&1 & while [ ! -s pids ]; do sleep 0.02; done")
			c.ID = newID()
			if _, err := r.Run(context.Background(), c); err != nil {
				t.Fatal(err)
			}
			if got := alive(t, c); len(got) != 1 {
				t.Errorf("alive: %q", got)
			}
			next := call(t, "true")
			next.ID = script.ID{Owner: c.ID.Owner, Run: "2"}
			if _, err := r.Run(context.Background(), next); err != nil {
				t.Fatal(err)
			}
			if got := alive(t, c); len(got) != 1 {
				t.Errorf("alive after the next: %q", got)
			}
			endAll(t, c)
			next.ID.Run = "3"
			if _, err := r.Run(context.Background(), next); err != nil {
				t.Fatal(err)
			}
			if own, ok := script.OwnCgroup(); ok {
				if left, _ := filepath.Glob(own + "/jamesc-" + c.ID.Owner + ".*"); len(left) > 0 {
					t.Errorf("left: %q", left)
				}
			}
		})
	}
}

// endAll ends the processes whose numbers are in the file "pids".
func endAll(t *testing.T, c script.Call) {
	t.Helper()
	raw, _ := os.ReadFile(filepath.Join(c.Root, "pids"))
	for pid := range strings.FieldsSeq(string(raw)) {
		n, _ := strconv.Atoi(pid)
		if err := syscall.Kill(n, syscall.SIGKILL); err != nil {
			t.Error(err)
		}
	}
	for deadline := time.Now().Add(10 * time.Second); len(alive(t, c)) > 0 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
}

// TestEnd has another process begin a run and be killed in the middle of it.
func TestEnd(t *testing.T) {
	t.Parallel()
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			k.need(t)
			c := call(t, "#!/bin/sh\nexec >/dev/null 2>&1\n"+note+"trap 'echo told >> told' TERM\nsetsid sh -c 'trap \"\" TERM; "+note+"while :; do sleep 1; done' &\n"+
				"while [ $(cat pids | wc -l) -lt 2 ]; do sleep 0.02; done; touch ready\nwhile :; do sleep 0.1; done")
			c.ID = newID()
			agent := helper(t, "crash", c, k)
			if err := agent.Start(); err != nil {
				t.Fatal(err)
			}
			<-untilReady(t, c).Done()
			agent.Process.Kill()
			agent.Wait()
			if got := alive(t, c); len(got) < 2 {
				t.Fatalf("alive after the agent's end: %q", got)
			}
			other := c.ID
			other.Run = "other"
			r := script.Runner{Grace: 300 * time.Millisecond}
			if err := r.End(other); err != nil || len(alive(t, c)) < 2 {
				t.Fatalf("the end of another run: %v", err)
			}
			if err := r.End(c.ID); err != nil {
				t.Fatal(err)
			}
			if got := alive(t, c); len(got) > 0 {
				t.Errorf("alive: %q", got)
			}
			if raw, _ := os.ReadFile(filepath.Join(c.Root, "told")); !strings.HasPrefix(string(raw), "told\n") {
				t.Error("it was not told to end")
			}
			if k.cgroup {
				if _, err := os.Stat(groupDir(t, c.ID)); err == nil {
					t.Error("its cgroup is left")
				}
			}
			if err := r.End(c.ID); err != nil {
				t.Errorf("a second time: %v", err)
			}
		})
	}
}

// helper returns the command that runs this test's program as an agent, which
// runs the call and prints what came of it.
func helper(t *testing.T, mode string, c script.Call, k kind) *exec.Cmd {
	t.Helper()
	raw, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "-test.run=^$")
	cmd.Env = append(os.Environ(), "SCRIPT_TEST_HELPER="+mode, "SCRIPT_TEST_CALL="+string(raw), "SCRIPT_TEST_KIND="+k.name)
	return cmd
}

func TestMain(m *testing.M) {
	if os.Getenv("SCRIPT_TEST_HELPER") == "" {
		os.Exit(m.Run())
	}
	var c script.Call
	if err := json.Unmarshal([]byte(os.Getenv("SCRIPT_TEST_CALL")), &c); err != nil {
		panic(err)
	}
	r := script.Runner{Grace: 100 * time.Millisecond}
	for _, k := range kinds {
		if k.name == os.Getenv("SCRIPT_TEST_KIND") {
			k.set(&r)
		}
	}
	out, err := r.Run(context.Background(), c)
	fmt.Print(out)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// TestNothingLeaks runs scripts again and again that leave something which holds
// their output.
func TestNothingLeaks(t *testing.T) {
	runs := func(n int) {
		for range n {
			r := script.Runner{Grace: time.Millisecond}
			c := call(t, note+"sleep 600 & echo $! > pids")
			c.ID = newID()
			if _, err := r.Run(context.Background(), c); err != nil {
				t.Fatal(err)
			}
			endAll(t, c)
			if err := r.End(c.ID); err != nil {
				t.Fatal(err)
			}
		}
	}
	runs(5)
	goroutines, files, threads := count(t)
	runs(100)
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		g, f, th := count(t)
		if g <= goroutines && f <= files && th <= threads+10 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines, %d descriptors, %d threads; before %d, %d, %d", g, f, th, goroutines, files, threads)
		}
	}
}

func count(t *testing.T) (goroutines, files, threads int) {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	return runtime.NumGoroutine(), len(fds), len(tasks)
}

func TestUnderMount(t *testing.T) {
	t.Parallel()
	const mounts = "25 1 254:0 / / rw - ext4 /dev/vda rw\n" +
		"31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n"
	for _, c := range []struct{ name, mounts, path, want string }{
		{"unified", "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n", "/system.slice/jamesc.service", "/sys/fs/cgroup/system.slice/jamesc.service"},
		{"hybrid", "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n", "/", "/sys/fs/cgroup/unified"},
		{"a part of the tree", "30 23 0:26 /box/1 /sys/fs/cgroup rw - cgroup2 cgroup rw\n", "/box/1/a", "/sys/fs/cgroup/a"},
		{"another part of the tree", "30 23 0:26 /box/1 /sys/fs/cgroup rw - cgroup2 cgroup rw\n", "/box/12", ""},
		{"several", "30 23 0:26 /x /x rw - cgroup2 cgroup rw\n31 23 0:26 / /a\\040b rw - cgroup2 cgroup rw\n", "/y", "/a b/y"},
		{"outside of the namespace", "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup rw\n", "/../x", ""},
		{"version 1", "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n", "/", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got, ok := script.UnderMount([]byte(mounts+c.mounts), c.path); got != c.want || ok != (c.want != "") {
				t.Errorf("%q, %t", got, ok)
			}
		})
	}
}
