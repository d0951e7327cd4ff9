package ctl_test

import (
	"os/exec"
	"strings"
	"testing"
)

// completions returns what a shell is told for the last word of args.
func (w *world) completions(args ...string) string {
	w.Helper()
	r := w.run(append([]string{"__complete"}, args...)...)
	if r.code != 0 {
		w.Fatalf("%q: %+v", args, r)
	}
	var words []string
	for line := range strings.Lines(r.out) {
		if word, _, _ := strings.Cut(strings.TrimSpace(line), "\t"); !strings.HasPrefix(word, ":") {
			words = append(words, word)
		}
	}
	return strings.Join(words, " ")
}

func TestCompletion(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add("v1,x86_64", "one")
	w.add("v2,x86_64", "two")
	w.ok("add-packet", "other", "--data", w.packet("three"))
	w.device()
	down := w.with(t, "JAMESD_ADDR", "127.0.0.1:1")
	unset := w.with(t, "JAMESD_CA", "")
	for _, tc := range []struct{ args, want string }{
		{"get-st_", "get-state"},
		{"--cmd get-st_", "get-state"},
		{"get-state _", "device-1"},
		{"get-state device-_", "device-1"},
		{"get-state x_", ""},
		{"get-state device-1 _", ""},
		{"get-state --id _", "device-1"},
		{"--cmd get-state --id _", "device-1"},
		{"delete-device _", "device-1"},
		{"explain --id device-1 --app _", "hello other"},
		{"list-events --device _", "device-1"},
		{"get-packet _", "hello other"},
		{"get-packet --name h_", "hello"},
		{"get-packet hello --tags _", "v1,x86_64 v2,x86_64"},
		{"diff _", "hello other"},
		{"diff hello --tags v1,x86_64 --tags v2_", "v2,x86_64"},
		{"delete-packet --name hello --tags v2_", "v2,x86_64"},
		{"add-packet --tags _", "systemd v1 v2 x86_64"},
		{"add-packet --tags v1,_", "v1,systemd v1,v2 v1,x86_64"},
		{"list-devices -o _", "table yaml json"},
		{"get-state device-1 --output _", "table yaml json"},
		{"completion _", "bash zsh fish"},
		{"pki add-_", "add-admin add-cache add-client add-server"},
		{"pki add-client _", ""},
	} {
		args := strings.Fields(strings.ReplaceAll(tc.args, "_", "\x00"))
		for i := range args {
			args[i] = strings.Trim(args[i], "\x00")
		}
		if got := w.completions(args...); got != tc.want {
			t.Errorf("%s: %q, want %q", tc.args, got, tc.want)
		}
	}
	for name, w := range map[string]*world{"no server": down, "no settings": unset} {
		r := w.run("__complete", "get-state", "")
		if r.code != 0 || r.out != ":4\n" || strings.Contains(r.err, "cannot") {
			t.Errorf("%s: %+v", name, r)
		}
	}
	if r := w.run("__complete", "set-desired-state", "--file", ""); r.out != ":0\n" {
		t.Errorf("files are not completed: %+v", r)
	}
}

// TestCompletionScripts has each shell that is installed read its script.
func TestCompletionScripts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, shell := range []string{"bash", "zsh", "fish"} {
		script := w.ok("completion", shell)
		if !strings.Contains(script, "jamesd-ctl") || !strings.Contains(script, "__complete") {
			t.Errorf("%s: %.200s", shell, script)
		}
		if _, err := exec.LookPath(shell); err != nil {
			t.Logf("%s is not installed", shell)
			continue
		}
		cmd := exec.CommandContext(t.Context(), shell, "-n", w.file("completion."+shell, script))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", shell, err, out)
		}
	}
}
