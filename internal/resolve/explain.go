package resolve

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/trusch/jamesd/pkg/james"
)

// Limits of a problem's detail, so that a plan stays small whatever the
// catalogue holds.
const (
	maxNamed = 4   // packets or tags that a detail lists
	maxText  = 200 // bytes of one of them
)

// Explain says how app resolves on a device with those system tags: all packets
// of its name, best first, each with the tags that rule it out.
func Explain(c *Catalogue, app james.App, system james.TagSet) james.Explanation {
	packets := c.ByName(app.Name)
	chosen, problem := Find(c, app, system)
	out := james.Explanation{App: app, Candidates: make([]james.Candidate, len(packets)), Problem: problem}
	for i, p := range packets {
		out.Candidates[i] = candidate(p, app, system)
		out.Candidates[i].Chosen = p == chosen
	}
	slices.SortFunc(out.Candidates, nearer)
	return out
}

func candidate(p *james.Packet, app james.App, system james.TagSet) james.Candidate {
	return james.Candidate{
		Packet:  *p,
		Missing: p.Tags.Minus(app.Tags).Minus(system),
		AppTags: p.Tags.Intersect(app.Tags).Len(),
	}
}

// nearer sorts candidates best first: fewest missing tags, then the order in
// which packets that fit are preferred, then by tags, so that the order is the
// same on every jamesd.
func nearer(a, b james.Candidate) int {
	return cmp.Or(
		cmp.Compare(a.Missing.Len(), b.Missing.Len()),
		compare(b.AppTags, b.Packet.Tags.Len(), a.AppTags, a.Packet.Tags.Len()),
		cmp.Compare(a.Packet.Tags.String(), b.Packet.Tags.String()),
	)
}

func unresolved(packets []*james.Packet, app james.App, system james.TagSet) *james.Problem {
	out := &james.Problem{App: app, Kind: james.Unresolved}
	if len(packets) == 0 {
		out.Detail = fmt.Sprintf("there is no packet named %s; upload one with add-packet or correct the name", app.Name)
		return out
	}
	nearest := candidate(packets[0], app, system)
	for _, p := range packets[1:] {
		if c := candidate(p, app, system); nearer(c, nearest) < 0 {
			nearest = c
		}
	}
	has, which := "the tag", "which is"
	if nearest.Missing.Len() > 1 {
		has, which = "the tags", "which are"
	}
	out.Detail = fmt.Sprintf("no packet fits %s on this device: the nearest, %s, has %s %s, %s neither in the desired state nor among the system tags; "+
		"upload a packet for this device or change the tags in the desired state",
		clip(app.String()), clip(nearest.Packet.App().String()), has, list(nearest.Missing.Strings()), which)
	return out
}

// ambiguous names the packets that are level with best. To give the app exactly
// the tags of one of them always chooses it: no other of as many tags has them
// all, and one that has more of them would have won before.
func ambiguous(packets []*james.Packet, best *james.Packet, app james.App, system james.TagSet) *james.Problem {
	bestOwn, _ := weigh(best, app.Tags, system)
	var names []string
	all, common := james.TagSet{}, best.Tags
	for _, p := range packets {
		own, fits := weigh(p, app.Tags, system)
		if fits && compare(own, p.Tags.Len(), bestOwn, best.Tags.Len()) == 0 {
			names = append(names, fmt.Sprintf("%q", clip(p.Tags.String())))
			all, common = all.Union(p.Tags), common.Intersect(p.Tags)
		}
	}
	slices.Sort(names)
	return &james.Problem{App: app, Kind: james.Ambiguous, Detail: fmt.Sprintf(
		"%d packets fit %s equally well, those with the tags %s, which differ in %s; give the app in the desired state all tags of the one that is meant",
		len(names), clip(app.String()), list(names), list(all.Minus(common).Strings()))}
}

// list joins the first words as prose: "a, b and 3 more".
func list(words []string) string {
	if extra := len(words) - maxNamed; extra > 0 {
		words = append(slices.Clone(words[:maxNamed]), fmt.Sprintf("%d more", extra))
	}
	n := len(words) - 1
	if n < 1 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:n], ", ") + " and " + words[n]
}

// clip shortens what would make a detail unreadable; names and tags are ASCII.
func clip(s string) string {
	if len(s) <= maxText {
		return s
	}
	return s[:maxText] + "..."
}
