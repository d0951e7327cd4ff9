package txn

import (
	"context"
	"fmt"
	"slices"

	"github.com/trusch/jamesd/pkg/james"
)

// A packet claims the physical path of everything in it that is not a directory.
// Several may claim one path if each two of them agree who goes first, as one
// names the other in its manifest's Replaces and not the other way round, and if
// they agree in a circle nowhere. What lies at the path belongs to the first. All
// this follows from the manifests of what is installed: nothing else is kept.

// claimant is a packet that claims paths.
type claimant struct {
	james.App
	replaces []string
	// beside are the configuration files, as the manifest names them, whose
	// packet's version lies beside the local one.
	beside map[james.Path]bool
	// lost are those that went with a packet that had taken them over.
	lost []james.Path
	// stays says that the app is installed and that no step changes it.
	stays bool
}

// before reports whether c takes paths over from other.
func (c *claimant) before(other *claimant) bool { return slices.Contains(c.replaces, other.Name) }

// claim is that of one packet on one path.
type claim struct {
	by *claimant
	// config is the entry where it is a configuration file, else nil.
	config *james.Entry
	next   *claim // of a packet that comes after this one
}

// claims are those of several packets, by physical path.
type claims struct {
	files map[string]*claim
	// dirs has a packet that stays and that needs a directory there.
	dirs map[string]james.App
	// besides has the packet that stays and whose version of a configuration file
	// may lie there.
	besides map[string]james.App
	// places learn where contents lie that are asked for; nil asks for none.
	places places
}

// loadClaims returns the claims of all that is installed, with the links that are
// on the disk now. going are the manifests of those that do not stay.
// p learns where contents lie.
func (i *Installer) loadClaims(ctx context.Context, over *view, going map[string]*james.Manifest, p places) (*claims, error) {
	c := &claims{files: map[string]*claim{}, dirs: map[string]james.App{}, besides: map[string]james.App{}, places: p}
	for _, a := range i.inventory().Apps {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		m, goes := going[a.Name]
		if !goes {
			var err error
			if m, err = i.manifest(a.App); err != nil {
				return nil, james.Errorf(james.KindCorrupt, a.App.String(), "what it installed is not known any more: %w", err)
			}
		}
		by := &claimant{App: a.App, replaces: m.Replaces, beside: map[james.Path]bool{}, lost: a.Lost, stays: !goes}
		for _, p := range a.Beside {
			by.beside[p] = true
		}
		if err := c.add(over, by, m, i.configOf(m)); err != nil {
			return nil, fmt.Errorf("%s: %w", a.App, err)
		}
	}
	return c, nil
}

// owner returns the app that what lies at a physical path belongs to: of those
// whose packets have it the one that replaces the others. A directory belongs to
// nobody.
func (c *claims) owner(path string) (james.App, bool) {
	if k, ok := c.files[path]; ok {
		return k.by.App, true
	}
	return james.App{}, false
}

// add takes in the claims of a packet.
func (c *claims) add(over *view, by *claimant, m *james.Manifest, isConfig func(*james.Entry, string) bool) error {
	for n := range m.Entries {
		e := &m.Entries[n]
		if e.Type == james.TypeDir {
			dir, err := over.dir(e.Path)
			if err != nil {
				return err
			}
			c.need(dir, by)
			continue
		}
		path, err := over.locate(e.Path)
		if err != nil {
			return err
		}
		if file, ok := c.places.asks(m, e); ok {
			c.places.add(&file, path)
		}
		k := &claim{by: by}
		if isConfig(e, path) {
			entry := *e // the rest of the manifest need not be kept
			k.config = &entry
			c.addBesides(path, k)
		}
		c.files[path] = c.files[path].insert(k)
		c.need(parent(path), by)
	}
	return nil
}

func (c *claims) addBesides(path string, k *claim) {
	if k.by.stays && k.by.beside[k.config.Path] {
		for _, name := range besides(path, k.config) {
			c.besides[name] = k.by.App
		}
	}
}

// insert returns the list of k and of another packet's claim.
func (k *claim) insert(another *claim) *claim {
	if k == nil || another.by.before(k.by) {
		another.next = k
		return another
	}
	k.next = k.next.insert(another)
	return k
}

// need notes that a packet that stays needs dir and the directories above it.
func (c *claims) need(dir string, by *claimant) {
	for ; by.stays && dir != "."; dir = parent(dir) {
		if _, ok := c.dirs[dir]; ok {
			return
		}
		c.dirs[dir] = by.App
	}
}

// rivals returns the packets of after that claim path, without the step's own.
func (b *builder) rivals(path string) []*claimant {
	var all []*claimant
	for k := b.before.files[path]; k != nil; k = k.next {
		if k.by.stays {
			all = append(all, k.by)
		}
	}
	for k := b.coming[path]; k != nil; k = k.next {
		all = append(all, k.by)
	}
	return all
}

// contest has a new packet claim a path, and reports whether it is to have it. A
// packet of an earlier step that is to have it no more is noted in b.yields.
func (b *builder) contest(c *claimant, path string) (mine bool, err error) {
	if b.coming[path] == nil && b.before.files[path] == nil { // almost always
		b.coming[path] = &claim{by: c}
		return !b.yields[path][c.Name], nil
	}
	var above, below []*claimant
	for _, r := range b.rivals(path) {
		switch mutual := c.before(r) && r.before(c); {
		case c.Name == r.Name:
			return false, james.Errorf(james.KindConflict, james.Path(path).String(), "is in %s twice, under two names that are one on this device", c.App)
		case mutual:
			return false, conflictCircle(path, r.App, c.App, "each of them replaces the other")
		case c.before(r):
			below = append(below, r)
		case r.before(c):
			above = append(above, r)
		default:
			return false, conflict(path, r.App, c.App)
		}
	}
	if err := checkCircle(path, c, above, below); err != nil {
		return false, err
	}
	for _, r := range below {
		b.yield(path, r)
	}
	b.coming[path] = b.coming[path].insert(&claim{by: c})
	return len(above) == 0 && !b.yields[path][c.Name], nil
}

// checkCircle refuses three packets of which each replaces the next.
func checkCircle(path string, c *claimant, above, below []*claimant) error {
	for _, high := range above {
		for _, low := range below {
			if low.before(high) {
				return conflictCircle(path, high.App, c.App, fmt.Sprintf("they and %s replace each other in a circle", low.App))
			}
		}
	}
	return nil
}

// yield notes that a new packet does not get a path, as a later step has a packet
// that replaces it. The list of ops is made anew then.
func (b *builder) yield(path string, c *claimant) {
	if c.stays || b.yields[path][c.Name] {
		return
	}
	if b.yields[path] == nil {
		b.yields[path] = map[string]bool{}
	}
	b.yields[path][c.Name] = true
	b.again = true
}

// checkYields refuses a plan that never settles who has which path, as what is at
// a path depends on links that the plan changes.
func (b *builder) checkYields() error {
	for path, names := range b.yields {
		if k := b.coming[path]; k == nil || names[k.by.Name] {
			return james.Errorf(james.KindConflict, james.Path(path).String(), "belongs to several packets of the plan, in a way that depends on itself").
				WithHint("install them one after the other")
		}
	}
	return nil
}

// conflict says that two packets want one path.
func conflict(path string, a, b james.App) error {
	return james.Errorf(james.KindConflict, james.Path(path).String(), "belongs to %s and would come with %s too", a, b).
		WithHint("leave %s or %s out of the desired state, build one of them without this path, or have one replace the other", a.Name, b.Name)
}

// conflictCircle says that it is open which of two packets has a path.
func conflictCircle(path string, a, b james.App, why string) error {
	return james.Errorf(james.KindConflict, james.Path(path).String(), "belongs to %s and would come with %s too, and %s", a, b, why).
		WithHint("build one of them anew without naming the other as replaced")
}

// conflictDir says that a path is a directory of one packet and a file of another.
func conflictDir(path string, dir, file james.App) error {
	return james.Errorf(james.KindConflict, james.Path(path).String(), "is a directory that %s needs, and a file of %s", dir, file).
		WithHint("leave %s or %s out of the desired state, or build one of them without this path", dir.Name, file.Name)
}
