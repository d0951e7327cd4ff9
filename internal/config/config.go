package config

import (
	"errors"
	"io"
	"os"
	"strings"

	"github.com/spf13/pflag"

	"github.com/trusch/jamesd/pkg/james"
)

// reserved are flags that a program has and a file or the environment cannot set.
var reserved = map[string]bool{"help": true, "version": true, "config": true}

// Variable returns the name of the environment variable of a flag: "JAMESC" and
// "state-dir" make "JAMESC_STATE_DIR".
func Variable(prefix, flag string) string {
	return prefix + "_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// File returns the settings file to load: what the flag --config of fs says,
// else the variable PREFIX_CONFIG, else standard. mustExist reports whether it
// was asked for, so that it must be there.
func File(fs *pflag.FlagSet, prefix, standard string, getenv func(string) string) (file string, mustExist bool) {
	if f := fs.Lookup("config"); f != nil && f.Changed {
		return f.Value.String(), true
	}
	if v := getenv(Variable(prefix, "config")); v != "" {
		return v, true
	}
	return standard, false
}

// Load gives every flag of fs that was not set on the command line the value of
// its environment variable (see Variable; an empty one counts as not set) or
// else of its key in the YAML file, whose keys are the names of the flags and
// whose values are scalars or lists of scalars. The flags --help, --version and
// --config take part in neither. file == "" means no file; without mustExist it
// may be absent.
//
// Load fails with KindInvalid, naming the file and the line or the variable, for
// an unknown or repeated key, a wrong type or a bad value, and with KindNotFound
// for a file that must exist and does not.
func Load(fs *pflag.FlagSet, prefix, file string, mustExist bool, getenv func(string) string) error {
	var settings []setting
	if file != "" {
		raw, err := readFile(file, mustExist)
		if err != nil {
			return err
		}
		if settings, err = parse(fs, file, raw); err != nil {
			return err
		}
	}
	if err := fromEnvironment(fs, prefix, getenv); err != nil {
		return err
	}
	for _, s := range settings {
		if f := fs.Lookup(s.key); f.Changed {
			continue
		}
		if err := set(fs, s.key, s.value, s.place); err != nil {
			return err
		}
	}
	return nil
}

func fromEnvironment(fs *pflag.FlagSet, prefix string, getenv func(string) string) (err error) {
	fs.VisitAll(func(f *pflag.Flag) {
		name := Variable(prefix, f.Name)
		if v := getenv(name); err == nil && v != "" && !f.Changed && !reserved[f.Name] {
			err = set(fs, f.Name, v, name)
		}
	})
	return err
}

// maxFile bounds a settings file, in bytes.
const maxFile = 1 << 20

func readFile(file string, mustExist bool) ([]byte, error) {
	f, err := os.Open(file)
	switch {
	case errors.Is(err, os.ErrNotExist) && !mustExist:
		return nil, nil
	case errors.Is(err, os.ErrNotExist):
		return nil, james.Errorf(james.KindNotFound, file, "there is no such settings file").
			WithHint("Check the name that --config or its environment variable gives.")
	case err != nil:
		return nil, james.Errorf(james.KindInvalid, file, "cannot be read: %w", cause(err))
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, james.Errorf(james.KindInvalid, file, "cannot be read: %w", cause(err))
	}
	if len(raw) > maxFile {
		return nil, james.Errorf(james.KindInvalid, file, "is too large for a settings file, the limit is %d bytes", maxFile)
	}
	return raw, nil
}

// cause drops the name of the file from err, as the error names it already.
func cause(err error) error {
	var p *os.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
