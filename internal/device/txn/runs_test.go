package txn_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/trusch/jamesd/pkg/james"
)

// TestScriptOutlivesTheAgent has an agent killed, and only it, while a script of
// its transaction runs. The next one ends the script, with all that it started,
// before it undoes anything; what an earlier script had started goes on.
func TestScriptOutlivesTheAgent(t *testing.T) {
	if base := os.Getenv("JAMESC_TEST_OUTLIVED"); base != "" {
		outlived(t, base)
		return
	}
	t.Parallel()
	base := t.TempDir()
	agent := exec.Command(os.Args[0], "-test.run=^TestScriptOutlivesTheAgent$")
	agent.Env = append(os.Environ(), "JAMESC_TEST_OUTLIVED="+base)
	if err := agent.Start(); err != nil {
		t.Fatal(err)
	}
	ticks := func() int { raw, _ := os.ReadFile(base + "/ticks"); return len(raw) }
	await(t, "the script's child", func() bool { return ticks() > 0 })
	agent.Process.Kill()
	agent.Wait()
	before := ticks()
	await(t, "the script's child after the agent's end", func() bool { return ticks() > before })

	w := newWorld(t)
	w.root, w.state = base+"/root", base+"/state"
	r, err := w.start()
	if err != nil || r == nil || r.Result != james.RolledBack || !r.Recovered || strings.Contains(r.Error, "while undoing") {
		t.Fatalf("%+v, %v", r, err)
	}
	w.checkClean()
	if got := w.names(); got != "bin/ bin/a" || w.read("bin/a") != "v1" {
		t.Errorf("the device has %s, a is %s", got, w.read("bin/a"))
	}
	seen, _ := os.ReadFile(base + "/seen")
	if n, _ := strconv.Atoi(strings.TrimSpace(string(seen))); n == 0 || n != ticks() {
		t.Errorf("when undoing began there were %q ticks, now there are %d", seen, ticks())
	}
	raw, _ := os.ReadFile(base + "/daemon")
	daemon, _ := strconv.Atoi(strings.TrimSpace(string(raw)))
	if err := syscall.Kill(daemon, syscall.SIGKILL); daemon == 0 || err != nil {
		t.Errorf("what preinst started is gone: %v", err)
	}
	w.must(remove(&james.Packet{Name: "a", Tags: james.MustTags("v1"), Digest: w.in.Apps()[0].Digest})) // whose script sweeps
}

// outlived is the agent: its transaction does not end.
func outlived(t *testing.T, base string) {
	w := newWorld(t)
	w.root, w.state = filepath.Join(base, "root"), filepath.Join(base, "state")
	if err := os.MkdirAll(w.root, 0o755); err != nil {
		t.Fatal(err)
	}
	w.mustStart()
	v1 := w.pack(t, "a v1", map[james.ScriptName]string{james.Postrm: ":"}, file("bin/a", "v1"))
	v2 := w.pack(t, "a v2", map[james.ScriptName]string{
		james.Preinst: "#!/bin/sh\nsetsid sleep 600 >/dev/null 2>&1 & echo $! > ../daemon",
		james.Postinst: "#!/bin/sh\nsetsid sh -c 'trap \"\" TERM; while :; do printf . >> ../ticks; sleep 0.01; done' >/dev/null 2>&1 &\n" +
			"while :; do sleep 1; done",
		james.Prerm: "#!/bin/sh\nwc -c < ../ticks > ../seen",
	}, file("bin/a", "v2"), file("bin/b", "v2"))
	w.must(install(v1))
	plan := james.NewPlan(1, []james.Step{upgrade(v1, v2)}, nil)
	w.in.Apply(context.Background(), &plan, w.packets)
	t.Fatal("survived")
}

func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}
