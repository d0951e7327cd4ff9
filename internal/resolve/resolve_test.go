package resolve_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/trusch/jamesd/internal/resolve"
	"github.com/trusch/jamesd/pkg/james"
)

// packet returns a packet that is told by its name and tags.
func packet(name, tags string) *james.Packet {
	return &james.Packet{Name: name, Tags: james.MustTags(tags), Digest: james.DigestOf([]byte(name + " " + tags))}
}

// catalogueOf returns the catalogue to which the packets were added in order.
func catalogueOf(packets ...*james.Packet) *resolve.Catalogue {
	c := new(resolve.Catalogue)
	for _, p := range packets {
		c.Add(p)
	}
	return c
}

func newCatalogue(packets ...string) *resolve.Catalogue { return catalogueOf(parsed(packets)...) }

// parsed returns packets that are given as "name tag,tag".
func parsed(list []string) (out []*james.Packet) {
	for _, p := range list {
		name, tags, _ := strings.Cut(p, " ")
		out = append(out, packet(name, tags))
	}
	return out
}

func app(s string) james.App {
	name, tags, _ := strings.Cut(s, " ")
	return james.App{Name: name, Tags: james.MustTags(tags)}
}

func TestFind(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		packets []string
		app     string
		system  string
		want    string // tags of the packet, or
		problem james.ProblemKind
		detail  []string // what the problem names
	}{
		{name: "the founding example",
			packets: []string{"test-packet v1.0.0,armv7l,glibc-2.23", "test-packet v0.9.0,armv7l,glibc-2.23"},
			app:     "test-packet v1.0.0", system: "armv7l,glibc-2.23,systemd", want: "armv7l,glibc-2.23,v1.0.0"},
		{name: "another name does not fit", packets: []string{"b x"}, app: "a x",
			problem: james.Unresolved, detail: []string{"no packet named a", "add-packet"}},
		{name: "no tags at all", packets: []string{"a"}, app: "a", want: ""},
		{name: "a packet without tags fits any app", packets: []string{"a"}, app: "a v1", want: ""},
		{name: "one tag too many rules out", packets: []string{"a v1,arm64"}, app: "a v1", system: "armv7l",
			problem: james.Unresolved, detail: []string{"a arm64,v1", "tag arm64,", "neither in the desired state nor among the system tags"}},
		{name: "several tags too many are all named", packets: []string{"a arm64,musl-1.2,v1"}, app: "a v1", system: "armv7l",
			problem: james.Unresolved, detail: []string{"tags arm64 and musl-1.2,"}},
		{name: "the app's own tags count more than many tags", packets: []string{"a v1", "a s1,s2,s3"},
			app: "a v1", system: "s1,s2,s3", want: "v1"},
		{name: "then most tags win", packets: []string{"a v1", "a v1,s1", "a v1,s1,s2"},
			app: "a v1", system: "s1,s2,s3", want: "s1,s2,v1"},
		{name: "an app's tag that is a system tag too counts as its own", packets: []string{"a s1", "a s2"},
			app: "a s2", system: "s1,s2", want: "s2"},
		{name: "level", packets: []string{"a v1,s1", "a v1,s2", "a v1"}, app: "a v1", system: "s1,s2",
			problem: james.Ambiguous, detail: []string{"2 packets", `"s1,v1" and "s2,v1"`, "differ in s1 and s2"}},
		{name: "level by the app's own tags", packets: []string{"a x", "a y"}, app: "a x,y",
			problem: james.Ambiguous, detail: []string{`"x" and "y"`, "all tags of the one that is meant"}},
		{name: "level packets that lose do not matter", packets: []string{"a s1", "a s2", "a s1,s2"},
			app: "a", system: "s1,s2", want: "s1,s2"},
		{name: "the nearest lacks fewest tags", packets: []string{"a m1,m2,v1", "a m3,s1"}, app: "a v1", system: "s1",
			problem: james.Unresolved, detail: []string{"the nearest, a m3,s1,", "tag m3,"}},
		{name: "and then has most of the app's", packets: []string{"a armv7l,v0", "a arm64,v1"}, app: "a v1", system: "armv7l",
			problem: james.Unresolved, detail: []string{"the nearest, a arm64,v1,", "tag arm64,"}},
		{name: "many level packets are not all named", packets: []string{"a s1", "a s2", "a s3", "a s4", "a s5", "a s6"},
			app: "a", system: "s1,s2,s3,s4,s5,s6", problem: james.Ambiguous, detail: []string{"6 packets", "and 2 more"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := newCatalogue(test.packets...)
			wanted := app(test.app)
			got, problem := resolve.Find(c, wanted, james.MustTags(test.system))
			if test.problem == "" {
				if problem != nil {
					t.Fatalf("problem: %s", problem.Detail)
				}
				if got.Tags.String() != test.want {
					t.Fatalf("found %q, want %q", got.Tags, test.want)
				}
				return
			}
			if got != nil || problem == nil || problem.Kind != test.problem || problem.App.String() != wanted.String() {
				t.Fatalf("found %v with the problem %+v, want %s", got, problem, test.problem)
			}
			for _, part := range test.detail {
				if !strings.Contains(problem.Detail, part) {
					t.Errorf("detail %q does not contain %q", problem.Detail, part)
				}
			}
			packets := parsed(test.packets)
			slices.Reverse(packets)
			if _, again := resolve.Find(catalogueOf(packets...), wanted, james.MustTags(test.system)); again.Detail != problem.Detail {
				t.Errorf("the catalogue's order shows: %q and %q", again.Detail, problem.Detail)
			}
		})
	}
}

func TestDetailIsBounded(t *testing.T) {
	t.Parallel()
	var tags []string
	for i := range james.MaxTags {
		tags = append(tags, fmt.Sprintf("%0*d", james.MaxTagLen, i))
	}
	c := newCatalogue("a "+strings.Join(tags, ","), "b "+strings.Join(tags[1:], ","), "b "+strings.Join(tags[:james.MaxTags-1], ","))
	for _, test := range []struct {
		app    james.App
		system james.TagSet
	}{
		{app: app("a " + strings.Join(tags[:9], ","))},
		{app: app("b"), system: james.MustTags(strings.Join(tags, ","))},
	} {
		_, problem := resolve.Find(c, test.app, test.system)
		if problem == nil || len(problem.Detail) > 2000 {
			t.Errorf("%s: problem %v", test.app.Name, problem)
		}
	}
}

func TestExplain(t *testing.T) {
	t.Parallel()
	c := newCatalogue("a v1,armv7l", "a v1,arm64", "a v0,armv7l", "a v1", "a v0,arm64", "b v1")
	got := resolve.Explain(c, app("a v1"), james.MustTags("armv7l"))
	type row struct {
		tags, missing string
		own           int
		chosen        bool
	}
	want := []row{
		{"armv7l,v1", "", 1, true},
		{"v1", "", 1, false},
		{"arm64,v1", "arm64", 1, false},
		{"armv7l,v0", "v0", 0, false},
		{"arm64,v0", "arm64,v0", 0, false},
	}
	var rows []row
	for _, c := range got.Candidates {
		rows = append(rows, row{c.Packet.Tags.String(), c.Missing.String(), c.AppTags, c.Chosen})
	}
	if !slices.Equal(rows, want) || got.Problem != nil {
		t.Errorf("got %+v and the problem %v, want %+v", rows, got.Problem, want)
	}
	if got := resolve.Explain(c, app("c"), james.TagSet{}); got.Problem == nil || len(got.Candidates) != 0 {
		t.Errorf("an unknown name explains as %+v", got)
	}
}
