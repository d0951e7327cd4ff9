package load

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/trusch/jamesd/pkg/james"
)

// Packet is one version of a packet.
type Packet struct {
	Name, Version string
	Entries       []Entry
	// Scripts are written for Interpreter.
	Scripts map[james.ScriptName][]byte
}

// String returns the packet's name and version.
func (p *Packet) String() string { return p.Name + " " + p.Version }

// Marker is the path of a file that says which version of the packet base is
// installed; only scripts write and remove it.
const Marker = "srv/base"

// Interpreter is the program that the packets' scripts name in their first line.
const Interpreter = "/bin/script"

func newPacket(name, version string, entries []Entry, scripts map[james.ScriptName]string) *Packet {
	p := &Packet{Name: name, Version: version, Entries: entries, Scripts: map[james.ScriptName][]byte{}}
	slices.SortFunc(p.Entries, func(a, b Entry) int { return strings.Compare(a.Path, b.Path) })
	for k := range p.Entries {
		e := &p.Entries[k]
		e.Time = begin.Add(time.Duration(k) * time.Minute)
		if k%2 == 1 {
			e.Time = e.Time.Add(123456789 * time.Nanosecond)
		}
	}
	for script, body := range scripts {
		p.Scripts[script] = []byte("#!" + Interpreter + "\n" + body + "\n")
	}
	return p
}

// base is large, has everything that a packet may have, and changes the type of
// several paths from one version to the other.
func base(version string) *Packet {
	v2 := version == "v2"
	entries := []Entry{
		dir("usr/lib/base"),
		file("usr/lib/base/big", "big"+version, 2<<20),
		Entry{Path: "usr/lib/base/sparse", Mode: 0o600, Content: holey("sparse"+version, 4<<20), Sparse: true},
		file("usr/bin/base", "bin"+version, 70_000).mode(0o755 | fs.ModeSetuid), hardlink("usr/lib/base/alias", "usr/bin/base"),
		file("usr/bin/cap", "cap"+version, 9_000).mode(0o750).owner(0, 33).xattr("security.capability", "\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"),
		file("usr/lib/base/noted", "noted", 3_000).xattr("user.origin", "base "+version),
		file("lib/base-through", "through"+version, 12_000),
		file("etc/base/edited.conf", "edited"+version, 300), file("etc/base/plain.conf", "plain"+version, 500), file("etc/base/deleted.conf", "deleted"+version, 400),
		dir("var/lib/base").mode(0o777 | fs.ModeSticky), file("var/lib/base/data", "data"+version, 150_000).owner(65534, 65534),
		file("usr/lib/base/empty", "", 0),
	}
	if v2 {
		entries = append(entries,
			dir("usr/lib/base/link"), file("usr/lib/base/link/in", "in", 6_000),
			symlink("usr/lib/base/turn", "link"),
			dir("usr/lib/base/flip"), file("usr/lib/base/flip/side", "side", 7_000),
			file("usr/share/late", "late", 20_000))
	} else {
		entries = append(entries,
			symlink("usr/lib/base/link", "d00"),
			dir("usr/lib/base/turn").mode(0o755|fs.ModeSetgid).owner(0, 7), file("usr/lib/base/turn/x", "x", 8_000), file("usr/lib/base/turn/y", "y", 100),
			file("usr/lib/base/flip", "flip", 11_000),
			file("usr/share/wander", "wander", 30_000))
	}
	return newPacket("base", version, append(entries, many("usr/lib/base", version)...), map[james.ScriptName]string{
		james.Preinst:  "wait 20",
		james.Postinst: "write " + Marker + " " + version + "\nwait 20",
		james.Prerm:    "remove " + Marker + "\nwait 20",
		james.Postrm:   "wait 20",
	})
}

// many are some hundred files in a dozen directories. A third is the same in
// every version, and each version lacks a few.
func many(top, version string) []Entry {
	var all []Entry
	for d := range 12 {
		name := fmt.Sprintf("%s/d%02d", top, d)
		all = append(all, dir(name))
		for f := range 20 {
			k := 20*d + f
			seed := fmt.Sprint(top, k)
			switch {
			case version == "v1" && k%11 == 3 || version == "v2" && k%11 == 5:
				continue
			case k%3 != 0:
				seed += version
			}
			e := file(fmt.Sprintf("%s/f%02d", name, f), seed, 500+k*k%37*1000)
			all = append(all, e.mode([]fs.FileMode{0o644, 0o755, 0o600, 0o444}[k%4]).owner(k%3, k%5))
		}
	}
	return all
}

// tool is small, and slow in its scripts.
func tool(version string) *Packet {
	entries := []Entry{
		dir("opt/tool"), file("opt/tool/a", "a"+version, 40_000).mode(0o755), file("opt/tool/b", "b", 5_000), hardlink("opt/tool/c", "opt/tool/b"),
		symlink("opt/tool/current", version), dir("opt/tool/" + version), file("opt/tool/"+version+"/lib.so", "lib"+version, 300_000),
		file("var/run/tool.info", "info"+version, 50), // by way of the link var/run -> /run
	}
	return newPacket("tool", version, entries, map[james.ScriptName]string{
		james.Preinst: "wait 60", james.Postinst: "wait 40", james.Prerm: "wait 40", james.Postrm: "wait 60",
	})
}

// extra lies mostly below var; its scripts write a lot and sync nothing.
func extra(version string) *Packet {
	entries := []Entry{dir("var/extra"), dir("var/extra/deep"), dir("var/extra/deep/er").mode(0o700), dir("var/extra/empty"), file("usr/share/wander", "wandered", 25_000)}
	for f := range 40 {
		entries = append(entries, file(fmt.Sprintf("var/extra/deep/er/f%02d", f), fmt.Sprint("extra", version, f), 4_000+f*700))
	}
	return newPacket("extra", version, entries, map[james.ScriptName]string{
		james.Preinst: "noise 300000", james.Postinst: "noise 500000", james.Prerm: "noise 300000", james.Postrm: "noise 500000",
	})
}
