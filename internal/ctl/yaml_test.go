package ctl_test

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
	"pgregory.net/rapid"

	"github.com/trusch/jamesd/internal/ctl"
	"github.com/trusch/jamesd/pkg/james"
)

const founding = `id: device-1
systemtags:
- armv7l
- glibc-2.23
- systemd
apps:
- name: openvpn
  tags:
  - v0.9.9
`

func TestFoundingYAML(t *testing.T) {
	t.Parallel()
	state := james.State{
		ID:         "device-1",
		SystemTags: james.MustTags("armv7l,glibc-2.23,systemd"),
		Apps:       []james.App{{Name: "openvpn", Tags: james.MustTags("v0.9.9"), Digest: james.DigestOf(nil)}},
	}
	var out bytes.Buffer
	if err := ctl.PrintState(&out, state); err != nil || out.String() != founding {
		t.Errorf("%v\n%s", err, out.String())
	}
}

func TestStateYAML(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		state james.State
		want  string
	}{
		{"nothing", james.State{ID: "d"}, "id: d\nsystemtags: []\napps: []\n"},
		{"an app without tags", james.State{ID: "d", Apps: []james.App{{Name: "a"}}}, "id: d\nsystemtags: []\napps:\n- name: a\n  tags: []\n"},
		{"quotes where needed", james.State{ID: "1", SystemTags: james.MustTags("1.10,true,v1,2024-01-01,a:b,x=y,n")},
			"id: \"1\"\nsystemtags:\n- \"1.10\"\n- \"2024-01-01\"\n- a:b\n- \"n\"\n- \"true\"\n- v1\n- x=y\napps: []\n"},
	} {
		var out bytes.Buffer
		if err := ctl.PrintState(&out, tc.state); err != nil || out.String() != tc.want {
			t.Errorf("%s: %v\n%s\nwant\n%s", tc.name, err, out.String(), tc.want)
		}
	}
}

// TestStateRoundTrip: what get-state prints is what set-desired-state reads, for
// one state and for many.
func TestStateRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		states := rapid.SliceOfNDistinct(anyState(), 1, 4, func(s james.State) string { return s.ID }).Draw(t, "states")
		var file bytes.Buffer
		for _, s := range states {
			file.WriteString("---\n")
			if err := ctl.PrintState(&file, s); err != nil {
				t.Fatal(err)
			}
		}
		got, err := ctl.ReadStates("file", bytes.NewReader(file.Bytes()))
		if err != nil {
			t.Fatalf("%v\n%s", err, file.String())
		}
		want, _ := json.Marshal(states)
		if back, _ := json.Marshal(got); !bytes.Equal(back, want) {
			t.Fatalf("%s\nbecame\n%s\nby way of\n%s", want, back, file.String())
		}
	})
}

func anyState() *rapid.Generator[james.State] {
	return rapid.Custom(func(t *rapid.T) james.State {
		tags := rapid.Custom(func(t *rapid.T) james.TagSet {
			words := rapid.StringMatching(`[A-Za-z0-9][-A-Za-z0-9+._:=/@~]{0,12}|[0-9]{1,3}(\.[0-9]{1,2})?|true|no|y|null|0x1f|1e3|\.?inf|[0-9]{4}-[0-9]{2}-[0-9]{2}`).
				Filter(func(s string) bool { return james.CheckTag(s) == nil })
			set, err := james.NewTagSet(rapid.SliceOfN(words, 0, 5).Draw(t, "tags")...)
			if err != nil {
				t.Fatal(err)
			}
			return set
		})
		id := rapid.StringMatching(`[A-Za-z0-9][-A-Za-z0-9._:@]{0,12}|[0-9]+|true|null`)
		name := rapid.StringMatching(`[A-Za-z0-9][-A-Za-z0-9+._]{0,12}|[0-9.]{1,4}|no|off`).
			Filter(func(s string) bool { return james.CheckName(s) == nil })
		s := james.State{ID: id.Draw(t, "id"), SystemTags: tags.Draw(t, "systemtags"), Apps: []james.App{}}
		for _, n := range rapid.SliceOfNDistinct(name, 0, 4, rapid.ID[string]).Draw(t, "names") {
			s.Apps = append(s.Apps, james.App{Name: n, Tags: tags.Draw(t, "tags")})
		}
		return s
	})
}

// TestYAMLRoundTrip: whatever a server answers, YAML says the same as JSON.
func TestYAMLRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		want := anyValue(3).Draw(t, "value")
		var out bytes.Buffer
		if err := ctl.PrintYAML(&out, want); err != nil {
			t.Fatal(err)
		}
		var got any
		if err := yaml.Unmarshal(out.Bytes(), &got); err != nil {
			t.Fatalf("%v\n%s", err, out.String())
		}
		if !reflect.DeepEqual(normal(got), normal(want)) {
			t.Fatalf("%#v became %#v by way of\n%s", want, got, out.String())
		}
	})
}

func anyValue(depth int) *rapid.Generator[any] {
	lines := rapid.Map(rapid.SliceOfN(rapid.StringMatching(`[ a-z:#'"\-\t]{0,8}`), 1, 4),
		func(l []string) any { return strings.Join(l, "\n") })
	scalars := []*rapid.Generator[any]{
		rapid.Map(rapid.String(), func(s string) any { return s }), lines,
		rapid.SampledFrom([]any{"", "null", "~", "yes", "1", "1.0", "0o7", "a: b", "- a", "# a", "x\x00y", "\x7f", "\u2028", "a\n", "\na", "a\n\n", " a\nb", "=", "<<", "2020-01-01T00:00:00Z", "1:30"}),
		rapid.Map(rapid.Int64Range(-1000, 1<<40), func(n int64) any { return n }),
		rapid.Map(rapid.Bool(), func(b bool) any { return b }),
		rapid.Just[any](nil),
	}
	if depth == 0 {
		return rapid.OneOf(scalars...)
	}
	lists := rapid.Map(rapid.SliceOfN(anyValue(depth-1), 0, 3), func(l []any) any { return l })
	maps := rapid.Map(rapid.MapOfN(rapid.StringN(0, 12, 40), anyValue(depth-1), 0, 3), func(m map[string]any) any { return m })
	return rapid.OneOf(append(scalars, lists, maps)...)
}

// normal makes values comparable that come from either side.
func normal(v any) any {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	var out any
	if err := json.Unmarshal(raw, &out); err != nil {
		panic(err)
	}
	return out
}

func TestScriptOutputReadsAsLines(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	v := []map[string]string{{"output": "starting: yes\n\n  # indented\ndone\n"}}
	if err := ctl.PrintYAML(&out, v); err != nil {
		t.Fatal(err)
	}
	const want = "- output: |\n    starting: yes\n\n      # indented\n    done\n"
	if out.String() != want {
		t.Errorf("%s\nwant\n%s", out.String(), want)
	}
}
