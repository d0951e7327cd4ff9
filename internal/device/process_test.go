package device_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/trusch/jamesd/pkg/james"
)

// programs are two builds of jamesc, of the commits "old" and "new".
var programs = sync.OnceValues(func() (map[string][]byte, error) {
	dir, err := os.MkdirTemp("", "jamesc-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	built := map[string][]byte{}
	for _, commit := range []string{"old", "new"} {
		file := filepath.Join(dir, commit)
		cmd := exec.Command("go", "build", "-o", file, "-ldflags", "-s -w -X github.com/trusch/jamesd/internal/version.commit="+commit, "../../cmd/jamesc")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("%w: %s", err, out)
		}
		if built[commit], err = os.ReadFile(file); err != nil {
			return nil, err
		}
	}
	return built, nil
})

func program(t *testing.T, commit string) []byte {
	t.Helper()
	built, err := programs()
	check(t, err)
	return built[commit]
}

// The agent must fit on small devices, with room to grow.
func TestSizeOfTheProgram(t *testing.T) {
	t.Parallel()
	if n := len(program(t, "new")); n > 12<<20 {
		t.Errorf("jamesc has %d bytes, the limit is 12 MiB", n)
	}
}

// daemon is a jamesc in a process of its own, started from its install root.
type daemon struct {
	*running
	cmd *exec.Cmd
}

func (w *world) daemon() *daemon {
	w.t.Helper()
	file := w.path("root/usr/bin/jamesc")
	if _, err := os.Stat(file); err != nil {
		check(w.t, os.MkdirAll(filepath.Dir(file), 0o755))
		bytes := program(w.t, "old")
		syscall.ForkLock.RLock() // a child of another test that had the file open would make it busy
		err := os.WriteFile(file, bytes, 0o755)
		syscall.ForkLock.RUnlock()
		check(w.t, err)
	}
	d := &daemon{running: &running{w: w, log: &lines{}, code: make(chan int, 1)}, cmd: exec.Command(file, w.args()...)}
	d.cmd.Stdout, d.cmd.Stderr = d.log, d.log
	d.cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+w.path("notify"))
	check(w.t, d.cmd.Start())
	ended := make(chan struct{})
	go func() { d.cmd.Wait(); d.code <- d.cmd.ProcessState.ExitCode(); close(ended) }()
	w.t.Cleanup(func() { d.cmd.Process.Kill(); <-ended })
	return d
}

func (d *daemon) exits(want int) {
	d.w.t.Helper()
	select {
	case code := <-d.code:
		if code != want {
			d.w.t.Errorf("exit code %d, want %d:\n%s", code, want, d.log)
		}
	case <-time.After(patience):
		d.w.t.Fatalf("does not end:\n%s", d.log)
	}
}

// systemd listens for what the agent tells it.
func (w *world) systemd() *lines {
	w.t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: w.path("notify"), Net: "unixgram"})
	check(w.t, err)
	said := &lines{}
	var listening sync.WaitGroup
	listening.Go(func() {
		buf := make([]byte, 4096)
		for {
			n, err := conn.Read(buf)
			if err != nil {
				return
			}
			fmt.Fprintf(said, "%s\n", buf[:n])
		}
	})
	w.t.Cleanup(func() { conn.Close(); listening.Wait() })
	return said
}

func (w *world) await(what string, ok func(james.DeviceStatus) bool) {
	w.t.Helper()
	var last james.DeviceStatus
	for limit := time.Now().Add(patience); time.Now().Before(limit); time.Sleep(20 * time.Millisecond) {
		d, err := w.fleet.Device(w.t.Context(), id)
		if err == nil && ok(d) {
			return
		}
		last = d
	}
	w.t.Fatalf("%s does not happen; device is %+v", what, last)
}

func TestAgentUpgradesAndRemovesItself(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	systemd := w.systemd()
	w.upload("jamesc", "v2", map[string]file{"usr/bin/jamesc": {content: string(program(t, "new")), mode: 0o755}}, nil)
	w.upload("jamesc", "v3", map[string]file{"usr/bin/jamesc": {content: "\x7fELF of another machine", mode: 0o755}}, nil)
	d := w.daemon()
	w.await("the first poll", func(s james.DeviceStatus) bool { return strings.HasPrefix(s.Agent, "commit old ") })

	w.want("jamesc v2")
	w.await("the upgrade", func(s james.DeviceStatus) bool { return strings.HasPrefix(s.Agent, "commit new ") && s.InSync })
	if r := w.device().Report; r.Result != james.Committed {
		t.Errorf("report is %+v", r)
	}
	systemd.await(t, `(?s)READY=1.*RELOADING=1.*READY=1`)

	w.want("jamesc v3")
	w.await("the refusal", func(s james.DeviceStatus) bool { return s.Report.Result == james.Refused })
	if r := w.device().Report; !strings.Contains(r.Error, "does not run on this device") {
		t.Errorf("report is %+v", r)
	}

	w.want()
	d.exits(0)
	if s := w.device(); len(s.Apps) != 0 || !s.InSync || s.Report.Result != james.Committed {
		t.Errorf("device is %+v", s)
	}
	d.says("not installed any more")
	if _, err := os.Stat(w.path("root/usr/bin/jamesc")); err == nil {
		t.Error("usr/bin/jamesc is still there")
	}
}

func TestAgentThatIsKilled(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.upload("app", "v1", map[string]file{"opt/app": {content: "1"}}, map[james.ScriptName]string{
		james.Postinst: "touch \"$JAMES_ROOT/begun\"; while [ ! -e \"$JAMES_ROOT/go\" ]; do sleep 0.05; done\n"})
	w.want("app v1")
	d := w.daemon()
	appears(t, w.path("root/begun"))
	w.holds("opt/app", "1")
	check(t, d.cmd.Process.Signal(syscall.SIGKILL))
	<-d.code

	w.link.setDown(true)
	w.once(1)
	w.holds("opt/app", "")
	w.link.setDown(false)
	check(t, os.WriteFile(w.path("root/go"), nil, 0o644))
	events := func() (n int) {
		all, err := w.fleet.Events(t.Context(), 0, 100, 0)
		check(t, err)
		for _, e := range all {
			if e.Kind == james.EventReport && strings.Contains(e.Text, "interruption") {
				n++
			}
		}
		return n
	}
	w.once(0)
	if n := events(); n != 1 {
		t.Errorf("%d reports of the crash, want 1", n)
	}
	w.holds("opt/app", "1")
	if s := w.device(); !s.InSync || s.Report.Result != james.Committed || s.Report.Attempts != 2 {
		t.Errorf("device is %+v, report %+v", s, s.Report)
	}
}

func TestAgentIsTerminated(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	systemd := w.systemd()
	d := w.daemon()
	d.says("polling")
	w.await("the first poll", func(s james.DeviceStatus) bool { return s.Agent != "" })
	check(t, d.cmd.Process.Signal(syscall.SIGTERM))
	d.exits(0)
	systemd.await(t, "STOPPING=1")
}

// A waiting agent must be small, whatever it did before.
func TestMemoryOfAWaitingAgent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	files := map[string]file{}
	for i := range 1000 {
		files[fmt.Sprintf("opt/files/%d", i)] = file{content: strings.Repeat("x", 5000)}
	}
	w.upload("app", "v1", files, nil)
	d := w.daemon()
	w.want("app v1")
	w.await("the install", func(s james.DeviceStatus) bool { return s.InSync && len(s.Apps) == 1 })
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", d.cmd.Process.Pid))
	check(t, err)
	for line := range strings.Lines(string(status)) {
		var kib int
		if n, _ := fmt.Sscanf(line, "VmRSS: %d kB", &kib); n == 1 {
			t.Logf("resident: %d KiB", kib)
			if kib > 20<<10 {
				t.Errorf("%d KiB are resident, the limit is 20 MiB", kib)
			}
		}
	}
}
