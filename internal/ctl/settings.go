package ctl

import (
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/trusch/jamesd/internal/config"
	"github.com/trusch/jamesd/internal/pki"
	"github.com/trusch/jamesd/internal/version"
	"github.com/trusch/jamesd/pkg/client"
	"github.com/trusch/jamesd/pkg/james"
)

const (
	prefix      = "JAMESD" // of environment variables
	defaultPort = "2761"
	defaultAddr = "localhost:" + defaultPort
)

const settingsHelp = `The connection is set by the flags below, by JAMESD_ADDR, JAMESD_CA, JAMESD_CERT
and JAMESD_KEY, or by the keys addr, ca, cert and key of ~/.config/jamesd/ctl.yaml
($XDG_CONFIG_HOME/jamesd/ctl.yaml, JAMESD_CONFIG or --config); a flag goes before
a variable, a variable before the file. The key output and JAMESD_OUTPUT are a
standing -o. File names in the settings file are relative to its directory.`

// settings say how to reach jamesd and how to print what it says.
type settings struct {
	getenv              func(string) string
	fs                  *pflag.FlagSet // the flags that a settings file may set
	addr, ca, cert, key string
	format              format
	loaded              bool
}

func (s *settings) init(getenv func(string) string) {
	s.getenv = getenv
	s.format = formatTable
	s.fs = pflag.NewFlagSet("jamesd-ctl", pflag.ContinueOnError)
	s.fs.SortFlags = false
	s.fs.StringVar(&s.addr, "addr", defaultAddr, "the server, as `HOST[:PORT]`")
	s.fs.StringVar(&s.ca, "ca", "", "certificate `FILE` of the authority")
	s.fs.StringVar(&s.cert, "cert", "", "certificate `FILE` of this admin")
	s.fs.StringVar(&s.key, "key", "", "`FILE` with its private key")
	s.fs.VarP(&s.format, "output", "o", "how to print: `FORMAT` is table, yaml or json")
	s.fs.String("config", "", "settings `FILE`"+s.standard())
}

// standard says in the help which settings file is read by itself.
func (s *settings) standard() string {
	if s.file() == "" {
		return ""
	}
	return " (default " + s.display() + ")"
}

// file is the standard place of the settings file, "" where there is none.
func (s *settings) file() string {
	if dir := s.getenv("XDG_CONFIG_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "jamesd", "ctl.yaml")
	}
	if home := s.getenv("HOME"); home != "" {
		return filepath.Join(home, ".config", "jamesd", "ctl.yaml")
	}
	return ""
}

func (s *settings) display() string {
	file := s.file()
	if file == "" {
		return "the file of --config"
	}
	if home := s.getenv("HOME"); home != "" && strings.HasPrefix(file, home+"/") {
		return "~" + strings.TrimPrefix(file, home)
	}
	return file
}

// load completes the flags of the command line.
func (s *settings) load() error {
	if s.loaded {
		return nil
	}
	file, mustExist := config.File(s.fs, prefix, s.file(), s.getenv)
	var fromFile []*string
	for name, value := range map[string]*string{"ca": &s.ca, "cert": &s.cert, "key": &s.key} {
		if !s.fs.Lookup(name).Changed && s.getenv(config.Variable(prefix, name)) == "" {
			fromFile = append(fromFile, value)
		}
	}
	if err := config.Load(s.fs, prefix, file, mustExist, s.getenv); err != nil {
		return err
	}
	for _, value := range fromFile {
		*value = s.relativeTo(filepath.Dir(file), *value)
	}
	s.loaded = true
	return nil
}

// relativeTo resolves the name of a file that is written in a file of dir.
func (s *settings) relativeTo(dir, name string) string {
	switch {
	case name == "" || filepath.IsAbs(name):
		return name
	case strings.HasPrefix(name, "~/"):
		return filepath.Join(s.getenv("HOME"), name[2:])
	}
	return filepath.Join(dir, name)
}

// connect returns a client of the server; it makes no connection yet.
func (s *settings) connect(retries int) (*client.Client, error) {
	if err := s.load(); err != nil {
		return nil, wrongSetting(err)
	}
	if err := s.complete(); err != nil {
		return nil, err
	}
	addr, err := address(s.addr)
	if err != nil {
		return nil, err
	}
	conf, err := pki.ClientTLS(s.ca, s.cert, s.key)
	if err != nil {
		return nil, wrongSetting(err)
	}
	return client.New(client.Options{Addr: addr, TLS: conf, UserAgent: "jamesd-ctl " + version.Commit(), Retries: retries})
}

// wrongSetting makes a setting that names a missing file a wrong one: "not found"
// is about what the server has.
func wrongSetting(err error) error {
	var e *james.Error
	if errors.As(err, &e) && e.Kind == james.KindNotFound {
		wrong := *e
		wrong.Kind = james.KindInvalid
		return &wrong
	}
	return err
}

// complete fails when it is not said which certificate to use.
func (s *settings) complete() error {
	var missing []string
	for _, f := range []struct{ name, value string }{{"ca", s.ca}, {"cert", s.cert}, {"key", s.key}} {
		if f.value == "" {
			missing = append(missing, "--"+f.name)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return james.Errorf(james.KindInvalid, "", "%s not set", strings.Join(missing, ", ")+plural(len(missing), " is", " are")).
		WithHint("Give the files on the command line, as %s, or in %s; \"jamesd-ctl pki add-admin\" makes them.",
			"JAMESD_CA, JAMESD_CERT and JAMESD_KEY", s.display())
}

// address completes HOST[:PORT].
func address(s string) (string, error) {
	s = strings.TrimSuffix(strings.TrimPrefix(s, "https://"), "/")
	host, port, err := net.SplitHostPort(s)
	if err != nil { // no port, or an IPv6 address as such
		host, port = strings.Trim(s, "[]"), defaultPort
	}
	if host == "" {
		host = "localhost"
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil || strings.ContainsAny(host, "/ ") {
		return "", james.Errorf(james.KindInvalid, "addr", "%q is not HOST:PORT", s)
	}
	return net.JoinHostPort(host, port), nil
}

// format is how a command prints what it found.
type format string

const (
	formatTable format = "table"
	formatYAML  format = "yaml"
	formatJSON  format = "json"
)

func (f *format) String() string { return string(*f) }
func (f *format) Type() string   { return "format" }
func (f *format) Set(s string) error {
	switch v := format(s); v {
	case formatTable, formatYAML, formatJSON:
		*f = v
		return nil
	}
	return fmt.Errorf("want table, yaml or json")
}

func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}
