package disktest

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"hash"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/trusch/jamesd/pkg/james"
)

// Times says which times count where images are compared.
type Times int

// A time is that of the last modification.
const (
	NoTimes   Times = iota // none
	FileTimes              // those of all but directories
	AllTimes
)

// Describe returns a line for each path of the k-th tree that tells everything
// about it. The root is ".". Of the names of one file the first names the others.
func (i *Image) Describe(k int, times Times) map[string]string {
	lines, first, links := map[string]string{}, map[*node]string{}, map[*node]int{}
	walk(".", i.roots[k], func(_ string, n *node) { links[n]++ })
	walk(".", i.roots[k], func(path string, n *node) {
		line := n.describe(times)
		if links[n] > 1 {
			if at, ok := first[n]; ok {
				line += " linked to " + at
			} else {
				first[n] = path
			}
			line += fmt.Sprintf(" links %d", links[n])
		}
		lines[path] = line
	})
	return lines
}

// walk visits a tree in the order of names.
func walk(path string, n *node, visit func(path string, n *node)) {
	visit(path, n)
	for _, name := range slices.Sorted(maps.Keys(n.names)) {
		below := name
		if path != "." {
			below = path + "/" + name
		}
		walk(below, n.names[name], visit)
	}
}

func (n *node) describe(times Times) string {
	a := &n.attrs
	line := fmt.Sprintf("%s %d:%d", n.mode(), a.uid, a.gid)
	if times == AllTimes || times == FileTimes && n.kind != james.TypeDir {
		line += " " + time.Unix(0, a.time).UTC().Format(time.RFC3339Nano)
	}
	switch n.kind {
	case james.TypeFile:
		line += n.content.describe()
	case james.TypeSymlink:
		line += " -> " + n.target
	case james.TypeChar, james.TypeBlock:
		line += fmt.Sprintf(" device %d", n.rdev)
	}
	for _, name := range slices.Sorted(maps.Keys(a.xattrs)) {
		line += fmt.Sprintf(" %s=%q", name, a.xattrs[name])
	}
	return line
}

// mode is the type and the permissions as ls writes them.
func (n *node) mode() fs.FileMode {
	mode := fs.FileMode(n.attrs.mode&0o777) | modes[n.kind]
	for bit, flag := range map[uint32]fs.FileMode{0o4000: fs.ModeSetuid, 0o2000: fs.ModeSetgid, 0o1000: fs.ModeSticky} {
		if n.attrs.mode&bit != 0 {
			mode |= flag
		}
	}
	return mode
}

var modes = map[james.EntryType]fs.FileMode{
	james.TypeDir: fs.ModeDir, james.TypeSymlink: fs.ModeSymlink, james.TypeFifo: fs.ModeNamedPipe,
	james.TypeChar: fs.ModeDevice | fs.ModeCharDevice, james.TypeBlock: fs.ModeDevice,
}

func (c *content) describe() string {
	line := fmt.Sprintf(" %d bytes %x", len(c.bytes), c.sum[:8])
	if len(c.bytes) < 40 {
		line += fmt.Sprintf(" %q", c.bytes)
	}
	if c.sparse {
		line += " holes true"
	}
	return line
}

// Diff says how two descriptions differ, "" if they do not.
func Diff(before, after map[string]string) string {
	var out []string
	for path, line := range before {
		if now, ok := after[path]; !ok {
			out = append(out, "- "+path+" "+line)
		} else if now != line {
			out = append(out, "- "+path+" "+line, "+ "+path+" "+now)
		}
	}
	for path, line := range after {
		if _, ok := before[path]; !ok {
			out = append(out, "+ "+path+" "+line)
		}
	}
	slices.SortStableFunc(out, func(a, b string) int { return cmp.Compare(a[2:], b[2:]) })
	return strings.Join(out, "\n")
}

// Digest identifies an image: two have the same if nobody who reads the trees
// can tell them apart, but for times after fresh, which count as one.
func (i *Image) Digest(fresh time.Time) [sha256.Size]byte {
	sum, seen, limit := sha256.New(), map[*node]int{}, fresh.UnixNano()
	for _, root := range i.roots {
		fmt.Fprint(sum, "tree\n")
		walk(".", root, func(path string, n *node) {
			if at, ok := seen[n]; ok {
				fmt.Fprintf(sum, "%s\x00%d\n", path, at)
				return
			}
			seen[n] = len(seen)
			n.digest(sum, path, limit)
		})
	}
	return [sha256.Size]byte(sum.Sum(nil))
}

func (n *node) digest(sum hash.Hash, path string, limit int64) {
	a := &n.attrs
	fmt.Fprintf(sum, "%s\x00%s %o %d %d %d %d %q", path, n.kind, a.mode, a.uid, a.gid, min(a.time, limit), n.rdev, n.target)
	for _, name := range slices.Sorted(maps.Keys(a.xattrs)) {
		fmt.Fprintf(sum, " %s=%q", name, a.xattrs[name])
	}
	if n.content != nil {
		fmt.Fprintf(sum, " %t", n.content.sparse)
		sum.Write(n.content.sum[:])
	}
	sum.Write([]byte{'\n'})
}
