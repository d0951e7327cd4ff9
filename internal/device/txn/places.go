package txn

import (
	"time"

	"github.com/trusch/jamesd/pkg/james"
)

// place is where an installed file should lie.
type place struct {
	path string // physical
	time time.Time
}

// places are where contents should lie on the device, by digest, for those that
// somebody asks for.
type places map[james.Digest][]place

// maxPlaces bounds how many files are known to hold the same.
const maxPlaces = 4

// newPlaces asks for the contents of all files of the new packets.
func newPlaces(steps []*step) places {
	p := places{}
	for _, s := range steps {
		if s.New == nil {
			continue
		}
		for k := range s.New.m.Entries {
			if e := &s.New.m.Entries[k]; e.Type == james.TypeFile && e.Size > 0 {
				p[e.Digest] = nil
			}
		}
	}
	return p
}

// stagedPlaces asks for the contents of those files only that are to be staged.
func stagedPlaces(steps []*step) places {
	p := places{}
	for _, s := range steps {
		for k := range s.New.staged {
			if e := &s.New.m.Entries[k]; e.Type == james.TypeFile && e.Size > 0 {
				p[e.Digest] = nil
			}
		}
	}
	return p
}

// asks returns the file that an entry of an installed manifest describes, if
// somebody asks for what it holds.
func (p places) asks(m *james.Manifest, e *james.Entry) (james.Entry, bool) {
	file := *e
	if e.Type == james.TypeHardlink && len(p) > 0 {
		file, _ = m.Entry(e.Link)
	}
	known, asked := p[file.Digest]
	return file, asked && file.Type == james.TypeFile && len(known) < maxPlaces
}

// add notes that a file should lie at a path.
func (p places) add(file *james.Entry, path string) {
	p[file.Digest] = append(p[file.Digest], place{path, file.Time})
}

// find goes through all that is installed but for the paths in not.
func (p places) find(i *Installer, over *view, not map[string]bool) {
	for _, a := range i.inventory().Apps {
		m, err := i.manifest(a.App)
		if err != nil {
			continue // what it has is not known
		}
		for k := range m.Entries {
			file, ok := p.asks(m, &m.Entries[k])
			if !ok {
				continue
			}
			path, err := over.locate(m.Entries[k].Path)
			if err == nil && !not[path] {
				p.add(&file, path)
			}
		}
	}
}

// present returns the places at which a file of that size lies.
func (i *Installer) present(all []place, size int64) (there []place) {
	for _, at := range all {
		if info, err := i.Disk.Lstat(at.path); err == nil && info.Type == james.TypeFile && info.Size == size {
			there = append(there, at)
		}
	}
	return there
}
