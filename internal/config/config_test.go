package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"github.com/trusch/jamesd/internal/config"
	"github.com/trusch/jamesd/pkg/james"
)

// settings is a program's flags.
type settings struct {
	fs       *pflag.FlagSet
	addr     string
	tags     []string
	hosts    []string
	interval time.Duration
	wait     int
	verbose  bool
}

func newSettings(args ...string) *settings {
	s := &settings{fs: pflag.NewFlagSet("jamesx", pflag.ContinueOnError)}
	s.fs.StringVar(&s.addr, "addr", ":2761", "")
	s.fs.StringSliceVar(&s.tags, "system-tags", []string{"auto"}, "")
	s.fs.StringSliceVar(&s.hosts, "host", []string{"standard"}, "")
	s.fs.DurationVar(&s.interval, "poll-interval", time.Minute, "")
	s.fs.IntVar(&s.wait, "wait", 7, "")
	s.fs.BoolVar(&s.verbose, "verbose", false, "")
	s.fs.String("config", "", "")
	s.fs.Bool("help", false, "")
	if err := s.fs.Parse(args); err != nil {
		panic(err)
	}
	return s
}

func write(t *testing.T, content string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "jamesx.yaml")
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func env(pairs ...string) func(string) string {
	return func(name string) string {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1]
			}
		}
		return ""
	}
}

func TestPrecedence(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, flag, env, file, want string
	}{
		{"default", "", "", "", ":2761"},
		{"file", "", "", "f", "f"},
		{"environment", "", "e", "", "e"},
		{"flag", "c", "", "", "c"},
		{"environment over file", "", "e", "f", "e"},
		{"flag over file", "c", "", "f", "c"},
		{"flag over environment", "c", "e", "", "c"},
		{"flag over all", "c", "e", "f", "c"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var args []string
			var file string
			if tc.flag != "" {
				args = []string{"--addr", tc.flag}
			}
			if tc.file != "" {
				file = write(t, "addr: "+tc.file+"\n")
			}
			s := newSettings(args...)
			if err := config.Load(s.fs, "JAMESX", file, false, env("JAMESX_ADDR", tc.env)); err != nil {
				t.Fatal(err)
			}
			if s.addr != tc.want {
				t.Errorf("%q, want %q", s.addr, tc.want)
			}
		})
	}
}

func TestValues(t *testing.T) {
	t.Parallel()
	const all = `
# a comment
addr: &a localhost:1
system-tags: [armv7l, glibc-2.23, *a]
host:
- one
- two
poll-interval: 1h30m
wait: 0
verbose: true
`
	s := newSettings()
	if err := config.Load(s.fs, "JAMESX", write(t, all), true, env()); err != nil {
		t.Fatal(err)
	}
	if s.addr != "localhost:1" || strings.Join(s.tags, " ") != "armv7l glibc-2.23 localhost:1" || strings.Join(s.hosts, " ") != "one two" ||
		s.interval != 90*time.Minute || s.wait != 0 || !s.verbose {
		t.Errorf("%+v", s)
	}

	s = newSettings()
	vars := env("JAMESX_SYSTEM_TAGS", "a,b", "JAMESX_HOST", "x,y", "JAMESX_POLL_INTERVAL", "5s", "JAMESX_VERBOSE", "true", "JAMESX_HELP", "junk", "JAMESX_CONFIG", "junk")
	if err := config.Load(s.fs, "JAMESX", write(t, "host: [z]\naddr: *b\n")+"-absent", false, vars); err != nil {
		t.Fatal(err)
	}
	if strings.Join(s.tags, " ") != "a b" || strings.Join(s.hosts, " ") != "x y" || s.interval != 5*time.Second || !s.verbose {
		t.Errorf("%+v", s)
	}
}

func TestFilesThatSayNothing(t *testing.T) {
	t.Parallel()
	for name, content := range map[string]string{"empty": "", "comment": "# nothing\n", "null": "~\n", "document": "---\n", "braces": "{}\n"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSettings()
			if err := config.Load(s.fs, "JAMESX", write(t, content), true, env()); err != nil || s.addr != ":2761" {
				t.Errorf("%q, %v", s.addr, err)
			}
		})
	}
}

func TestRefuses(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, content string
		want, hint    string
	}{
		{"unknown key, near one", "# x\nadr: 1\n", `jamesx.yaml:2: unknown key "adr"`, `Did you mean "addr"?`},
		{"underscore", "poll_interval: 1s\n", `jamesx.yaml:1: unknown key "poll_interval"`, `Did you mean "poll-interval"?`},
		{"unknown key, near none", "colour: red\n", `:1: unknown key "colour"`, "The keys are addr, host, poll-interval, system-tags, verbose, wait"},
		{"reserved key", "config: x\n", `:1: unknown key "config"`, "The keys are"},
		{"no key at all", "? [a]\n: b\n", `:1: unknown key ""`, "The keys are"},
		{"repeated key", "addr: a\nwait: 1\naddr: b\n", ":3: addr is given twice, first in line 1", ""},
		{"no value", "wait: 1\naddr:\n", ":2: addr has no value", "remove the line"},
		{"a mapping for a value", "addr:\n  host: x\n", ":1: addr is a mapping, a value or a list is wanted", ""},
		{"a list for a text", "addr: [a, b]\n", ":1: addr is a list, one value is wanted", ""},
		{"a list for a number", "wait: [1]\n", ":1: wait is a list, one value is wanted", ""},
		{"a list in a list", "host: [[a]]\n", ":1: item 1 of host is not a single value", ""},
		{"an empty item", "host: [a, ~]\n", ":1: item 2 of host is not a single value", ""},
		{"a comma in an item", "host: ['a,b']\n", ":1: item 1 of host is not a single value", ""},
		{"not a number", "\n\nwait: soon\n", `:3: wait: "soon" is not a whole number`, ""},
		{"not a duration", "poll-interval: 30\n", `:1: poll-interval: "30" is not a duration such as 30s, 5m or 1h30m`, ""},
		{"not a bool", "verbose: maybe\n", `:1: verbose: "maybe" is not true or false`, ""},
		{"a malformed list", "host: 'a\"b'\n", `:1: host: "a\"b": `, ""},
		{"not a mapping", "- addr\n", ":1: is not a mapping of settings", ""},
		{"plain text", "hello\n", ":1: is not a mapping of settings", ""},
		{"two documents", "addr: a\n---\naddr: b\n", ":2: a second document begins here", ""},
		{"a bad second document", "addr: a\n---\n- a: [\n", "is not YAML", ""},
		{"not YAML", "addr: a\n\tb: c\n", "jamesx.yaml:2: is not YAML: found", ""},
		{"not text", "\xff\xfe\x00", "is not YAML", ""},
		{"unknown anchor", "addr: *x\n", "jamesx.yaml: is not YAML: unknown anchor", ""},
		{"too large", strings.Repeat("#", 1<<20+1), "is too large", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := newSettings()
			err := config.Load(s.fs, "JAMESX", write(t, tc.content), true, env())
			if james.KindOf(err) != james.KindInvalid || !strings.Contains(err.Error(), tc.want) || !strings.Contains(james.HintOf(err), tc.hint) {
				t.Errorf("%v, hint %q; want %q, hint %q", err, james.HintOf(err), tc.want, tc.hint)
			}
		})
	}
}

func TestRefusesVariable(t *testing.T) {
	t.Parallel()
	s := newSettings()
	err := config.Load(s.fs, "JAMESX", "", false, env("JAMESX_WAIT", "long"))
	const want = `JAMESX_WAIT: wait: "long" is not a whole number`
	if james.KindOf(err) != james.KindInvalid || err.Error() != want {
		t.Errorf("%v, want %q", err, want)
	}
}

func TestFileThatCannotBeRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	absent := filepath.Join(dir, "absent.yaml")
	for _, tc := range []struct {
		name, file string
		mustExist  bool
		kind       james.Kind // "" for success
	}{
		{"absent, named", absent, true, james.KindNotFound},
		{"absent, default", absent, false, ""},
		{"none", "", true, ""},
		{"a directory", dir, false, james.KindInvalid},
		{"below a file", filepath.Join(write(t, ""), "x"), true, james.KindInvalid},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			err := config.Load(newSettings().fs, "JAMESX", tc.file, tc.mustExist, env())
			if james.KindOf(err) != tc.kind || (err != nil && !strings.Contains(err.Error(), tc.file)) {
				t.Errorf("%s: %v, want %q", james.KindOf(err), err, tc.kind)
			}
		})
	}
}

func TestFile(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name      string
		args      []string
		env       string
		want      string
		mustExist bool
	}{
		{"standard", nil, "", "/etc/x.yaml", false},
		{"variable", nil, "e.yaml", "e.yaml", true},
		{"flag", []string{"--config=f.yaml"}, "e.yaml", "f.yaml", true},
		{"none", []string{"--config="}, "", "", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			file, mustExist := config.File(newSettings(tc.args...).fs, "JAMESX", "/etc/x.yaml", env("JAMESX_CONFIG", tc.env))
			if file != tc.want || mustExist != tc.mustExist {
				t.Errorf("%q, %v; want %q, %v", file, mustExist, tc.want, tc.mustExist)
			}
		})
	}
}

func TestNearest(t *testing.T) {
	t.Parallel()
	known := []string{"addr", "state-dir", "system-tags"}
	for s, want := range map[string]string{
		"addr": "addr", "Addr": "addr", "adr": "addr", "addres": "addr", "state_dir": "state-dir", "sytem-tag": "system-tags",
		"": "", "x": "", "colour": "", "address-of-server": "",
	} {
		if got := config.Nearest(s, known); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", s, got, want)
		}
	}
}
