package txn

import (
	"cmp"
	"os"
	"slices"

	"github.com/trusch/jamesd/pkg/james"
)

// maxHave bounds the installed packets that an order names: each costs a digest
// on the wire, and a manifest in memory. alike is how many bytes the beginnings
// of two names share at least that may be versions of one thing.
const (
	maxHave = 8
	alike   = 4
)

// help adds to an order what of the installed packets may be alike.
func (t *txn) help(o *Order) *Order {
	t.i.addHave(o, t.relatives(o))
	return o
}

// relatives returns the installed packets that resemble those of an order: what
// they upgrade, what goes with the plan, what they replace, and what has a name
// that begins like theirs, the most alike first.
func (t *txn) relatives(o *Order) []james.App {
	rank := map[string]int{}
	for _, s := range t.steps {
		if s.Old != nil {
			rank[s.Old.App.Name] = 2
		}
		if s.Repair {
			rank[s.New.App.Name] = 3
		}
	}
	for _, w := range o.Wants {
		if rank[w.Packet.Name] > 0 {
			rank[w.Packet.Name] = 3
		}
		for _, name := range w.Manifest.Replaces {
			rank[name] = max(rank[name], 1)
		}
	}
	likeness := func(name string) int {
		n := 0
		for _, w := range o.Wants {
			n = max(n, common(name, w.Packet.Name))
		}
		return n
	}
	var all []james.App
	for _, a := range t.i.inventory().Apps {
		if rank[a.Name] > 0 || likeness(a.Name) >= alike {
			all = append(all, a.App)
		}
	}
	slices.SortStableFunc(all, func(a, b james.App) int {
		return cmp.Or(cmp.Compare(rank[b.Name], rank[a.Name]), cmp.Compare(likeness(b.Name), likeness(a.Name)))
	})
	return all[:min(len(all), maxHave)]
}

// common returns how many bytes two names have in common at their beginning.
func common(a, b string) int {
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return n
}

// addHave adds installed packets to an order, but for those whose manifest cannot
// be read.
func (i *Installer) addHave(o *Order, apps []james.App) {
	for _, a := range apps {
		if m, err := i.manifest(a); err == nil {
			o.Have = append(o.Have, Have{a, m})
		}
	}
	o.Base = i.baseOf(o)
}

// baseOf returns the Base of an order.
func (i *Installer) baseOf(o *Order) func(have, entry int) (BaseFile, error) {
	return func(have, entry int) (BaseFile, error) {
		if have < 0 || have >= len(o.Have) || entry < 0 || entry >= len(o.Have[have].Manifest.Entries) {
			return nil, james.Errorf(james.KindInvalid, "base", "the order has no entry %d of a packet %d", entry, have)
		}
		e := &o.Have[have].Manifest.Entries[entry]
		file, err := i.openBase(e)
		if err != nil {
			return nil, james.Errorf(james.KindCorrupt, e.Path.String(), "is not what %s has installed: %w", o.Have[have].App, err)
		}
		return file, nil
	}
}

// openBase opens the installed file of an entry as packets see it: through the
// links of directories that lead nowhere out, and not through one in its place.
func (i *Installer) openBase(e *james.Entry) (*baseFile, error) {
	if e.Type != james.TypeFile {
		return nil, james.Errorf(james.KindInvalid, e.Path.String(), "is a %s in the manifest", e.Type)
	}
	path, err := newView(i.Disk).locate(e.Path)
	if err != nil {
		return nil, err
	}
	file, err := i.Disk.OpenFile(path)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && (!info.Mode().IsRegular() || info.Size() != e.Size) {
		err = james.Errorf(james.KindConflict, path, "has %d bytes instead of %d", info.Size(), e.Size)
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return &baseFile{file, e.Size}, nil
}

// baseFile is a BaseFile.
type baseFile struct {
	*os.File
	size int64
}

func (b *baseFile) Size() int64 { return b.size }
