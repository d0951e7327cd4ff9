package ctl_test

import (
	"errors"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/trusch/jamesd/internal/ctl"
	"github.com/trusch/jamesd/pkg/james"
)

func TestReadStates(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, file string
		want       string // ids and apps
	}{
		{"the founding document's", founding, "device-1: openvpn v0.9.9"},
		{"flow style", "{id: d, apps: [{name: a, tags: [v1, x]}]}", "d: a v1,x"},
		{"no system tags, no tags", "id: d\napps:\n- name: a\n", "d: a"},
		{"uninstall everything", "id: d\napps: []\n", "d:"},
		{"several documents", founding + "---\n# nothing\n---\nid: d2\napps: []\n---\n", "device-1: openvpn v0.9.9 | d2:"},
		{"leading separator", "---\n" + founding, "device-1: openvpn v0.9.9"},
		{"numbers as they are written", "id: 007\napps:\n- name: a\n  tags: [1.10, 0x10, 2024-01-01]\n", "007: a 0x10,1.10,2024-01-01"},
		{"anchors", "id: d\nsystemtags: &t [x]\napps:\n- name: a\n  tags: *t\n", "d: a x"},
		{"what is to be purged", "id: d\napps: []\npurge: [b, a]\n", "d: -b -a"},
		{"when", "id: d\napps: []\ndownload: NOW\napply: mon-fri 2:00-4:00,Sun 22:00-02:00\nurgent: true\n", "d: (download now, apply Mon-Fri 02:00-04:00, Sun 22:00-02:00, urgent)"},
		{"nothing urgent", "id: d\napps: []\nurgent: false\n", "d:"},
		{"JSON", `{"id":"d","systemtags":["x"],"apps":[{"name":"a","tags":["v1"]}]}`, "d: a v1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			states, err := ctl.ReadStates("state.yaml", strings.NewReader(tc.file))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, s := range states {
				line := s.ID + ":"
				for _, a := range s.Apps {
					line += " " + a.String()
				}
				for _, name := range s.Purge {
					line += " -" + name
				}
				if when := s.Schedule.Describe(); when != "" {
					line += " (" + when + ")"
				}
				got = append(got, line)
			}
			if all := strings.Join(got, " | "); all != tc.want {
				t.Errorf("%q, want %q", all, tc.want)
			}
		})
	}
}

func TestReadStatesRefuses(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, file string
		want, hint string
	}{
		{"nothing", "", "state.yaml: holds no state", "get-state"},
		{"only comments", "# x\n---\n", "state.yaml: holds no state", ""},
		{"unknown key", "id: d\napp: []\n", `state.yaml:2: unknown key "app" in a state, the keys are id, systemtags, apps`, `Did you mean "apps"?`},
		{"unknown key of an app", "id: d\napps:\n- name: a\n  version: v1\n", `state.yaml:4: unknown key "version" in an app, the keys are name, tags`, "A version is a tag."},
		{"a strange key", "? [a]\n: b\n", `state.yaml:1: unknown key ""`, ""},
		{"repeated key", "id: d\nid: e\napps: []\n", "state.yaml:2: id is given twice, first in line 1", ""},
		{"no id", "apps: []\n", "state.yaml:1: the key id is missing", ""},
		{"empty id", "id: \"\"\napps: []\n", "state.yaml:1: device id: is empty", ""},
		{"null id", "id:\napps: []\n", "state.yaml:1: id is empty", ""},
		{"malformed id", "id: a/b\napps: []\n", `state.yaml:1: device id: "a/b" has "/"`, ""},
		{"a list for the id", "id: [d]\napps: []\n", "state.yaml:1: id must be a word, this is a list", ""},
		{"no apps", "id: d\nsystemtags: []\n", "state.yaml:1: the key apps is missing", `"apps: []"`},
		{"null apps", "id: d\napps:\n", "state.yaml:2: apps must be a list, this is nothing", `"apps: []"`},
		{"a word for apps", "id: d\napps: hello\n", `state.yaml:2: apps must be a list, this is the word "hello"`, "- name: NAME"},
		{"a mapping for apps", "id: d\napps:\n  name: a\n", "state.yaml:3: apps must be a list, this is a mapping", ""},
		{"a word for an app", "id: d\napps: [hello]\n", "state.yaml:2: an app must be a mapping with the keys name, tags", ""},
		{"an app without a name", "id: d\napps:\n- tags: [v1]\n", "state.yaml:3: the app has no name", ""},
		{"a malformed name", "id: d\napps:\n- name: a b\n", `state.yaml:3: packet name: "a b" has " "`, ""},
		{"an app twice", "id: d\napps:\n- name: a\n- name: b\n- name: a\n", "state.yaml:5: app a is listed twice, first in line 3", ""},
		{"a word for tags", "id: d\napps:\n- name: a\n  tags: v1\n", `state.yaml:4: tags must be a list, this is the word "v1"`, "tags: [v1.0.0]"},
		{"a mapping for tags", "id: d\napps:\n- name: a\n  tags: {a: b}\n", "state.yaml:4: tags must be a list, this is a mapping", ""},
		{"a list for a tag", "id: d\nsystemtags:\n- x\n- [y]\napps: []\n", "state.yaml:4: a tag must be a word, this is a list", ""},
		{"true for a tag", "id: d\nsystemtags: [true]\napps: []\n", "state.yaml:2: a tag must be a word, true means true or false in YAML", `"true"`},
		{"an empty tag", "id: d\nsystemtags:\n- x\n-\napps: []\n", "state.yaml:4: a tag is empty", ""},
		{"a malformed tag", "id: d\nsystemtags: ['a b']\napps: []\n", `state.yaml:2: tag: "a b" has " "`, ""},
		{"too many tags", "id: d\napps: []\nsystemtags: [" + numbers(65) + "]\n", "state.yaml:3: tags: there are 65, the limit is 64", ""},
		{"too many apps", "id: d\napps: [" + numbers(1001) + "]\n", "state.yaml:2: there are 1001 apps, the limit is 1000", ""},
		{"a word for what is to be purged", "id: d\napps: []\npurge: a\n", `state.yaml:3: purge must be a list, this is the word "a"`, "purge: [openvpn]"},
		{"to be purged twice", "id: d\napps: []\npurge: [a, a]\n", "state.yaml:3: purge: a is listed twice", ""},
		{"to be purged and wanted", "id: d\npurge: [a]\napps:\n- name: a\n", "state.yaml:2: purge: a is wanted too", ""},
		{"a malformed name to be purged", "id: d\napps: []\npurge:\n- b\n- a b\n", `state.yaml:5: packet name: "a b" has " "`, ""},
		{"null to be purged", "id: d\napps: []\npurge:\n", "state.yaml:3: purge must be a list, this is nothing", ""},
		{"no window", "id: d\napps: []\napply: tonight\n", `state.yaml:3: window: "tonight" is not HH:MM-HH:MM`, "02:00-04:00"},
		{"a list for a window", "id: d\napps: []\ndownload: [now]\n", "state.yaml:3: download must be a word, this is a list", ""},
		{"null for a window", "id: d\napply:\napps: []\n", "state.yaml:2: apply is empty", ""},
		{"a word for urgent", "id: d\napps: []\nurgent: very\n", `state.yaml:3: urgent must be true or false, this is the word "very"`, ""},
		{"a list for a state", "- id: d\n", "state.yaml:1: a state must be a mapping", ""},
		{"text", "hello\n", "state.yaml:1: a state must be a mapping", ""},
		{"not YAML", "id: [device-1\n", "is not YAML", ""},
		{"tabs", "id: d\n\tapps: []\n", "state.yaml:2: is not YAML", ""},
		{"not text", "\x00\x01", "state.yaml: is not YAML", ""},
		{"an unknown alias", "id: *x\napps: []\n", "is not YAML: unknown anchor", ""},
		{"an endless alias", "id: d\napps: &a [*a]\n", "state.yaml:2: an app must be a mapping", ""},
		{"the second document", founding + "---\nid: ''\napps: []\n", "state.yaml:11 (document 2): device id: is empty", ""},
		{"a bad second document", founding + "---\nid: [\n", "(document 2): is not YAML", ""},
		{"a device twice", founding + "---\n" + founding, "state.yaml:11 (document 2): device device-1 is in this file twice, first in line 1", ""},
		{"a merge key", "a: &a {id: d}\n", `unknown key "a"`, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			states, err := ctl.ReadStates("state.yaml", strings.NewReader(tc.file))
			if james.KindOf(err) != james.KindInvalid || !strings.Contains(err.Error(), tc.want) || !strings.Contains(james.HintOf(err), tc.hint) {
				t.Errorf("%v, %v, hint %q; want %q, hint %q", states, err, james.HintOf(err), tc.want, tc.hint)
			}
		})
	}
}

func TestReadStatesFailsAsReadingDoes(t *testing.T) {
	t.Parallel()
	_, err := ctl.ReadStates("state.yaml", iotest.ErrReader(errors.New("the disk is gone")))
	if err == nil || !strings.Contains(err.Error(), "state.yaml") || !strings.Contains(err.Error(), "the disk is gone") {
		t.Error(err)
	}
}

func numbers(n int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString("t")
		for v := i; ; v /= 10 {
			b.WriteByte('0' + byte(v%10))
			if v < 10 {
				break
			}
		}
	}
	return b.String()
}

func FuzzReadStates(f *testing.F) {
	f.Add(founding)
	f.Add(founding + "---\n" + founding)
	f.Add("id: d\napps: &a [*a]\n")
	f.Add("{id: d, apps: [{name: a, tags: [v1, x]}]}")
	f.Fuzz(func(t *testing.T, file string) {
		states, err := ctl.ReadStates("f", strings.NewReader(file))
		if (err == nil) != (len(states) > 0) {
			t.Fatalf("%v, %v", states, err)
		}
		for _, s := range states {
			if err := s.Validate(); err != nil {
				t.Fatal(err)
			}
		}
	})
}
