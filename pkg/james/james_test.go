package james_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/trusch/jamesd/pkg/james"
)

func TestTagSetIsSortedUniqueAndChecked(t *testing.T) {
	t.Parallel()
	rows := []struct {
		name, list, want string
		kind             james.Kind
	}{
		{name: "empty", list: "", want: ""},
		{name: "sorted", list: "systemd,armv7l", want: "armv7l,systemd"},
		{name: "unique", list: "a,b,a", want: "a,b"},
		{name: "space around", list: " a , b ", want: "a,b"},
		{name: "debian version", list: "v1:2.6.14-0+deb12u2~rc1", want: "v1:2.6.14-0+deb12u2~rc1"},
		{name: "empty tag", list: "a,,b", kind: james.KindInvalid},
		{name: "space inside", list: "a b", kind: james.KindInvalid},
		{name: "leading dash", list: "-a", kind: james.KindInvalid},
		{name: "too long", list: strings.Repeat("x", james.MaxTagLen+1), kind: james.KindInvalid},
		{name: "too many", list: manyTags(james.MaxTags + 1), kind: james.KindInvalid},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			set, err := james.ParseTags(r.list)
			if james.KindOf(err) != r.kind {
				t.Fatalf("error %v, want kind %q", err, r.kind)
			}
			if set.String() != r.want {
				t.Errorf("got %q, want %q", set, r.want)
			}
		})
	}
}

func manyTags(n int) string {
	tags := make([]string, n)
	for i := range tags {
		tags[i] = fmt.Sprintf("t%d", i)
	}
	return strings.Join(tags, ",")
}

func TestTagSetAlgebra(t *testing.T) {
	t.Parallel()
	a, b := james.MustTags("a,b,c"), james.MustTags("b,d")
	for _, r := range []struct {
		name string
		got  james.TagSet
		want string
	}{
		{"union", a.Union(b), "a,b,c,d"},
		{"minus", a.Minus(b), "a,c"},
		{"intersect", a.Intersect(b), "b"},
		{"minus itself", a.Minus(a), ""},
	} {
		if r.got.String() != r.want {
			t.Errorf("%s: got %q, want %q", r.name, r.got, r.want)
		}
	}
	if !james.MustTags("a,d").SubsetOf(a, b) || james.MustTags("a,e").SubsetOf(a, b) || !(james.TagSet{}).SubsetOf() {
		t.Error("SubsetOf does not look into all sets")
	}
}

func TestTagSetJSON(t *testing.T) {
	t.Parallel()
	var set james.TagSet
	if err := json.Unmarshal([]byte(`["b","a","b"]`), &set); err != nil {
		t.Fatal(err)
	}
	if raw, err := json.Marshal(set); err != nil || string(raw) != `["a","b"]` {
		t.Errorf("got %s, %v", raw, err)
	}
	for _, same := range []string{` [ "a" , "b" ] `, `["\u0062","a"]`, `["a","b"]`} {
		var other james.TagSet
		if err := json.Unmarshal([]byte(same), &other); err != nil || !other.Equal(set) {
			t.Errorf("%s is %v, %v", same, other, err)
		}
	}
	for _, empty := range []string{`[]`, `null`, `[ ]`} {
		if err := json.Unmarshal([]byte(empty), &set); err != nil || !set.IsZero() {
			t.Errorf("%s is %v, %v", empty, set, err)
		}
	}
	if raw, err := json.Marshal(james.TagSet{}); err != nil || string(raw) != `[]` {
		t.Errorf("the empty set is %s, %v", raw, err)
	}
	for _, bad := range []string{`"a"`, `[1]`, `["a b"]`, `{}`, `["a",]`, `["a"`, `["a""b"]`, `["a\"]`, `[`, ``, `["a",1]`, `[""]`} {
		if err := set.UnmarshalJSON([]byte(bad)); err == nil {
			t.Errorf("%s is accepted", bad)
		}
	}
}

func TestParsePath(t *testing.T) {
	t.Parallel()
	rows := []struct {
		name, in string
		want     james.Path
		kind     james.Kind
	}{
		{name: "plain", in: "usr/bin/x", want: "usr/bin/x"},
		{name: "dot first", in: "./usr//bin/", want: "usr/bin"},
		{name: "root", in: "./", want: "."},
		{name: "not UTF-8", in: "a/\xff\xfe", want: "a/\xff\xfe"},
		{name: "dots in a name", in: "a/..b/c..", want: "a/..b/c.."},
		{name: "empty", in: "", kind: james.KindInvalid},
		{name: "absolute", in: "/etc/passwd", kind: james.KindInvalid},
		{name: "up", in: "a/../../b", kind: james.KindInvalid},
		{name: "up that stays", in: "a/../b", kind: james.KindInvalid},
		{name: "NUL", in: "a\x00b", kind: james.KindInvalid},
		{name: "long component", in: strings.Repeat("x", 256), kind: james.KindInvalid},
		{name: "long", in: strings.Repeat("x/", 2100), kind: james.KindInvalid},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			got, err := james.ParsePath(r.in)
			if james.KindOf(err) != r.kind || got != r.want {
				t.Errorf("got %q, %v; want %q and kind %q", got, err, r.want, r.kind)
			}
		})
	}
}

func FuzzPathText(f *testing.F) {
	for _, s := range []string{"usr/bin", "a b", "a%41", "\xff", "a/\x01\n", "%", "ü/ß"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := james.ParsePath(s)
		if err != nil {
			return
		}
		text, _ := p.MarshalText()
		var back james.Path
		if err := back.UnmarshalText(text); err != nil || back != p {
			t.Fatalf("%q is %q as text and comes back as %q, %v", p, text, back, err)
		}
		raw, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(raw, &back); err != nil || back != p {
			t.Fatalf("%q is %s in JSON and comes back as %q, %v", p, raw, back, err)
		}
	})
}

func TestDigestText(t *testing.T) {
	t.Parallel()
	d := james.DigestOf([]byte("x"))
	back, err := james.ParseDigest(d.String())
	if err != nil || back != d {
		t.Fatalf("got %v, %v", back, err)
	}
	for _, bad := range []string{"", "ab", strings.ToUpper(d.String()), strings.Repeat("g", 64)} {
		if _, err := james.ParseDigest(bad); james.KindOf(err) != james.KindInvalid {
			t.Errorf("%q: %v", bad, err)
		}
	}
	raw, _ := json.Marshal(struct {
		D james.Digest `json:"d,omitzero"`
	}{})
	if string(raw) != "{}" {
		t.Errorf("no digest is %s", raw)
	}
}

func manifest() *james.Manifest {
	when := time.Date(2026, 1, 2, 3, 4, 5, 678, time.UTC)
	return &james.Manifest{
		Name: "openvpn", Tags: james.MustTags("v1.0.0,armv7l"),
		Scripts: map[james.ScriptName][]byte{james.Preinst: []byte("#!/bin/sh\necho <&>\n")},
		Entries: []james.Entry{
			{Path: "etc", Type: james.TypeDir, Mode: 0o755, Time: when},
			{Path: "etc/\xff", Type: james.TypeFile, Mode: 0o4755, Size: 1, Digest: james.DigestOf([]byte("x")), Time: when,
				Xattrs: map[string][]byte{"user.a": {0, 255}}},
			{Path: "etc/\xffz", Type: james.TypeSymlink, Target: "/a\xfe"},
			{Path: "hard", Type: james.TypeHardlink, Link: "etc/\xff"},
		},
	}
}

func TestManifestRoundTrip(t *testing.T) {
	t.Parallel()
	raw, digest, err := manifest().Encode()
	if err != nil {
		t.Fatal(err)
	}
	back, err := james.DecodeManifest(bytes.NewReader(raw), digest)
	if err != nil {
		t.Fatal(err)
	}
	again, same, err := back.Encode()
	if err != nil || same != digest || !bytes.Equal(raw, again) {
		t.Errorf("encoding is not canonical: %v\n%s\n%s", err, raw, again)
	}
	if e, ok := back.Entry("etc/\xff"); !ok || e.Mode != 0o4755 || e.Size != 1 {
		t.Errorf("got %+v, %v", e, ok)
	}
	if back.Size() != 1 {
		t.Errorf("size %d", back.Size())
	}
	if _, err := james.DecodeManifest(bytes.NewReader(raw[1:]), digest); james.KindOf(err) != james.KindCorrupt {
		t.Errorf("a changed manifest: %v", err)
	}
}

func TestManifestRefuses(t *testing.T) {
	t.Parallel()
	file := func(p james.Path) james.Entry {
		return james.Entry{Path: p, Type: james.TypeFile, Digest: james.DigestOf(nil)}
	}
	rows := []struct {
		name   string
		change func(m *james.Manifest)
		says   string
	}{
		{"no name", func(m *james.Manifest) { m.Name = "" }, "empty"},
		{"odd name", func(m *james.Manifest) { m.Name = "a/b" }, "a/b"},
		{"unknown script", func(m *james.Manifest) { m.Scripts["preboot"] = []byte("x") }, "preboot"},
		{"empty script", func(m *james.Manifest) { m.Scripts[james.Prerm] = nil }, "prerm"},
		{"large script", func(m *james.Manifest) { m.Scripts[james.Prerm] = make([]byte, james.MaxScript+1) }, "prerm"},
		{"unsorted", func(m *james.Manifest) { m.Entries[0], m.Entries[3] = m.Entries[3], m.Entries[0] }, "order"},
		{"twice", func(m *james.Manifest) { m.Entries = append(m.Entries, m.Entries[3]) }, "twice"},
		{"up", func(m *james.Manifest) { m.Entries = []james.Entry{file("../x")} }, "canonical"},
		{"below a link", func(m *james.Manifest) {
			m.Entries = []james.Entry{{Path: "a", Type: james.TypeSymlink, Target: "b"}, file("a/x")}
		}, "symlink"},
		{"below a file", func(m *james.Manifest) { m.Entries = []james.Entry{file("a"), file("a/b/c")} }, "below a"},
		{"root as file", func(m *james.Manifest) { m.Entries = []james.Entry{file(".")} }, "root"},
		{"unknown type", func(m *james.Manifest) { m.Entries[0].Type = "socket" }, "socket"},
		{"file without digest", func(m *james.Manifest) { m.Entries[1].Digest = james.Digest{} }, "digest"},
		{"dir with content", func(m *james.Manifest) { m.Entries[0].Size = 1 }, "content"},
		{"more data than content", func(m *james.Manifest) {
			m.Entries[1].Sparse, m.Entries[1].Data = true, m.Entries[1].Size/james.DataUnit*james.DataUnit+2*james.DataUnit
		}, "bytes of data"},
		{"data in pieces of another size", func(m *james.Manifest) { m.Entries[1].Sparse, m.Entries[1].Data = true, 1 }, "bytes of data"},
		{"data of a file without holes", func(m *james.Manifest) { m.Entries[1].Data = james.DataUnit }, "bytes of data"},
		{"negative size", func(m *james.Manifest) { m.Entries[1].Size = -1 }, "negative"},
		{"link without target", func(m *james.Manifest) { m.Entries[2].Target = "" }, "target"},
		{"hard link to nothing", func(m *james.Manifest) { m.Entries[3].Link = "nix" }, "no file"},
		{"hard link to a directory", func(m *james.Manifest) { m.Entries[3].Link = "etc" }, "no file"},
		{"file with device number", func(m *james.Manifest) { m.Entries[1].Major = 1 }, "device number"},
		{"large xattr", func(m *james.Manifest) { m.Entries[1].Xattrs["user.a"] = make([]byte, james.MaxXattr+1) }, "user.a"},
		{"year 10000", func(m *james.Manifest) { m.Entries[1].Time = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) }, "10000"},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			m := manifest()
			r.change(m)
			_, _, err := m.Encode()
			if james.KindOf(err) != james.KindInvalid || !strings.Contains(err.Error(), r.says) {
				t.Errorf("got %v, want one that says %q", err, r.says)
			}
		})
	}
}

func TestErrorSentences(t *testing.T) {
	t.Parallel()
	cause := james.Errorf(james.KindExists, "openvpn", "has other content").WithHint("use --replace")
	rows := []struct {
		name, want string
		err        error
		kind       james.Kind
	}{
		{"cause alone", "openvpn: has other content", cause, james.KindExists},
		{"subject once", "cannot add packet openvpn: has other content", james.Cannot("add packet", "openvpn", cause), james.KindExists},
		{"other subject", "cannot add packet x: openvpn: has other content", james.Cannot("add packet", "x", cause), james.KindExists},
		{"plain cause", "cannot read file: boom", james.Cannot("read", "file", errors.New("boom")), james.KindInternal},
		{"wrapped kind", "cannot poll: later: openvpn: has other content", james.Cannot("poll", "", fmt.Errorf("later: %w", cause)), james.KindExists},
		{"cancelled", "cannot poll: context canceled", james.Cannot("poll", "", context.Canceled), james.KindInterrupted},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			if r.err.Error() != r.want || james.KindOf(r.err) != r.kind {
				t.Errorf("got %q of kind %q, want %q of %q", r.err, james.KindOf(r.err), r.want, r.kind)
			}
		})
	}
	if james.Cannot("x", "y", nil) != nil || james.KindOf(nil) != "" {
		t.Error("no error became one")
	}
	if h := james.HintOf(james.Cannot("a", "b", fmt.Errorf("c: %w", cause))); h != "use --replace" {
		t.Errorf("hint %q", h)
	}
}

func TestDesiredNextKeepsHistory(t *testing.T) {
	t.Parallel()
	var d *james.Desired
	for i := range james.MaxHistory + 5 {
		d = d.Next("device-1", []james.App{{Name: fmt.Sprintf("app%d", i)}}, "admin", time.Unix(int64(i), 0))
	}
	if d.Revision != james.MaxHistory+5 || len(d.History) != james.MaxHistory {
		t.Fatalf("revision %d with %d in history", d.Revision, len(d.History))
	}
	for i, h := range d.History {
		if h.Revision != d.Revision-uint64(i)-1 || h.History != nil {
			t.Errorf("history %d is revision %d with %d of its own", i, h.Revision, len(h.History))
		}
	}
}

func TestStateLeavesOutSystemTags(t *testing.T) {
	t.Parallel()
	d := james.Device{ID: "device-1", SystemTags: james.MustTags("armv7l,systemd"),
		Apps: []james.App{{Name: "openvpn", Tags: james.MustTags("v0.9.9,armv7l")}}}
	if got := d.State().Apps[0].Tags.String(); got != "v0.9.9" {
		t.Errorf("got %q", got)
	}
	for _, s := range []james.State{
		{ID: ""}, {ID: "a b"}, {ID: "x", Apps: []james.App{{Name: "a"}, {Name: "a"}}}, {ID: "x", Apps: []james.App{{}}},
		{ID: "x", Apps: make([]james.App, james.MaxApps+1)},
	} {
		if err := s.Validate(); james.KindOf(err) != james.KindInvalid {
			t.Errorf("%.80v is accepted: %v", s, err)
		}
	}
}

func TestPlanID(t *testing.T) {
	t.Parallel()
	p := &james.Packet{Name: "a", Digest: james.DigestOf([]byte("a"))}
	old := p.App()
	one := james.NewPlan(1, []james.Step{{New: p}}, nil)
	for _, r := range []struct {
		name string
		plan james.Plan
		same bool
	}{
		{"other revision", james.NewPlan(2, []james.Step{{New: p}}, nil), true},
		{"other action", james.NewPlan(1, []james.Step{{Old: &old}}, nil), false},
		{"a problem more", james.NewPlan(1, []james.Step{{New: p}}, []james.Problem{{Kind: james.Unresolved}}), false},
	} {
		if (r.plan.ID == one.ID) != r.same {
			t.Errorf("%s: %s and %s", r.name, r.plan.ID.Short(), one.ID.Short())
		}
	}
	if empty := james.NewPlan(1, nil, nil); !empty.Empty() || !empty.ID.IsZero() {
		t.Errorf("got %+v", empty)
	}
	if a := one.Steps[0].Action(); a != james.ActionInstall {
		t.Error(a)
	}
}
