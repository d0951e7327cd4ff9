package load

import (
	"slices"
	"strings"

	"github.com/trusch/jamesd/pkg/james"
)

// State is the packets that a device has, or is to have.
type State []*Packet

// States returns all states that a device goes to and fro between, the first
// with nothing installed.
func States() []State {
	base1, base2, tool1, tool2, extra1 := base("v1"), base("v2"), tool("v1"), tool("v2"), extra("v1")
	return []State{{}, {base1, tool1}, {base2, extra1}, {base2, extra1, tool2}}
}

// String lists the packets.
func (s State) String() string {
	if len(s) == 0 {
		return "nothing"
	}
	var all []string
	for _, p := range s {
		all = append(all, p.String())
	}
	return strings.Join(all, ", ")
}

// Apps returns the packets as a desired state names them.
func (s State) Apps() []james.App {
	apps := []james.App{}
	for _, p := range s {
		apps = append(apps, james.App{Name: p.Name, Tags: james.MustTags(p.Version)})
	}
	return apps
}

// Has reports whether that version of a packet is in the state, or any for "".
func (s State) Has(name, version string) bool {
	return slices.ContainsFunc(s, func(p *Packet) bool { return p.Name == name && (version == "" || p.Version == version) })
}

func (s State) packet(name string) *Packet {
	for _, p := range s {
		if p.Name == name {
			return p
		}
	}
	return nil
}

// Scripts returns how many scripts run on the way from one state to another.
func Scripts(from, to State) int {
	n := 0
	for _, p := range slices.Concat(from, to) {
		if !from.Has(p.Name, p.Version) || !to.Has(p.Name, p.Version) {
			n += len(p.Scripts) / 2
		}
	}
	return n
}
