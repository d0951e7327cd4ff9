package resolve_test

import (
	"github.com/trusch/jamesd/pkg/james"
)

// The reference: the rules of package resolve once more, word for word, with
// maps and loops and without regard to speed.

func fits(p *james.Packet, combined map[string]bool) bool {
	for _, t := range p.Tags.Strings() {
		if !combined[t] {
			return false
		}
	}
	return true
}

func keepMost(packets []*james.Packet, count func(*james.Packet) int) []*james.Packet {
	most := 0
	for _, p := range packets {
		most = max(most, count(p))
	}
	var out []*james.Packet
	for _, p := range packets {
		if count(p) == most {
			out = append(out, p)
		}
	}
	return out
}

// naiveFind returns the packets that are best; there is a problem unless it is
// exactly one.
func naiveFind(all []*james.Packet, app james.App, system james.TagSet) []*james.Packet {
	own, combined := map[string]bool{}, map[string]bool{}
	for _, t := range app.Tags.Strings() {
		own[t], combined[t] = true, true
	}
	for _, t := range system.Strings() {
		combined[t] = true
	}
	var left []*james.Packet
	for _, p := range all {
		if p.Name == app.Name && fits(p, combined) {
			left = append(left, p)
		}
	}
	left = keepMost(left, func(p *james.Packet) int {
		n := 0
		for _, t := range p.Tags.Strings() {
			if own[t] {
				n++
			}
		}
		return n
	})
	return keepMost(left, func(p *james.Packet) int { return p.Tags.Len() })
}

// naiveResult returns the digests that the device has by name once it is in the
// desired state.
func naiveResult(all []*james.Packet, installed, desired []james.App, system james.TagSet) map[string]james.Digest {
	out, before := map[string]james.Digest{}, digests(installed)
	for _, app := range desired {
		best := naiveFind(all, app, system)
		if len(best) == 1 {
			out[app.Name] = best[0].Digest
		} else if d, ok := before[app.Name]; ok {
			out[app.Name] = d
		}
	}
	return out
}

func digests(apps []james.App) map[string]james.Digest {
	out := map[string]james.Digest{}
	for _, a := range apps {
		out[a.Name] = a.Digest
	}
	return out
}
