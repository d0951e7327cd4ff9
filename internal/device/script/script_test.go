package script_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/trusch/jamesd/internal/device/disk"
	"github.com/trusch/jamesd/internal/device/script"
	"github.com/trusch/jamesd/internal/need"
	"github.com/trusch/jamesd/pkg/james"
)

// call writes body as a script and returns the call of it.
func call(t *testing.T, body string) script.Call {
	t.Helper()
	d, err := disk.Open(t.TempDir(), disk.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := script.Write(d, "script", []byte(body)); err != nil {
		t.Fatal(err)
	}
	return script.Call{
		Name: james.Postinst, App: james.App{Name: "demo", Tags: james.MustTags("v2,armv7l")}, File: d.Abs("script"),
		Action: james.ActionUpgrade, Root: t.TempDir(),
	}
}

func TestEnvironment(t *testing.T) {
	t.Setenv("JAMES_SECRET", "of the agent")
	r := script.Runner{Path: "/usr/bin:/bin", Home: "/nowhere"}
	c := call(t, "#!/bin/sh\necho \"$# $1\"; pwd; env | sort")
	c.ID = script.ID{Owner: "me", Run: "7"}
	c.Old, c.New = &james.App{Name: "demo", Tags: james.MustTags("v1")}, &c.App
	out, err := r.Run(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"1 upgrade", c.Root, "HOME=/nowhere", "JAMES_ACTION=upgrade", "JAMES_NEW_TAGS=armv7l,v2", "JAMES_OLD_TAGS=v1",
		"JAMES_PACKET=demo", "JAMES_ROOT=" + c.Root, "JAMES_RUN=me.7", "JAMES_TAGS=armv7l,v2", "LANG=C.UTF-8", "PATH=/usr/bin:/bin", "PWD=" + c.Root,
	}
	got := slices.DeleteFunc(strings.Split(strings.TrimSpace(out), "\n"), func(s string) bool { return strings.HasPrefix(s, "_=") })
	if !slices.Equal(got, want) {
		t.Errorf("the script sees\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	c = call(t, "#!/bin/sh\nenv")
	c.Rerun, c.Try = true, 3
	out, err = r.Run(context.Background(), c)
	if err != nil || !strings.Contains(out, "JAMES_TRY=3\n") || !strings.Contains(out, "JAMES_RERUN=1\n") || strings.Contains(out, "_TAGS=\n") || strings.Contains(out, "JAMES_OLD_TAGS") {
		t.Errorf("a second run of an install sees %v\n%s", err, out)
	}
}

func TestRun(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, body string
		out        string     // exactly, where not ""
		kind       james.Kind // "" is success
		says       string
	}{
		{"without an interpreter", "echo plain $0 | sed 's,/.*/,,'", "plain script\n", "", ""},
		{"with an interpreter", "#!/bin/sh -e\nfalse\necho not reached", "", james.KindConflict, "exit status 1"},
		{"both streams", "echo one; echo two >&2", "one\ntwo\n", "", ""},
		{"exit status", "echo last words; exit 42", "last words\n", james.KindConflict, "script postinst of demo armv7l,v2: exit status 42 (last words)"},
		{"a signal", "kill -9 $$", "", james.KindInterrupted, "signal 9 (killed)"},
		{"lines of another system", "#!/bin/sh\r\necho\r\n", "", james.KindInvalid, "carriage returns"},
		{"no interpreter", "#!/no/such/thing\n", "", james.KindInvalid, "/no/such/thing is not on this device"},
		{"another machine's program", "\x7fELF\x02garbage", "", james.KindInvalid, "another kind of machine"},
		{"no input", "cat", "", "", ""},
		{"not UTF-8", `printf 'a\377b\000c'`, "a?b?c", "", ""},
		{"a binary", binary, "", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var r script.Runner
			out, err := r.Run(context.Background(), call(t, c.body))
			if c.kind == "" && err != nil || c.kind != "" && james.KindOf(err) != c.kind {
				t.Fatalf("%v", err)
			}
			if c.out != "" && out != c.out {
				t.Errorf("output %q, want %q", out, c.out)
			}
			if c.kind == "" {
				return
			}
			var failed *script.Error
			if !errors.As(err, &failed) || failed.App.Name != "demo" || failed.Name != james.Postinst || failed.Output != out || script.Output(err) != out {
				t.Errorf("%+v", failed)
			}
			if !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, want %q", err, c.says)
			}
		})
	}
}

// binary is a program that any Linux has.
var binary = func() string {
	raw, err := os.ReadFile("/bin/true")
	if err != nil {
		panic(err)
	}
	return string(raw)
}()

func TestOutputKeepsItsEnd(t *testing.T) {
	t.Parallel()
	var r script.Runner
	out, err := r.Run(context.Background(), call(t, "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done"))
	if err != nil || len(out) > james.MaxOutput || len(out) < james.MaxOutput-10 || !strings.HasSuffix(out, "line 19999\n") || !strings.HasPrefix(out, "[...]\n") {
		t.Errorf("%d bytes, %v: %.40q", len(out), err, out)
	}
}

// TestTimeLimit has a script and its children ignore what they can.
func TestTimeLimit(t *testing.T) {
	t.Parallel()
	r := script.Runner{Timeout: 300 * time.Millisecond, Grace: 100 * time.Millisecond}
	c := call(t, `#!/bin/sh
trap '' TERM
sh -c 'trap "" TERM; echo $$ > child; while :; do sleep 1; done' &
echo $$ > own
echo working
while :; do sleep 1; done`)
	out, err := r.Run(context.Background(), c)
	if james.KindOf(err) != james.KindInterrupted || !strings.Contains(err.Error(), "300ms, its time limit") || out != "working\n" {
		t.Fatalf("%v, output %q", err, out)
	}
	for _, name := range []string{"own", "child"} {
		waitGone(t, c.Root, name)
	}
}

// waitGone waits until the process whose number is in the file has ended; who
// kills it does not wait for it.
func waitGone(t *testing.T, dir, name string) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	pid, _ := strconv.Atoi(strings.TrimSpace(string(raw)))
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s (%d) is alive: %s", name, pid, stat)
		}
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	why := errors.New("the agent stops")
	ctx, cancel := context.WithCancelCause(context.Background())
	r := script.Runner{Grace: 50 * time.Millisecond}
	c := call(t, "#!/bin/sh\ntrap 'echo told; exit 0' TERM; touch began; while :; do sleep 0.01; done")
	go func() {
		for {
			if _, err := os.Stat(filepath.Join(c.Root, "began")); err == nil {
				cancel(why)
				return
			}
			time.Sleep(time.Millisecond)
		}
	}()
	out, err := r.Run(ctx, c)
	if james.KindOf(err) != james.KindInterrupted || !errors.Is(err, why) || !strings.HasSuffix(out, "told\n") {
		t.Errorf("%v, output %q", err, out)
	}
	if _, err := r.Run(ctx, c); james.KindOf(err) != james.KindInterrupted || !errors.Is(err, why) {
		t.Errorf("begun all the same: %v", err)
	}
}

// TestLeftovers has a script succeed and leave a process that holds its output.
func TestLeftovers(t *testing.T) {
	t.Parallel()
	r := script.Runner{Grace: 50 * time.Millisecond, Timeout: time.Minute}
	c := call(t, "echo started; sleep 600 & echo $! > pid")
	out, err := r.Run(context.Background(), c)
	if err != nil || out != "started\n" {
		t.Fatalf("%v, output %q", err, out)
	}
	raw, _ := os.ReadFile(filepath.Join(c.Root, "pid"))
	pid, _ := strconv.Atoi(strings.TrimSpace(string(raw)))
	if err := unix.Kill(pid, 0); err != nil {
		t.Errorf("what the script started is gone: %v", err)
	}
	unix.Kill(pid, unix.SIGKILL)
}

// TestLeftoversBeyondTheLimit has a script end in time, though what it started
// holds its output longer than the script may run.
func TestLeftoversBeyondTheLimit(t *testing.T) {
	t.Parallel()
	r := script.Runner{Grace: 2 * time.Second, Timeout: time.Second}
	c := call(t, "sleep 600 & echo $! > pid")
	_, err := r.Run(context.Background(), c)
	if err != nil {
		t.Errorf("ended well, but: %v", err)
	}
	raw, _ := os.ReadFile(filepath.Join(c.Root, "pid"))
	pid, _ := strconv.Atoi(strings.TrimSpace(string(raw)))
	if err := unix.Kill(pid, 0); err != nil {
		t.Errorf("what the script started is gone: %v", err)
	}
	unix.Kill(pid, unix.SIGKILL)
}

// TestDescriptors has the agent own a descriptor that programs inherit.
func TestDescriptors(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "secret"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	fd, err := syscall.Dup(int(file.Fd())) // without O_CLOEXEC
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	var r script.Runner
	out, err := r.Run(context.Background(), call(t, "ls -l /proc/self/fd"))
	if err != nil || strings.Contains(out, "secret") || !strings.Contains(out, "0 -> /dev/null") {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestBusyFile starts scripts while their files are written by others' children:
// every one of them runs.
func TestBusyFile(t *testing.T) {
	t.Parallel()
	var r script.Runner
	c := call(t, "#!/bin/sh\necho ran")
	file, err := os.OpenFile(c.File, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	released := make(chan struct{})
	go func() {
		defer close(released)
		time.Sleep(20 * time.Millisecond) // nothing tells that the first try has failed
		file.Close()
	}()
	out, err := r.Run(context.Background(), c)
	<-released
	if err != nil || out != "ran\n" {
		t.Errorf("%v, output %q", err, out)
	}
}

func TestNoExec(t *testing.T) {
	need.Superuser(t)
	t.Parallel()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOEXEC, ""); err != nil {
		need.Lack(t, need.Mounts, "mount: %v", err)
	}
	defer unix.Unmount(dir, unix.MNT_DETACH)
	d, err := disk.Open(dir, disk.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := script.Write(d, "s", []byte("#!/bin/sh -e\necho $1")); err != nil {
		t.Fatal(err)
	}
	var r script.Runner
	out, err := r.Run(context.Background(), script.Call{Name: james.Prerm, File: d.Abs("s"), Action: james.ActionRemove, Root: dir})
	if err != nil || out != "remove\n" {
		t.Errorf("%v, output %q", err, out)
	}
}

// TestNoTime has the time be up before the script has begun.
func TestNoTime(t *testing.T) {
	t.Parallel()
	r := script.Runner{Timeout: time.Nanosecond}
	if _, err := r.Run(context.Background(), call(t, "echo")); james.KindOf(err) != james.KindInterrupted || !strings.Contains(err.Error(), "1ns, its time limit") {
		t.Errorf("%v", err)
	}
}
