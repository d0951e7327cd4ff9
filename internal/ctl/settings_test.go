package ctl_test

import (
	"errors"
	"maps"
	"strings"
	"testing"

	"github.com/trusch/jamesd/internal/ctl"
)

// with returns the world with other variables; "" removes one.
func (w *world) with(t testing.TB, pairs ...string) *world {
	env := maps.Clone(w.env)
	for i := 0; i < len(pairs); i += 2 {
		env[pairs[i]] = pairs[i+1]
	}
	return &world{TB: t, dir: w.dir, addr: w.addr, env: env}
}

func TestConnectionSettings(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bare := w.with(t, "JAMESD_ADDR", "", "JAMESD_CA", "", "JAMESD_CERT", "", "JAMESD_KEY", "")
	const empty = "[]\n"
	list := []string{"list-packets", "-o", "json"}
	files := []string{"--ca", w.pki("ca.crt"), "--cert", w.pki("root.crt"), "--key", w.pki("root.key")}
	bare.prints(empty, append(append([]string{"--addr", w.addr}, files...), list...)...)
	bare.prints(empty, append(append(list, files...), "--addr", w.addr)...)
	bare.fails(2, "cannot list packets: --ca, --cert, --key are not set\nhint: Give the files on the command line", list...)
	bare.with(t, "HOME", "").fails(2, "or in the file of --config; ", list...)
	bare.fails(2, "cannot list packets: --key is not set", append(list, files[:4]...)...)

	settings := "addr: " + w.addr + "\nca: ../../pki/ca.crt\ncert: ~/pki/root.crt\nkey: " + w.pki("root.key") + "\noutput: json\n"
	w.file(".config/jamesd/ctl.yaml", settings)
	bare.prints(empty, "list-packets")
	bare.prints("NAME  TAGS  DIGEST  SIZE  ADDED\n", "list-packets", "-o", "table")
	bare.with(t, "JAMESD_OUTPUT", "table").prints("NAME  TAGS  DIGEST  SIZE  ADDED\n", "list-packets")
	bare.with(t, "JAMESD_ADDR", "127.0.0.1:1").fails(1, "cannot list packets: 127.0.0.1:1", list...)
	bare.with(t, "HOME", w.path("elsewhere")).fails(2, "not set", list...)
	bare.with(t, "HOME", w.path("elsewhere"), "XDG_CONFIG_HOME", w.path(".config"), "JAMESD_CERT", w.pki("root.crt")).prints(empty, list...)
	other := w.file("x/y/other.yaml", settings)
	bare.with(t, "HOME", "", "JAMESD_CERT", w.pki("root.crt"), "JAMESD_CONFIG", other).prints(empty, list...)

	w.file(".config/jamesd/ctl.yaml", settings+"adr: x\n")
	bare.fails(2, `cannot list packets: DIR/.config/jamesd/ctl.yaml:6: unknown key "adr"`+"\nhint: Did you mean \"addr\"?", list...)
	bare.prints(empty, append(list, "--config", other, "--cert", w.pki("root.crt"))...)
	bare.fails(2, "cannot list packets: DIR/none.yaml: there is no such settings file", append(list, "--config", w.path("none.yaml"))...)
	w.file(".config/jamesd/ctl.yaml", "output: xml\n")
	bare.fails(2, `ctl.yaml:1: output: "xml": want table, yaml or json`, "list-packets")
	w.file(".config/jamesd/ctl.yaml", "")
	bare.with(t, "JAMESD_OUTPUT", "xml").fails(2, `JAMESD_OUTPUT: output: "xml": want table, yaml or json`, "list-packets")
}

func TestConnectionErrors(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other := newWorld(t)
	for _, tc := range []struct {
		name string
		env  []string
		code int
		want string
	}{
		{"no server", []string{"JAMESD_ADDR", "127.0.0.1:1"}, 1, "cannot list devices: 127.0.0.1:1: connection refused"},
		{"no such name", []string{"JAMESD_ADDR", "jamesd.invalid"}, 1, "jamesd.invalid"},
		{"no address", []string{"JAMESD_ADDR", "a b"}, 2, `addr: "a b" is not HOST:PORT`},
		{"a device's certificate", []string{"JAMESD_CERT", w.pki("device-1.crt"), "JAMESD_KEY", w.pki("device-1.key")}, 5, "cannot list devices: "},
		{"another's key", []string{"JAMESD_KEY", w.pki("device-1.key")}, 2, "DIR/pki/device-1.key: is not the key of the certificate DIR/pki/root.crt"},
		{"no key", []string{"JAMESD_KEY", w.pki("none.key")}, 2, "DIR/pki/none.key: there is no such file"},
		{"another authority's certificate", []string{"JAMESD_CERT", other.pki("root.crt"), "JAMESD_KEY", other.pki("root.key")}, 2, "was not issued by the authority in DIR/pki/ca.crt"},
		{"another authority", []string{"JAMESD_CA", other.pki("ca.crt"), "JAMESD_CERT", other.pki("root.crt"), "JAMESD_KEY", other.pki("root.key")}, 5, "certificate"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w.with(t, tc.env...).fails(tc.code, tc.want, "list-devices")
		})
	}
}

func TestUsageErrors(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, tc := range []struct {
		name string
		args string
		want string
	}{
		{"unknown command", "list-packet", "unknown command \"list-packet\" of jamesd-ctl\nhint: Did you mean \"list-packets\"?"},
		{"part of a command", "packets", "Did you mean \"list-packets\"?"},
		{"more than a command", "explain-device", "Did you mean \"explain\"?"},
		{"nothing like it", "frobnicate", "unknown command \"frobnicate\" of jamesd-ctl\nhint: See jamesd-ctl --help."},
		{"unknown by --cmd", "--cmd get-stat --id x", "Did you mean \"get-state\"?"},
		{"--cmd without a name", "--cmd", "the flag --cmd needs the name of a command"},
		{"unknown subcommand", "pki ad-client x", "unknown command \"ad-client\" of jamesd-ctl pki\nhint: Did you mean \"add-client\"?"},
		{"unknown flag", "get-state --ids x", "unknown flag --ids of jamesd-ctl get-state\nhint: Did you mean --id?"},
		{"unknown flag, nothing like it", "get-state --frobnicate", "unknown flag --frobnicate of jamesd-ctl get-state\nhint: See jamesd-ctl get-state --help."},
		{"unknown short flag", "list-devices -z", "unknown flag -z of jamesd-ctl list-devices"},
		{"a flag without its value", "get-state --id", "the flag --id needs a value"},
		{"a bad value", "list-events --limit many", "--limit: \"many\" is not a whole number"},
		{"a bad format", "list-devices -o xml", "--output: \"xml\": want table, yaml or json"},
		{"an argument too many", "version now", "jamesd-ctl version takes no argument: [\"now\"]"},
		{"no shell", "completion", "the shell is missing: one of bash, zsh, fish"},
		{"an unknown shell", "completion tcsh", "there is no completion for the shell \"tcsh\""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w.with(t).fails(2, tc.want, strings.Fields(tc.args)...)
		})
	}
}

func TestHelp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	root := w.ok("--help")
	if root != w.ok() || root != w.ok("help") {
		t.Error("no arguments, help and --help differ")
	}
	for _, command := range []string{
		"add-packet", "get-packet", "list-packets", "delete-packet", "build-packet", "list-devices", "get-device", "delete-device",
		"get-state", "get-desired-state", "set-desired-state", "delete-desired-state", "explain", "list-events", "pki", "version", "completion",
	} {
		if !strings.Contains(root, "\n  "+command+" ") {
			t.Errorf("the help does not list %s", command)
		}
		help := w.ok(command, "--help")
		if !strings.Contains(help, "Usage:\n  jamesd-ctl "+command) {
			t.Errorf("%s --help: %s", command, help)
		}
		for line := range strings.Lines(root + help) {
			if n := len([]rune(strings.TrimRight(line, "\n"))); n > 110 {
				t.Errorf("%s --help has a line of %d columns: %s", command, n, line)
			}
		}
	}
	for _, want := range []string{"Exit codes:", "  130  interrupted", "JAMESD_ADDR", "~/.config/jamesd/ctl.yaml", "--cmd get-state", `(default "localhost:2761")`} {
		if !strings.Contains(root, want) {
			t.Errorf("the help lacks %q", want)
		}
	}
	if v := w.ok("version"); !strings.HasPrefix(v, "jamesd-ctl commit ") || v != w.ok("--version") {
		t.Errorf("%q, %q", v, w.ok("--version"))
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

func TestOutputThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, args := range [][]string{{"list-devices"}, {"list-devices", "-o", "json"}, {"version"}, {"completion", "bash"}, {"--help"}} {
		p, done := w.process(strings.NewReader(""), args)
		p.Out = brokenWriter{}
		r := done(ctl.Run(t.Context(), p, nil))
		if r.code != 1 || r.err != "jamesd-ctl: cannot write the output: no space left on device\n" {
			t.Errorf("%q: %+v", args, r)
		}
	}
}
