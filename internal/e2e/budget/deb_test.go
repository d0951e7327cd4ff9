package budget_test

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
)

// member is a file in a .deb, which is an ar archive of three: debian-binary,
// control.tar and data.tar, the last two compressed as their names say.
type member struct {
	name    string
	content []byte
}

const arMagic = "!<arch>\n"

func readDeb(b *testing.B, file string) []member {
	b.Helper()
	raw, err := os.ReadFile(file)
	must(b, err)
	var all []member
	for rest := raw[len(arMagic):]; len(rest) >= 60; {
		size, err := strconv.Atoi(strings.TrimSpace(string(rest[48:58])))
		must(b, err)
		all = append(all, member{strings.TrimRight(string(rest[:16]), " /"), rest[60 : 60+size]})
		rest = rest[min(len(rest), 60+size+size%2):]
	}
	if len(all) != 3 || !strings.HasPrefix(all[1].name, "control.tar") || !strings.HasPrefix(all[2].name, "data.tar") {
		b.Fatalf("%s is not a .deb of the three members that one has", file)
	}
	return all
}

func writeDeb(file string, control, data member) error {
	var buf bytes.Buffer
	buf.WriteString(arMagic)
	for _, m := range []member{{"debian-binary", []byte("2.0\n")}, control, data} {
		fmt.Fprintf(&buf, "%-16s%-12d%-6d%-6d%-8s%-10d`\n", m.name, 0, 0, 0, "100644", len(m.content))
		buf.Write(m.content)
		if len(m.content)%2 == 1 {
			buf.WriteByte('\n')
		}
	}
	return os.WriteFile(file, buf.Bytes(), 0o644)
}
