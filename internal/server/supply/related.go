package supply

import (
	"slices"
	"strings"

	"github.com/trusch/jamesd/pkg/james"
)

// areRelated reports whether patches are made from the files of one packet to those
// of another: they have one name, or the same but for numbers, as packets have that
// are named after their version, or one replaces the other.
func areRelated(old, new *james.Packet) bool {
	return old.Name == new.Name || withoutNumbers(old.Name) == withoutNumbers(new.Name) || slices.Contains(new.Replaces, old.Name)
}

// withoutNumbers returns a name with one # in place of each number and version in it.
func withoutNumbers(name string) string {
	var b strings.Builder
	number := false
	for i := range len(name) {
		c := name[i]
		switch digit := '0' <= c && c <= '9'; {
		case !digit && !(number && c == '.'):
			number = false
			b.WriteByte(c)
		case !number:
			number = true
			b.WriteByte('#')
		}
	}
	return b.String()
}
