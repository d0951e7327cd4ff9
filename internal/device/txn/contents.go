package txn

import (
	"cmp"
	"slices"

	"github.com/trusch/jamesd/internal/device/disk"
	"github.com/trusch/jamesd/pkg/james"
)

// content is what one or several of the files that come hold.
type content struct {
	files []file // that hold it; the last one is linked, where that is possible
	done  int    // how many of files are staged
	// places are where installed files hold it, as far as is known without reading
	// them.
	places []place
	// link says that the last of files is on the file system of the source.
	link bool
}

// file is one that comes: an entry of the new packet of a step.
type file struct{ step, entry int }

// entry returns the entry that a file comes from, and how it is staged.
func (t *txn) entry(f file) (*james.Entry, *staged) {
	side := t.steps[f.step].New
	return &side.m.Entries[f.entry], side.staged[f.entry]
}

// sample returns an entry that has the content.
func (t *txn) sample(c *content) *james.Entry {
	e, _ := t.entry(c.files[0])
	return e
}

// findContents lists what the files that come hold, in the order of steps and
// entries. Empty files need no content.
func (t *txn) findContents(known places) error {
	t.contents = nil
	byDigest := map[james.Digest]*content{}
	for n, s := range t.steps {
		if s.New == nil {
			continue
		}
		for k := range s.New.m.Entries {
			e := &s.New.m.Entries[k]
			if s.New.staged[k] == nil || e.Type != james.TypeFile || e.Size == 0 {
				continue
			}
			c := byDigest[e.Digest]
			if c == nil {
				c = &content{places: t.i.present(known[e.Digest], e.Size)}
				byDigest[e.Digest] = c
				t.contents = append(t.contents, c)
			}
			c.files = append(c.files, file{n, k})
			if t.sample(c).Size != e.Size {
				return &stepError{s, james.Errorf(james.KindCorrupt, e.Path.String(), "has the digest of a file of another size")}
			}
		}
	}
	return nil
}

// findLinks decides which files may be linked: of the names that one content gets
// only one is that of the file that the source has, as each has its own metadata.
// One with holes is written, so that its holes are as they should be.
func (t *txn) findLinks(src Source) error {
	same := make([]bool, len(t.areas))
	for n, a := range t.areas {
		var err error
		if same[n], err = sameMount(src.Dir(), ".", t.i.Disk, string(a.Top)); err != nil {
			return err
		}
	}
	for _, c := range t.contents {
		for n, f := range slices.Backward(c.files) {
			if e, st := t.entry(f); same[st.area] && !e.Sparse {
				last := len(c.files) - 1
				c.files[n], c.files[last], c.link = c.files[last], c.files[n], true
				break
			}
		}
	}
	return nil
}

// sameMount reports whether two directories are on one mount, and in one subvolume
// of it.
func sameMount(a *disk.Disk, in string, b *disk.Disk, at string) (bool, error) {
	from, err := a.Lstat(in)
	if err != nil {
		return false, err
	}
	to, err := b.Lstat(at)
	if err != nil || from.Dev != to.Dev {
		return false, err
	}
	m, err := a.Mount(in)
	if err != nil {
		return false, err
	}
	n, err := b.Mount(at)
	return m == n, err
}

// order returns what is to be had from the source: all that is not staged and, as
// far as is known, nowhere on the device. It names no packets that are there.
func (t *txn) order() *Order {
	entries := make([][]int, len(t.steps))
	for _, c := range t.contents {
		if len(c.places) > 0 || c.done == len(c.files) {
			continue
		}
		f := slices.MinFunc(c.files, func(a, b file) int { return cmp.Or(cmp.Compare(a.step, b.step), cmp.Compare(a.entry, b.entry)) })
		entries[f.step] = append(entries[f.step], f.entry)
	}
	o := &Order{Use: func(int64) {}}
	for n, all := range entries {
		if len(all) > 0 {
			slices.Sort(all)
			o.Wants = append(o.Wants, Want{t.steps[n].New.packet, t.steps[n].New.m, all})
		}
	}
	return o
}
