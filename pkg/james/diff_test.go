package james_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/trusch/jamesd/pkg/james"
)

// TestDiffEntries: what comes, goes and is not as it was, each named.
func TestDiffEntries(t *testing.T) {
	t.Parallel()
	file := func(path string, change func(*james.Entry)) james.Entry {
		e := james.Entry{Path: james.Path(path), Type: james.TypeFile, Mode: 0o644, Size: 1, Digest: james.DigestOf([]byte("x")), Time: time.Unix(1, 0)}
		if change != nil {
			change(&e)
		}
		return e
	}
	old := []james.Entry{file("a", nil), file("b", nil), file("c", nil), file("d", nil), file("e", nil), file("f", nil), file("g", nil), file("h", nil)}
	new := []james.Entry{
		file("b", nil),
		file("bb", nil),
		file("c", func(e *james.Entry) { e.Mode = 0o755; e.Time = time.Unix(2, 0) }),
		file("d", func(e *james.Entry) { e.Digest = james.DigestOf(nil) }),
		file("e", func(e *james.Entry) { e.User = "www-data" }),
		{Path: "f", Type: james.TypeSymlink, Target: "b", Time: time.Unix(1, 0)},
		file("g", func(e *james.Entry) { e.Xattrs = map[string][]byte{"user.x": nil} }),
		file("h", func(e *james.Entry) { e.Time = time.Unix(9, 0) }),
	}
	var got []string
	for _, d := range james.DiffEntries(old, new) {
		text := d.Path.String()
		switch {
		case d.Old == nil:
			text += " added"
		case d.New == nil:
			text += " removed"
		}
		for _, c := range d.Changed {
			text += " " + string(c)
		}
		got = append(got, text)
	}
	want := "a removed|bb added|c mode time|d content|e owner|f type content mode target|g xattrs"
	if strings.Join(got, "|") != want {
		t.Errorf("got  %s\nwant %s", strings.Join(got, "|"), want)
	}
	if all := james.DiffEntries(old, old); len(all) != 0 {
		t.Errorf("a manifest differs from itself: %v", all)
	}
}

func TestDiffScripts(t *testing.T) {
	t.Parallel()
	scripts := func(pairs ...string) *james.Manifest {
		m := &james.Manifest{Scripts: map[james.ScriptName][]byte{}}
		for i := 0; i < len(pairs); i += 2 {
			m.Scripts[james.ScriptName(pairs[i])] = []byte(pairs[i+1])
		}
		return m
	}
	got := james.DiffScripts(scripts("preinst", "1", "postinst", "2", "prerm", "3"), scripts("preinst", "1", "postinst", "22", "postrm", "4"))
	if want := "[{postinst 1 2} {prerm 1 0} {postrm 0 1}]"; fmt.Sprint(got) != want {
		t.Errorf("got %v, want %s", got, want)
	}
}
