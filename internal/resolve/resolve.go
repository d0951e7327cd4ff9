// Package resolve decides which packet an app of a desired state stands for on
// a device, and what the device has to do to get there.
//
// A packet fits an app if it has the app's name and all of its tags are among
// the app's tags and the device's system tags. Of those that fit, the one with
// most of the app's own tags wins, then the one with most tags. Where that
// leaves several, or none, nothing is guessed: the result is a problem, and the
// device keeps what it has of that name.
//
// The package is pure: equal arguments give equal results, in the same words,
// whatever the order of the catalogue. It never changes what it is given, and knows
// nothing of stores, networks or clocks.
package resolve

import "github.com/trusch/jamesd/pkg/james"

// Find returns the packet that app stands for on a device with those system
// tags, or else the problem: exactly one of the results is nil. It does not
// allocate where it finds a packet.
func Find(c *Catalogue, app james.App, system james.TagSet) (*james.Packet, *james.Problem) {
	f := c.names[app.Name]
	if f == nil {
		return nil, unresolved(nil, app, system)
	}
	best := f.pick(app.Tags, system)
	switch {
	case best.packet == nil:
		return nil, unresolved(f.packets, app, system)
	case best.level > 1:
		return nil, ambiguous(f.packets, best.packet, app, system)
	}
	return best.packet, nil
}

// pick returns the best of the packets that fit.
func (f *family) pick(app, system james.TagSet) (b best) {
	b.consider(f.bare, app, system)
	for t := range app.All() {
		b.consider(f.rare[t], app, system)
	}
	for t := range system.All() {
		if !app.Has(t) {
			b.consider(f.rare[t], app, system)
		}
	}
	return b
}

// best is the best packet so far, and how many are level with it.
type best struct {
	packet *james.Packet
	own    int // its tags that the app names
	level  int
}

func (b *best) consider(packets []*james.Packet, app, system james.TagSet) {
	for _, p := range packets {
		own, fits := weigh(p, app, system)
		if !fits {
			continue
		}
		order := 1
		if b.packet != nil {
			order = compare(own, p.Tags.Len(), b.own, b.packet.Tags.Len())
		}
		switch {
		case order > 0:
			*b = best{p, own, 1}
		case order == 0:
			b.level++
		}
	}
}

// weigh counts the tags of p that the app names; fits is false where p has a
// tag that neither the app nor the device has, and own is of no meaning then.
func weigh(p *james.Packet, app, system james.TagSet) (own int, fits bool) {
	if p.Tags.Len() > app.Len()+system.Len() {
		return 0, false
	}
	for t := range p.Tags.All() {
		switch {
		case app.Has(t):
			own++
		case !system.Has(t):
			return 0, false
		}
	}
	return own, true
}

// compare orders two packets that fit, the better one being the greater.
func compare(own, tags, own2, tags2 int) int {
	if own != own2 {
		return own - own2
	}
	return tags - tags2
}
