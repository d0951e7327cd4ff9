package txn

import (
	"context"
	"fmt"

	"github.com/trusch/jamesd/pkg/james"
)

// others are the apps that a plan leaves alone.
type others struct {
	files map[string]james.App // that own what is not a directory, by physical path
	dirs  map[string]james.App // one of those that need a directory there
}

// loadOthers reads the manifests of the apps that are not in the plan.
func (b *builder) loadOthers(ctx context.Context) (*others, error) {
	o := &others{files: map[string]james.App{}, dirs: map[string]james.App{}}
	inPlan := map[string]bool{}
	for _, s := range b.steps {
		inPlan[s.name()] = true
	}
	for _, a := range b.inv.Apps {
		if inPlan[a.Name] {
			continue
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		m, err := b.i.manifest(a.App)
		if err != nil {
			return nil, james.Errorf(james.KindCorrupt, a.App.String(), "what it installed is not known any more: %w", err)
		}
		if err := b.addOther(o, a, m); err != nil {
			return nil, fmt.Errorf("%s: %w", a.App, err)
		}
	}
	return o, nil
}

func (b *builder) addOther(o *others, a installed, m *james.Manifest) error {
	for n := range m.Entries {
		e := &m.Entries[n]
		if e.Type == james.TypeDir {
			dir, err := b.view.dir(e.Path)
			if err != nil {
				return err
			}
			o.need(dir, a.App)
			continue
		}
		path, err := b.view.locate(e.Path)
		if err != nil {
			return err
		}
		o.files[path] = a.App
		o.need(parent(path), a.App)
	}
	for _, p := range a.Beside {
		if path, err := b.view.locate(p); err == nil {
			o.files[path+besideSuffix] = a.App
		}
	}
	return nil
}

// need notes that a needs dir and the directories above it.
func (o *others) need(dir string, a james.App) {
	for ; dir != "."; dir = parent(dir) {
		if _, ok := o.dirs[dir]; ok {
			return
		}
		o.dirs[dir] = a
	}
}

// conflict says that two packets want one path.
func conflict(path string, a, b james.App) error {
	if a.Name == b.Name {
		return james.Errorf(james.KindConflict, james.Path(path).String(), "is in %s twice, under two names that are one on this device", a)
	}
	return james.Errorf(james.KindConflict, james.Path(path).String(), "belongs to %s and would come with %s too", a, b).
		WithHint("leave %s or %s out of the desired state, or build one of them without this path", a.Name, b.Name)
}

// conflictDir says that a path is a directory of one packet and a file of another.
func conflictDir(path string, dir, file james.App) error {
	return james.Errorf(james.KindConflict, james.Path(path).String(), "is a directory that %s needs, and a file of %s", dir, file).
		WithHint("leave %s or %s out of the desired state, or build one of them without this path", dir.Name, file.Name)
}
