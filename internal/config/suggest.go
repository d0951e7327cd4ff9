package config

import (
	"strings"

	"github.com/spf13/pflag"

	"github.com/trusch/jamesd/pkg/james"
)

func unknownKey(fs *pflag.FlagSet, place, key string) error {
	var known []string
	fs.VisitAll(func(f *pflag.Flag) {
		if !reserved[f.Name] && !f.Hidden {
			known = append(known, f.Name)
		}
	})
	err := james.Errorf(james.KindInvalid, place, "unknown key %q", key)
	if near := Nearest(key, known); near != "" {
		return err.WithHint("Did you mean %q?", near)
	}
	return err.WithHint("The keys are %s.", strings.Join(known, ", "))
}

// Nearest returns the one of known that s is most likely a misspelling of, or
// "" where none is close: at most one edit for every three bytes of s. Case and
// the difference between "-" and "_" do not count.
func Nearest(s string, known []string) string {
	best, nearest := len(s)/3+1, ""
	for _, k := range known {
		if d := distance(fold(s), fold(k)); d < best {
			best, nearest = d, k
		}
	}
	return nearest
}

func fold(s string) string { return strings.ToLower(strings.ReplaceAll(s, "_", "-")) }

// distance counts the bytes to insert, delete or replace to make b of a
// (Levenshtein); both are short.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
