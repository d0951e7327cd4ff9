package load

import (
	"crypto/sha256"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
)

// besideSuffix is what jamesc appends to the name of a configuration file that
// an administrator's edit keeps from its place.
const besideSuffix = ".james-new"

// physical returns where a packet's path lies: two directories of the root are
// links, see Prepare.
func physical(p string) string {
	for link, to := range links {
		if rest, ok := strings.CutPrefix(p, link+"/"); ok {
			return strings.TrimPrefix(to, "/") + "/" + rest
		}
	}
	return p
}

// Expect returns what a tree must be when a device has gone from one state to
// another; before is what lies there before. The times of directories that
// belong to no packet of the new state are not known.
func Expect(before Tree, from, to State) Tree {
	after := maps.Clone(before)
	for _, p := range from {
		if !to.Has(p.Name, p.Version) {
			p.remove(after)
		}
	}
	for _, p := range to {
		if !from.Has(p.Name, p.Version) {
			p.install(after, before, from.packet(p.Name))
		}
	}
	sweep(after, from, to)
	delete(after, Marker)
	if b := to.packet("base"); b != nil {
		after[Marker] = marker(b.Version)
	}
	return after
}

// marker is what the script of base leaves.
func marker(version string) Node {
	sum := sha256.Sum256([]byte(version))
	return Node{Mode: 0o644, Owner: "0:0", Time: begin.UnixNano(), Size: int64(len(version)), Sum: short(sum[:])}
}

func (p *Packet) byPath() map[string]Entry {
	all := map[string]Entry{}
	for _, e := range p.Entries {
		all[e.Path] = e
	}
	return all
}

func isConfig(p string) bool { return strings.HasPrefix(p, "etc/") }

// remove takes the packet's files out of the tree, except for edited ones.
func (p *Packet) remove(t Tree) {
	all := p.byPath()
	for _, e := range p.Entries {
		at := physical(e.Path)
		if e.Mode.IsDir() {
			continue
		}
		if isConfig(at) {
			delete(t, at+besideSuffix)
			if t[at].Sum != e.node(all).Sum {
				continue
			}
		}
		delete(t, at)
	}
}

// install puts the packet's files into the tree; old is the version before it.
func (p *Packet) install(t, before Tree, old *Packet) {
	all := p.byPath()
	for _, e := range p.Entries {
		at, n := physical(e.Path), e.node(all)
		if isConfig(at) {
			local, there := t[at]
			_, was := before[at]
			deleted := old != nil && !was && slices.ContainsFunc(old.Entries, func(o Entry) bool { return o.Path == e.Path })
			if there && local.Sum == n.Sum {
				continue
			}
			if there || deleted {
				at += besideSuffix
			}
		}
		t[at] = n
	}
}

// sweep removes the directories that packets had made and nobody needs.
func sweep(t Tree, from, to State) {
	needed := map[string]bool{}
	for _, p := range to {
		for _, e := range p.Entries {
			needed[physical(e.Path)] = true
		}
	}
	var dirs []string
	for _, p := range from {
		for _, e := range p.Entries {
			if at := physical(e.Path); e.Mode.IsDir() && t[at].Mode.IsDir() && !needed[at] {
				dirs = append(dirs, at)
			}
		}
	}
	slices.Sort(dirs)
	for _, dir := range slices.Backward(slices.Compact(dirs)) {
		if !slices.ContainsFunc(slices.Collect(maps.Keys(t)), func(p string) bool { return path.Dir(p) == dir }) {
			delete(t, dir)
		}
	}
}

// OwnDirs returns the directories whose times the packets of the state say.
func (s State) OwnDirs() map[string]bool {
	own := map[string]bool{}
	for _, p := range s {
		for _, e := range p.Entries {
			if e.Mode&fs.ModeDir != 0 {
				own[physical(e.Path)] = true
			}
		}
	}
	return own
}
