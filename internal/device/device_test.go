package device_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/trusch/jamesd/internal/pki"
	"github.com/trusch/jamesd/pkg/james"
)

func TestInstallUpgradeRemove(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	script := func(v string) map[james.ScriptName]string {
		s := map[james.ScriptName]string{}
		for _, n := range james.ScriptNames() {
			s[n] = fmt.Sprintf("echo %s %s $1 >> \"$JAMES_ROOT/log\"\n", v, n)
		}
		return s
	}
	w.upload("app", "v1,armv7l", map[string]file{"opt/app": {content: "one", mode: 0o750}, "opt/gone": {content: "x"}}, script("v1"))
	w.upload("app", "v2,armv7l", map[string]file{"opt/app": {content: "two"}}, script("v2"))
	w.once(0) // without a desired state
	if d := w.device(); d.SystemTags.String() != "armv7l" || !strings.HasPrefix(d.Agent, "commit ") || !d.InSync {
		t.Errorf("device is %+v", d)
	}
	w.want("app v1")
	w.once(0)
	w.holds("opt/app", "one")
	w.want("app v2")
	w.once(0)
	w.holds("opt/app", "two")
	w.holds("opt/gone", "")
	if d := w.device(); !d.InSync || d.Revision != 2 || d.Report.Result != james.Committed || d.Apps[0].Tags.String() != "armv7l,v2" {
		t.Errorf("device is %+v", d)
	}
	w.want()
	w.once(0)
	w.holds("opt/app", "")
	w.holds("log", "v1 preinst install\nv1 postinst install\nv1 health install\nv1 prerm upgrade\nv1 postrm upgrade\n"+
		"v2 preinst upgrade\nv2 postinst upgrade\nv2 health upgrade\nv2 prerm remove\nv2 postrm remove\n")
	w.once(0)
	if parts, _ := filepath.Glob(w.path("state/agent/*/*")); len(parts) != 0 {
		t.Errorf("left in the state directory: %s", parts)
	}
}

func TestFailingPlan(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.upload("good", "v1", map[string]file{"opt/good": {content: "1"}}, nil)
	w.upload("good", "v2", map[string]file{"opt/good": {content: "2"}}, nil)
	w.upload("bad", "v1", map[string]file{"opt/bad": {content: "b"}}, map[james.ScriptName]string{james.Postinst: "echo no such tty >&2; exit 7\n"})
	w.want("good v1")
	w.once(0)
	w.want("good v2", "bad v1")
	said := w.once(3)
	for _, want := range []string{"bad", "postinst", "no such tty", "jamesc: revision 2 failed and was undone"} {
		if !strings.Contains(said, want) {
			t.Errorf("did not say %q:\n%s", want, said)
		}
	}
	w.holds("opt/good", "1")
	w.holds("opt/bad", "")
	if r := w.device().Report; r.Result != james.RolledBack || r.Script != james.Postinst || r.Attempts != 1 || r.RetryAt.IsZero() || r.Output != "no such tty\n" {
		t.Errorf("report is %+v", r)
	}

	// The agent that goes on remembers, waits, and gives way.
	r := w.start("--retry-first", "1h")
	r.says("polling")
	if got := w.device().Report; got.Attempts != 1 {
		t.Errorf("attempt %d at the start", got.Attempts)
	}
	w.want("good v1")
	w.want("good v2", "bad v1") // another revision, of which the plan is the same
	r.says(`msg="plan failed".* revision=4`)
	w.want("good v2")
	r.says("plan carried out")
	w.holds("opt/good", "2")
	r.stop()
	if _, out, _ := process(t.Context(), []string{"status", "--state-dir", w.path("state")}, nil); !strings.Contains(out, "good v2") || !strings.Contains(out, "committed") {
		t.Errorf("status is:\n%s", out)
	}
}

func TestStatusOfNoAgent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	code, out, said := process(t.Context(), []string{"status", "--state-dir", w.path("mistyped")}, nil)
	if code != 1 || out != "" || !strings.Contains(said, "mistyped: does not exist") || strings.Count(said, "mistyped") != 1 {
		t.Errorf("exit code %d, %q\n%s", code, out, said)
	}
}

func TestTwoAgentsOnOneStateDirectory(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.start()
	r.says("polling")
	if said := w.once(1); !strings.Contains(said, "another agent works") || strings.Count(said, w.path("state")) != 1 {
		t.Errorf("said:\n%s", said)
	}
	r.stop()
}

func TestOutputDoesNotCommandTheTerminal(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.upload("app", "v1", nil, map[james.ScriptName]string{james.Postinst: "printf 'first\\n\\033[31mred\\a\\n'; exit 1\n"})
	w.want("app v1")
	said := w.once(3)
	_, out, _ := process(t.Context(), []string{"status", "--state-dir", w.path("state")}, nil)
	for _, text := range []string{said, out} {
		if strings.ContainsAny(text, "\x1b\a") || !strings.Contains(text, "first\n\ufffd[31mred") {
			t.Errorf("printed %q", text)
		}
	}
}

func TestDownloadIsResumed(t *testing.T) {
	t.Parallel()
	const size = 8 << 20
	noise := make([]byte, size)
	rand.NewChaCha8([32]byte{}).Read(noise)
	w := newWorld(t)
	w.upload("big", "v1", map[string]file{"opt/big": {content: string(noise)}}, nil)
	w.want("big v1")
	w.link.cutAfter(size / 2)
	if said := w.once(0); !strings.Contains(said, "resuming the download") {
		t.Errorf("did not resume:\n%s", said)
	}
	w.holds("opt/big", string(noise))
	if n := w.link.carried(); n > size+size/8 {
		t.Errorf("%d bytes were carried for an archive of %d", n, size)
	}
}

func TestUndeliveredReport(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.upload("app", "v1", map[string]file{"opt/app": {content: "1"}}, map[james.ScriptName]string{
		james.Postinst: "touch \"$JAMES_ROOT/begun\"; while [ ! -e \"$JAMES_ROOT/go\" ]; do sleep 0.05; done\n"})
	w.want("app v1")
	r := w.start()
	appears(t, w.path("root/begun"))
	w.link.setDown(true)
	check(t, os.WriteFile(w.path("root/go"), nil, 0o644))
	r.says("no answer from the server")
	r.stop()
	if d := w.device(); d.Report != nil {
		t.Errorf("report is %+v, though the link is down", d.Report)
	}
	if _, out, _ := process(t.Context(), []string{"status", "--state-dir", w.path("state")}, nil); !strings.Contains(out, "not got yet: 1") {
		t.Errorf("status is:\n%s", out)
	}
	if said := w.once(1); !strings.Contains(said, w.link.addr) {
		t.Errorf("does not name the server:\n%s", said)
	}
	w.link.setDown(false)
	w.once(0)
	if d := w.device(); d.Report == nil || d.Report.Result != james.Committed || !d.InSync {
		t.Errorf("device is %+v", d)
	}
}

// A transaction that has begun to change the device is finished before the agent
// stops.
func TestStopWhileApplying(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.upload("app", "v1", map[string]file{"opt/app": {content: "1"}}, map[james.ScriptName]string{
		james.Postinst: "touch \"$JAMES_ROOT/begun\"; while [ ! -e \"$JAMES_ROOT/go\" ]; do sleep 0.05; done\n"})
	w.want("app v1")
	r := w.start()
	appears(t, w.path("root/begun"))
	stopped := make(chan struct{})
	go func() { r.stop(); close(stopped) }()
	select {
	case <-stopped:
		t.Error("stopped in the middle")
	case <-time.After(200 * time.Millisecond): // long enough for a wrong agent
	}
	check(t, os.WriteFile(w.path("root/go"), nil, 0o644))
	<-stopped
	w.holds("opt/app", "1")
	w.once(0)
	if r := w.device().Report; r == nil || r.Result != james.Committed {
		t.Errorf("report is %+v", r)
	}
}

// appears waits for a file.
func appears(t *testing.T, name string) {
	t.Helper()
	for limit := time.Now().Add(patience); time.Now().Before(limit); time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(name); err == nil {
			return
		}
	}
	t.Fatalf("%s does not appear", name)
}

func TestUnresolvedDesiredState(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.upload("app", "v1,x86_64", map[string]file{"opt/app": {content: "1"}}, nil)
	w.want("app v1")
	if said := w.once(1); !strings.Contains(said, "app v1 is unresolved") {
		t.Errorf("said:\n%s", said)
	}
	r := w.start()
	r.says("nothing can be done for an app")
	w.upload("app", "v1,armv7l", map[string]file{"opt/app": {content: "right"}}, nil)
	r.says("plan carried out")
	w.holds("opt/app", "right")
}

func TestTwoAgentsOnOneDevice(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.start()
	r.says("polling")
	if said := w.once(1); !strings.Contains(said, "another agent") {
		t.Errorf("said:\n%s", said)
	}
}

func TestWrongUse(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	write := func(name, content string) string {
		check(t, os.WriteFile(w.path(name), []byte(content), 0o600))
		return w.path(name)
	}
	check(t, pki.Init(mkdir(t, w.path("other"))))
	check(t, pki.AddClient(w.path("other"), id))
	for name, tc := range map[string]struct {
		args []string
		env  map[string]string
		says string
	}{
		"no address":             {args: []string{"--once"}, says: "the address of jamesd is not set"},
		"an address of nothing":  {args: w.args("--once", "--addr", "a:b:c"), says: "a:b:c"},
		"nobody there":           {args: w.args("--once", "--addr", "127.0.0.1:1"), says: "127.0.0.1:1"},
		"no certificate":         {args: w.args("--once", "--cert", "/nix.crt"), says: "/nix.crt"},
		"another authority":      {args: w.args("--once", "--ca", w.path("other/ca.crt"), "--cert", w.path("other/"+id+".crt"), "--key", w.path("other/"+id+".key")), says: "certificate"},
		"an unknown flag":        {args: []string{"--nix"}, says: "unknown flag: --nix"},
		"an unknown command":     {args: []string{"nix"}, says: "nix"},
		"a malformed tag":        {args: w.args("--system-tags", "a b"), says: "\"a b\""},
		"a negative hold":        {args: w.args("--hold", "-1s"), says: "hold: -1s is less than 0"},
		"a negative probation":   {args: w.args("--probation", "-1s"), says: "probation: -1s is less than 0"},
		"no time for scripts":    {args: w.args("--script-timeout", "0s"), says: "script-timeout"},
		"an unknown log level":   {args: w.args("--log-level", "loud"), says: "loud"},
		"an unknown key":         {args: w.args("--config", write("a.yaml", "addr: x\nstat-dir: y\n")), says: "a.yaml:2"},
		"a wrong type":           {args: w.args("--config", write("b.yaml", "\nonce: maybe\n")), says: "b.yaml:2"},
		"a file that is missing": {args: w.args("--config", w.path("nix.yaml")), says: "nix.yaml"},
		"a wrong variable":       {args: w.args(), env: map[string]string{"JAMESC_HOLD": "long"}, says: "JAMESC_HOLD"},
		"a root that is a file":  {args: w.args("--once", "--install-root", write("file", "")), says: w.path("file")},
		"a state that is a file": {args: w.args("--once", "--state-dir", w.path("file")), says: w.path("file")},
	} {
		t.Run(name, func(t *testing.T) {
			code, _, said := process(t.Context(), tc.args, tc.env)
			if code != 1 || !strings.Contains(said, tc.says) || !strings.Contains(said, "jamesc: ") {
				t.Errorf("exit code %d, want 1 and %q:\n%s", code, tc.says, said)
			}
		})
	}
}

func mkdir(t *testing.T, dir string) string {
	t.Helper()
	check(t, os.Mkdir(dir, 0o755))
	return dir
}

func TestSettingsFromFileAndEnvironment(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.upload("app", "v1,gpu", map[string]file{"opt/app": {content: "1"}}, nil)
	w.want("app v1")
	file := fmt.Sprintf("ca: %s\ncert: %s\nkey: %s\nonce: true\nsystem-tags: [gpu, auto]\nstate-dir: %s\ninstall-root: /nix\n",
		w.path("pki/ca.crt"), w.path("pki/"+id+".crt"), w.path("pki/"+id+".key"), w.path("state"))
	check(t, os.WriteFile(w.path("jamesc.yaml"), []byte(file), 0o600))
	code, _, said := process(t.Context(), nil, map[string]string{
		"JAMESC_CONFIG": w.path("jamesc.yaml"), "JAMESC_ADDR": w.link.addr, "JAMESC_INSTALL_ROOT": w.path("deep/er/root")})
	if code != 0 {
		t.Fatalf("exit code %d:\n%s", code, said)
	}
	if raw, err := os.ReadFile(w.path("deep/er/root/opt/app")); string(raw) != "1" {
		t.Errorf("installed %q: %v", raw, err)
	}
	if tags := w.device().SystemTags; !tags.Has("gpu") || tags.Len() < 2 {
		t.Errorf("system tags are %s, want gpu and the detected ones", tags)
	}
}

func TestTagsAndVersion(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	check(t, os.MkdirAll(filepath.Join(root, "etc"), 0o755))
	check(t, os.WriteFile(filepath.Join(root, "etc/os-release"), []byte("ID=alpine\nVERSION_ID=3.20.1\n"), 0o644))
	if code, out, _ := process(t.Context(), []string{"tags", "--root", root}, nil); code != 0 || !strings.Contains(out, "alpine-3.20.1\n") {
		t.Errorf("exit code %d, tags:\n%s", code, out)
	}
	if code, out, _ := process(t.Context(), []string{"version"}, nil); code != 0 || !strings.HasPrefix(out, "jamesc commit ") {
		t.Errorf("exit code %d, version %q", code, out)
	}
}
