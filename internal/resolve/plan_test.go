package resolve_test

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/trusch/jamesd/internal/resolve"
	"github.com/trusch/jamesd/pkg/james"
)

func TestPlan(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name      string
		installed []string // "name tags"
		desired   []string
		purge     []string
		none      bool // no desired state
		unset     bool
		want      []string // "action name tags"
		problems  []string // names
	}{
		{name: "nothing to do", installed: []string{"a v1", "b v1"}, desired: []string{"b v1", "a v1"}},
		{name: "install in the order of the desired state", desired: []string{"b v1", "a v2"},
			want: []string{"install b s,v1", "install a s,v2"}},
		{name: "upgrade", installed: []string{"a v1"}, desired: []string{"a v2"}, want: []string{"upgrade a s,v2"}},
		{name: "downgrade", installed: []string{"a v2"}, desired: []string{"a v1"}, want: []string{"upgrade a s,v1"}},
		{name: "removals come first and sorted", installed: []string{"z v1", "b v1", "a v1"}, desired: []string{"c v1", "a v2"},
			want: []string{"remove b", "remove z", "install c s,v1", "upgrade a s,v2"}},
		{name: "an empty desired state removes all", installed: []string{"b v1", "a v1"}, want: []string{"remove a", "remove b"}},
		{name: "what is to be purged", installed: []string{"a v1", "b v1", "c v1"}, desired: []string{"c v1"}, purge: []string{"b", "z"},
			want: []string{"remove a", "remove b, purge"}},
		{name: "no desired state leaves the device alone", installed: []string{"a v1"}, none: true},
		{name: "so does one that was unset", installed: []string{"a v1"}, unset: true},
		{name: "what has a problem keeps what is installed", installed: []string{"a v1", "b v1"}, desired: []string{"a v9,q", "b v2"},
			want: []string{"upgrade b s,v2"}, problems: []string{"a"}},
	}
	c := newCatalogue("a s,v1", "a s,v2", "b s,v1", "b s,v2", "c s,v1", "z s,v1")
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			desired := &james.Desired{Revision: 7, Unset: test.unset, Purge: test.purge, Schedule: james.Schedule{Urgent: true}}
			for _, s := range test.desired {
				desired.Apps = append(desired.Apps, app(s))
			}
			if test.none {
				desired = nil
			}
			got := resolve.Plan(c, installed(t, c, test.installed), desired, james.MustTags("s"))
			var steps, problems []string
			for _, s := range got.Steps {
				line := string(s.Action()) + " " + s.Name()
				if s.New != nil {
					line += " " + s.New.Tags.String()
				}
				if s.Purge {
					line += ", purge"
				}
				steps = append(steps, line)
			}
			for _, p := range got.Problems {
				problems = append(problems, p.App.Name)
			}
			if !slices.Equal(steps, test.want) || !slices.Equal(problems, test.problems) {
				t.Errorf("steps %q and problems %q, want %q and %q", steps, problems, test.want, test.problems)
			}
			if want := uint64(7); !test.none && got.Revision != want {
				t.Errorf("revision %d, want %d", got.Revision, want)
			}
			if got.Empty() == got.Urgent {
				t.Errorf("a plan with %d steps and %d problems has the schedule %+v", len(got.Steps), len(got.Problems), got.Schedule)
			}
			if got.Empty() != got.ID.IsZero() {
				t.Errorf("a plan with %d steps has the ID %q", len(got.Steps), got.ID)
			}
		})
	}
}

// installed returns the apps as a device of system tag s reports them.
func installed(t *testing.T, c *resolve.Catalogue, list []string) []james.App {
	var out []james.App
	for _, s := range list {
		p, problem := resolve.Find(c, app(s), james.MustTags("s"))
		if problem != nil {
			t.Fatal(problem.Detail)
		}
		out = append(out, p.App())
	}
	return out
}

// world is one device and the packets that exist.
type world struct {
	packets   []*james.Packet
	gone      []*james.Packet // that were there once; not empty
	installed []james.App
	desired   *james.Desired
	system    james.TagSet
}

// catalogue returns one that had other packets, too.
func (w world) catalogue() *resolve.Catalogue {
	c := new(resolve.Catalogue)
	for i, p := range w.packets {
		if i%2 == 0 {
			c.Add(w.gone[i%len(w.gone)])
		}
		c.Add(p)
		if i%2 == 0 {
			c.Remove(w.gone[i%len(w.gone)])
		}
	}
	return c
}

// draw keeps the alphabets so small that ties and misses are frequent.
func draw(t *rapid.T) world {
	tags := rapid.Custom(func(t *rapid.T) james.TagSet {
		return james.MustTags(strings.Join(rapid.SliceOfN(rapid.SampledFrom(strings.Split("p,q,r,s,t,u", ",")), 0, 4).Draw(t, "tags"), ","))
	})
	names := rapid.SliceOfNDistinct(rapid.SampledFrom(strings.Split("a,b,c,d,e", ",")), 0, 5, rapid.ID)
	apps := rapid.Custom(func(t *rapid.T) []james.App {
		var out []james.App
		for _, n := range names.Draw(t, "names") {
			out = append(out, james.App{Name: n, Tags: tags.Draw(t, "tags")})
		}
		return out
	})
	w := world{gone: parsed([]string{"a", "b p", "c p,q", "a s,t", "b r,s"})}
	for range rapid.IntRange(0, 30).Draw(t, "packets") {
		name := rapid.SampledFrom(strings.Split("a,b,c,d", ",")).Draw(t, "name")
		set := tags.Draw(t, "tags")
		if !slices.ContainsFunc(w.packets, func(p *james.Packet) bool { return p.Name == name && p.Tags.Equal(set) }) {
			w.packets = append(w.packets, packet(name, set.String()))
		}
	}
	w.system = tags.Draw(t, "system")
	w.desired = &james.Desired{Revision: 1, Apps: apps.Draw(t, "desired")}
	for _, a := range apps.Draw(t, "installed") {
		a.Digest = james.DigestOf([]byte(a.Name + " " + a.Tags.String()))
		w.installed = append(w.installed, a)
	}
	return w
}

// apply carries a plan out as a device does; it fails for a step that does not
// go with what is there.
func apply(t *rapid.T, installed []james.App, plan james.Plan) []james.App {
	out := slices.Clone(installed)
	for _, s := range plan.Steps {
		i := slices.IndexFunc(out, func(a james.App) bool { return a.Name == s.Name() })
		if (s.Old != nil) != (i >= 0) {
			t.Fatalf("%s %s where %v is installed", s.Action(), s.Name(), out)
		}
		if s.Old != nil {
			if out[i].Digest != s.Old.Digest {
				t.Fatalf("%s %s of %v where %v is installed", s.Action(), s.Name(), *s.Old, out[i])
			}
			out = slices.Delete(out, i, i+1)
		}
		if s.New != nil {
			out = append(out, s.New.App())
		}
	}
	return out
}

func TestPlanLaws(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := draw(t)
		before := slices.Clone(w.installed)
		plan := resolve.Plan(w.catalogue(), w.installed, w.desired, w.system)
		after := apply(t, w.installed, plan)

		want := naiveResult(w.packets, w.installed, w.desired.Apps, w.system)
		if got := digests(after); !maps.Equal(got, want) {
			t.Fatalf("the device ends with %v, want %v", got, want)
		}
		again := resolve.Plan(w.catalogue(), after, w.desired, w.system)
		if len(again.Steps) != 0 {
			t.Fatalf("then there is still to do: %v", again.Steps)
		}
		if !reflect.DeepEqual(again.Problems, plan.Problems) {
			t.Fatalf("the problems change from %v to %v", plan.Problems, again.Problems)
		}
		if len(plan.Problems) == 0 && !again.Empty() {
			t.Fatalf("the plan of a device in its desired state is %v", again)
		}
		if !reflect.DeepEqual(before, w.installed) {
			t.Fatal("the argument was changed")
		}
		checkOrder(t, plan, w.desired.Apps)

		slices.Reverse(w.packets)
		slices.Reverse(w.installed)
		if other := resolve.Plan(w.catalogue(), w.installed, w.desired, w.system); other.ID != plan.ID {
			t.Fatalf("the order of the arguments shows: %v and %v", plan, other)
		}
	})
}

func checkOrder(t *rapid.T, plan james.Plan, desired []james.App) {
	last, removals := -1, true
	for i, s := range plan.Steps {
		if s.New == nil {
			if !removals || i > 0 && plan.Steps[i-1].Name() >= s.Name() {
				t.Fatalf("the removal of %s is out of order: %v", s.Name(), plan.Steps)
			}
			continue
		}
		removals = false
		at := slices.IndexFunc(desired, func(a james.App) bool { return a.Name == s.Name() })
		if at <= last {
			t.Fatalf("the step of %s is out of the desired state's order: %v", s.Name(), plan.Steps)
		}
		last = at
	}
}

func TestFindIsTheReference(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := draw(t)
		for _, a := range w.desired.Apps {
			best := naiveFind(w.packets, a, w.system)
			got, problem := resolve.Find(w.catalogue(), a, w.system)
			switch {
			case len(best) == 1 && got == best[0] && problem == nil:
			case len(best) == 0 && got == nil && problem.Kind == james.Unresolved:
			case len(best) > 1 && got == nil && problem.Kind == james.Ambiguous:
				checkAdvice(t, w, a, best)
			default:
				t.Fatalf("%s resolves to %v and %v, want one of %v", a, got, problem, best)
			}
			checkExplanation(t, resolve.Explain(w.catalogue(), a, w.system), got, len(best))
		}
	})
}

// checkAdvice follows what the detail of an ambiguous app says.
func checkAdvice(t *rapid.T, w world, a james.App, best []*james.Packet) {
	for _, p := range best {
		a.Tags = p.Tags
		if got, problem := resolve.Find(w.catalogue(), a, w.system); got != p {
			t.Fatalf("with all tags of %v the app resolves to %v and %v", p, got, problem)
		}
	}
}

func checkExplanation(t *rapid.T, e james.Explanation, chosen *james.Packet, level int) {
	if (e.Problem == nil) != (chosen != nil) {
		t.Fatalf("explanation %v, found %v", e, chosen)
	}
	for i, c := range e.Candidates {
		if c.Chosen != (chosen != nil && i == 0) {
			t.Fatalf("candidate %d is chosen: %v of %v", i, c.Chosen, e)
		}
		if c.Chosen && c.Packet.Digest != chosen.Digest {
			t.Fatalf("the explanation chooses %v, Find %v", c.Packet, chosen)
		}
		if i < level && !c.Missing.IsZero() {
			t.Fatalf("one of the %d best lacks %s", level, c.Missing)
		}
	}
}
