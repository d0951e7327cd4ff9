package config

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/pflag"

	"github.com/trusch/jamesd/pkg/james"
)

// set gives a flag a value that was found at place.
func set(fs *pflag.FlagSet, name, value, place string) error {
	err := fs.Set(name, value)
	if err == nil {
		return nil
	}
	var invalid *pflag.InvalidValueError
	if errors.As(err, &invalid) && errors.Unwrap(invalid) != nil {
		err = errors.Unwrap(invalid)
	}
	return james.Errorf(james.KindInvalid, place, "%s: %w", name, Refusal(fs.Lookup(name), value, err))
}

// Refusal says in words why a flag does not take value; cause is what its Set
// returned.
func Refusal(f *pflag.Flag, value string, cause error) error {
	if what, ok := wants[f.Value.Type()]; ok {
		return fmt.Errorf("%q is not %s", value, what)
	}
	return fmt.Errorf("%q: %w", value, cause)
}

// wants says in words what the flag types take whose own errors do not say it
// better.
var wants = map[string]string{
	"bool":     "true or false",
	"duration": "a duration such as 30s, 5m or 1h30m",
	"int":      "a whole number",
	"int32":    "a whole number",
	"int64":    "a whole number",
	"uint":     "a whole number, 0 or greater",
	"uint32":   "a whole number, 0 or greater",
	"uint64":   "a whole number, 0 or greater",
	"float32":  "a number",
	"float64":  "a number",
	"window":   "a window such as now, never, 02:00-04:00 or \"Mon-Fri 22:00-06:00, Sat-Sun 00:00-24:00\"",
}

// takesList reports whether a flag of that type takes several values; for any
// other, a list in the file is a mistake.
func takesList(flagType string) bool { return strings.HasSuffix(flagType, "Slice") }
