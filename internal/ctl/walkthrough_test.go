package ctl_test

import (
	"strings"
	"testing"

	"github.com/trusch/jamesd/pkg/james"
)

// TestFoundingWalkthrough is the founding document's, with its spelling.
func TestFoundingWalkthrough(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, version := range []string{"v0.9.9", "v1.0.0"} {
		args := []string{"--cmd", "add-packet", "--name", "openvpn", "--data", w.packet(version), "--tags", version + ",x86_64,systemd"}
		for _, s := range []string{"preinst", "prerm", "postinst", "postrm"} {
			args = append(args, "--"+s, w.file(s+".sh", "")) // as "touch" makes it
		}
		if out := w.ok(args...); !strings.Contains(out, "result:  added\n") {
			t.Fatal(out)
		}
	}
	old := w.packets()[0].App()
	w.device(old)
	const state = "id: device-1\nsystemtags:\n- systemd\n- x86_64\napps:\n- name: openvpn\n  tags:\n  - v0.9.9\n"
	w.prints(state, "--cmd", "get-state", "--id", "device-1")
	w.prints(state, "--id=device-1", "--cmd=get-state")
	w.prints(state, "get-state", "device-1")
	w.prints(state, "get-state", "device-1", "-o", "yaml")

	file := w.file("state.yaml", strings.Replace(state, "v0.9.9", "v1.0.0", 1))
	w.prints("device-1: revision 1, changed\n", "--cmd", "set-desired-state", "--file", file)
	w.prints("device-1: revision 1, unchanged\n", "--cmd", "set-desired-state", "--file", file)

	plan := w.device(old).Plan
	if plan == nil || len(plan.Steps) != 1 || plan.Steps[0].Action() != james.ActionUpgrade {
		t.Fatalf("%+v", plan)
	}
	if scripts := plan.Steps[0].New.Scripts; len(scripts) != 0 {
		t.Errorf("empty script files became %q", scripts)
	}
}

func TestStateFeedsBackInEveryFormat(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add("v1", "one")
	w.device(james.App{Name: "hello", Tags: james.MustTags("v1"), Digest: james.DigestOf(nil)})
	for _, format := range []string{"table", "yaml", "json"} {
		state := w.ok("get-state", "device-1", "-o", format)
		r := w.runWith(t.Context(), strings.NewReader(state), "set-desired-state", "--file", "-")
		if r.code != 0 || !strings.HasPrefix(r.out, "device-1: revision 1, ") || r.err != "" {
			t.Errorf("%s: %+v\n%s", format, r, state)
		}
	}
	desired := w.ok("get-desired-state", "device-1")
	const want = "# revision 1, set 2026-01-02 12:00:00 by root\nid: device-1\napps:\n- name: hello\n  tags:\n  - v1\n"
	if desired != want {
		t.Errorf("%s\nwant\n%s", desired, want)
	}
	r := w.runWith(t.Context(), strings.NewReader(desired), "set-desired-state", "--file", "-")
	if r.out != "device-1: revision 1, unchanged\n" {
		t.Errorf("%+v", r)
	}
}
