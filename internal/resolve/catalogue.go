package resolve

import (
	"slices"

	"github.com/trusch/jamesd/pkg/james"
)

// Catalogue is the packets that exist, each pair of name and tags once. The zero
// value is empty. What only reads it may do so concurrently.
//
// A packet can only fit where its rarest tag is, so the packets of a name are kept
// under theirs, and Find looks at those under the tags that an app and a device
// have: with ten versions for five systems, at five packets of fifty.
type Catalogue struct{ names map[string]*family }

// family is the packets of one name.
type family struct {
	packets []*james.Packet
	count   map[james.Tag]int             // packets that have the tag
	rare    map[james.Tag][]*james.Packet // by a tag that few others have
	bare    []*james.Packet               // without tags
}

// ByName returns the packets of that name, in any order. The caller changes
// neither the slice nor the packets.
func (c *Catalogue) ByName(name string) []*james.Packet {
	if f := c.names[name]; f != nil {
		return f.packets
	}
	return nil
}

// Add adds a packet that is not there.
func (c *Catalogue) Add(p *james.Packet) {
	f := c.names[p.Name]
	if f == nil {
		if c.names == nil {
			c.names = make(map[string]*family)
		}
		f = new(family)
		c.names[p.Name] = f
	}
	f.packets = append(f.packets, p)
	if n := len(f.packets); n&(n-1) == 0 {
		f.arrange() // how rare a tag is has changed since the others came
		return
	}
	f.note(p)
	f.place(p)
}

// Remove removes a packet that was added.
func (c *Catalogue) Remove(p *james.Packet) {
	f := c.names[p.Name]
	if f.packets = without(f.packets, p); len(f.packets) == 0 {
		delete(c.names, p.Name)
		return
	}
	f.bare = without(f.bare, p)
	for t := range p.Tags.All() {
		f.count[t]--
		if f.rare[t] = without(f.rare[t], p); len(f.rare[t]) == 0 {
			delete(f.rare, t)
		}
		if f.count[t] == 0 {
			delete(f.count, t)
		}
	}
}

// without returns the packets but for one, in a slice of its own: the old one may
// have been handed out.
func without(packets []*james.Packet, p *james.Packet) []*james.Packet {
	i := slices.Index(packets, p)
	if i < 0 {
		return packets
	}
	return slices.Concat(packets[:i], packets[i+1:])
}

// arrange puts all packets under their rarest tags.
func (f *family) arrange() {
	f.count, f.rare, f.bare = make(map[james.Tag]int), make(map[james.Tag][]*james.Packet), nil
	for _, p := range f.packets {
		f.note(p)
	}
	for _, p := range f.packets {
		f.place(p)
	}
}

func (f *family) note(p *james.Packet) {
	for t := range p.Tags.All() {
		f.count[t]++
	}
}

func (f *family) place(p *james.Packet) {
	var rarest james.Tag
	for t := range p.Tags.All() {
		if rarest == "" || f.count[t] < f.count[rarest] {
			rarest = t
		}
	}
	if rarest == "" {
		f.bare = append(f.bare, p)
		return
	}
	f.rare[rarest] = append(f.rare[rarest], p)
}
