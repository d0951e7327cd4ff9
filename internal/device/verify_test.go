package device_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/trusch/jamesd/internal/config"
	"github.com/trusch/jamesd/internal/device"
	"github.com/trusch/jamesd/internal/need"
	"github.com/trusch/jamesd/pkg/james"
)

// verify runs jamesc verify and expects its exit code.
func (w *world) verify(want int, more ...string) (out, said string) {
	w.t.Helper()
	code, out, said := process(w.t.Context(), append([]string{"verify"}, w.verifyArgs(more...)...), nil)
	if code != want {
		w.t.Fatalf("exit code %d, want %d:\n%s%s", code, want, out, said)
	}
	return out, said
}

func (w *world) verifyArgs(more ...string) []string {
	return append([]string{"--addr", w.link.addr, "--ca", w.path("pki/ca.crt"), "--cert", w.path("pki/" + id + ".crt"),
		"--key", w.path("pki/" + id + ".key"), "--install-root", w.path("root"), "--state-dir", w.path("state")}, more...)
}

// A repair that cannot finish its download keeps what has arrived, and the next one
// asks for the rest; without damage, and for what is on the device, no server is
// asked for anything.
func TestRepairResumes(t *testing.T) {
	t.Parallel()
	const size = 4 << 20
	noise := make([]byte, size)
	rand.NewChaCha8([32]byte{1}).Read(noise)
	w := newWorld(t)
	w.upload("big", "v1", map[string]file{"opt/big": {content: string(noise)}, "opt/mode": {content: "x", mode: 0o755}}, nil)
	w.want("big v1")
	w.once(0)
	w.link.setDown(true)
	w.verify(0)
	check(t, os.Chmod(w.path("root/opt/mode"), 0o600))
	if out, _ := w.verify(0, "--repair"); !strings.Contains(out, "repaired: 1\n") {
		t.Errorf("without a server: %s", out)
	}
	check(t, os.Remove(w.path("root/opt/big")))
	if out, said := w.verify(1, "--repair"); !strings.Contains(out, "still damaged: opt/big of big is missing: ") || !strings.Contains(said, "could not be repaired") {
		t.Errorf("without a server: %s%s", out, said)
	}
	w.link.setDown(false)
	w.link.cutAfter(size / 2)
	w.verify(0, "--repair")
	w.holds("opt/big", string(noise))
	if n := w.link.carried(); n > 2*size+size/2 {
		t.Errorf("%d bytes were carried for two downloads of %d", n, size)
	}
	if _, err := os.Stat(w.path("state/repair")); err == nil {
		t.Error("its downloads are left")
	}
}

func TestTwoRepairs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.upload("a", "v1", map[string]file{"opt/a": {content: "a"}}, nil)
	w.want("a v1")
	w.once(0)
	check(t, os.Remove(w.path("root/opt/a")))
	w.link.setFull(true)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan string)
	go func() {
		code, _, said := process(ctx, append([]string{"verify", "--repair"}, w.verifyArgs()...), nil)
		ended <- fmt.Sprintf("%d %s", code, said)
	}()
	appears(t, w.path("state/repair/blobs"))
	if _, said := w.verify(1, "--repair"); !strings.Contains(said, "another repair is under way") {
		t.Errorf("said:\n%s", said)
	}
	cancel()
	if said := <-ended; !strings.HasPrefix(said, "1 ") || !strings.Contains(said, "cannot repair") {
		t.Errorf("interrupted: %s", said)
	}
	// The agent removes what nobody is at.
	w.link.setFull(false)
	w.once(0)
	if _, err := os.Stat(w.path("state/repair")); err == nil {
		t.Error("its downloads are left")
	}
	w.verify(0, "--repair")
	w.holds("opt/a", "a")
}

func TestVerifyWrongUse(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	check(t, os.MkdirAll(w.path("root"), 0o755))
	for name, tc := range map[string]struct {
		args []string
		says string
	}{
		"no state directory": {[]string{"--state-dir", w.path("nix"), "--install-root", w.path("root")}, "no jamesc has run with it"},
		"no install root":    {[]string{"--state-dir", w.dir, "--install-root", w.path("nix")}, w.path("nix")},
		"an argument":        {[]string{"all"}, "all"},
		"an unknown flag":    {[]string{"--fix"}, "unknown flag: --fix"},
	} {
		t.Run(name, func(t *testing.T) {
			code, _, said := process(t.Context(), append([]string{"verify"}, tc.args...), nil)
			if code != 1 || !strings.Contains(said, tc.says) || !strings.HasPrefix(said, "jamesc: ") {
				t.Errorf("exit code %d, want 1 and %q:\n%s", code, tc.says, said)
			}
		})
	}
	if _, err := os.Stat(w.path("nix")); err == nil {
		t.Error("it has made a directory")
	}
}

// On a terminal the progress is shown, and nothing of it stays.
func TestVerifyOnATerminal(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.upload("a", "v1", map[string]file{"opt/a": {content: strings.Repeat("a", 1<<20)}}, nil)
	w.want("a v1")
	w.once(0)
	master, slave := terminal(t)
	shown := make(chan []byte)
	go func() { b, _ := io.ReadAll(master); shown <- b }()
	var out bytes.Buffer
	code := device.Execute(t.Context(), config.Process{Args: append([]string{"verify"}, w.verifyArgs()...), Out: &out, Err: slave,
		In: strings.NewReader(""), Getenv: func(string) string { return "" }})
	slave.Close()
	screen := string(<-shown)
	if code != 0 || !strings.Contains(screen, "verifying: ") || !strings.HasSuffix(screen, "\r\x1b[K") {
		t.Errorf("exit code %d, on the screen: %q", code, screen)
	}
	if want := "all files of 1 installed app are as their packets have them\n"; out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
}

// terminal returns both ends of a pseudo-terminal.
func terminal(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		need.Lack(t, need.Terminals, "there are no pseudo-terminals here: %v", err)
	}
	t.Cleanup(func() { master.Close() })
	check(t, unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0))
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	check(t, err)
	if slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		need.Lack(t, need.Terminals, "there are no pseudo-terminals here: %v", err)
	}
	return master, slave
}

// The agent and a repair by another process: the report that the server gets of a
// plan is never one of a repair.
func TestRepairWhileTheAgentRuns(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.upload("a", "v1", map[string]file{"opt/a": {content: "a"}}, nil)
	w.upload("b", "v1", map[string]file{"opt/b": {content: "b"}}, map[james.ScriptName]string{
		james.Postinst: "touch \"$JAMES_ROOT/begun\"; while [ ! -e \"$JAMES_ROOT/go\" ]; do sleep 0.05; done\n"})
	w.want("a v1")
	r := w.start("--verify-interval", "100ms")
	w.await("the installation", func(s james.DeviceStatus) bool { return s.InSync && len(s.Apps) == 1 })
	check(t, os.WriteFile(w.path("root/opt/a"), []byte("bad"), 0o644))
	w.await("the damage", func(s james.DeviceStatus) bool { return s.Drift != nil && s.Drift.Damaged == 1 })
	w.want("a v1", "b v1")
	appears(t, w.path("root/begun")) // the agent is in a transaction
	done := make(chan string)
	go func() {
		code, out, said := process(t.Context(), append([]string{"verify", "--repair"}, w.verifyArgs()...), nil)
		done <- fmt.Sprint(code, out, said)
	}()
	check(t, os.WriteFile(w.path("root/go"), nil, 0o644))
	if got := <-done; !strings.HasPrefix(got, "0") || !strings.Contains(got, "repaired: 1\n") {
		t.Errorf("the repair: %s", got)
	}
	w.await("the end of the drift", func(s james.DeviceStatus) bool { return s.InSync && len(s.Apps) == 2 && s.Drift == nil })
	w.holds("opt/a", "a")
	w.holds("opt/b", "b")
	r.stop()
	if rep := w.device().Report; rep.Result != james.Committed || rep.Revision != 2 {
		t.Errorf("the last report is %+v", rep)
	}
}
