package script_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestInherits runs an agent that was started with all that a script must not
// get of it.
func TestInherits(t *testing.T) {
	t.Parallel()
	c := call(t, `#!/bin/sh
grep -E '^(Sig(Blk|Ign)|Umask)' /proc/self/status
echo nice $(nice) oom $(cat /proc/self/oom_score_adj) files $(ulimit -Sn) session $(($(cut -d' ' -f6 /proc/$$/stat) - $$)) in $(pwd)
command -v ionice >/dev/null && echo io $(ionice) || echo io none: prio 0
ls -l /proc/self/fd | sed -n 's/.* \([0-9]*\) -> /\1 /p'
`)
	c.ID = newID()
	agent := helper(t, "inherits", c, kinds[0])
	secret, err := os.Create(filepath.Join(t.TempDir(), "secret"))
	if err != nil {
		t.Fatal(err)
	}
	defer secret.Close()
	privileged := os.Geteuid() == 0
	// A shell gives the agent what a service manager, nohup and an old init script
	// may give it.
	set := `trap '' HUP INT QUIT PIPE TSTP TTIN TTOU USR1; umask 077; ulimit -Sn 234; exec 7<"$0"; `
	if privileged {
		set += `echo -500 2>/dev/null > /proc/$$/oom_score_adj; command -v ionice >/dev/null && ionice -c 2 -n 7 -p $$; exec nice -n 7 "$@"`
	} else {
		set += `exec "$@"`
	}
	cmd := exec.Command("/bin/sh", append([]string{"-c", set, secret.Name()}, agent.Args...)...)
	cmd.Env, cmd.Stderr = agent.Env, os.Stderr
	cmd.ExtraFiles = []*os.File{secret}
	raw, err := cmd.Output()
	out := string(raw)
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if ignored := ignoredBy(t, out); ignored != 0 {
		t.Errorf("the script has the signals of mask %x ignored:\n%s", ignored, out)
	}
	for _, line := range []string{"SigBlk:\t0000000000000000\n", "Umask:\t0022\n", "files 234 session 0 in " + c.Root + "\n", "\n0 /dev/null\n1 pipe:", "\n2 pipe:"} {
		if !strings.Contains(out, line) {
			t.Errorf("%q is not in what the script sees:\n%s", line, out)
		}
	}
	for _, line := range []string{"nice 0 oom 0 ", "\nio none: prio 0\n"} {
		if privileged && !strings.Contains(out, line) {
			t.Errorf("%q is not in what the script sees:\n%s", line, out)
		}
	}
	for line := range strings.Lines(out) { // "ls" has the directory itself open
		if fd, to, ok := strings.Cut(line, " "); ok && strings.Contains("3456789", fd) && !strings.HasPrefix(to, "/proc/") {
			t.Errorf("the script has descriptor %s, %s", fd, to)
		}
	}
}

// ignoredBy returns the mask of ignored signals that a script has printed. The
// two above 31 that the C library keeps for itself are left out: its posix_spawn,
// which make uses, has whatever it starts ignore them.
func ignoredBy(t *testing.T, out string) uint64 {
	t.Helper()
	_, rest, _ := strings.Cut(out, "SigIgn:")
	line, _, ok := strings.Cut(rest, "\n")
	mask, err := strconv.ParseUint(strings.TrimSpace(line), 16, 64)
	if !ok || err != nil {
		t.Fatalf("there is no mask of ignored signals in %s", out)
	}
	return mask &^ (1<<31 | 1<<32)
}
