package txn

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"github.com/trusch/jamesd/pkg/james"
)

// mender is a builder of repairs.
type mender struct {
	*builder
	v   *verifier // that found what is to be put right
	out *Repairs
	at  map[string]int // the step of an app
	// mkdirs, places and finish are the ops that follow those that take away.
	mkdirs, places, finish []*op
}

// prepareRepair makes the list of ops that puts the findings right. What cannot
// be, as something is in the way that belongs to no packet, is left out.
func (t *txn) prepareRepair(ctx context.Context, src Source, found []finding, v *verifier, out *Repairs) error {
	at := map[string]int{}
	for _, of := range byApp(found) {
		m, err := t.i.manifest(of[0].app)
		if err != nil {
			return err
		}
		bare := *m
		bare.Scripts, bare.Health = nil, nil
		s := &step{Repair: true, New: newSide(of[0].app, &bare)}
		s.New.packet, s.New.staged = packetOf(of[0].app), map[int]*staged{}
		at[of[0].App] = len(t.steps)
		t.steps = append(t.steps, s)
	}
	b := &mender{builder: t.newBuilder(nil), v: v, out: out, at: at}
	b.before = &claims{}
	if err := b.mend(ctx, found); err != nil {
		return err
	}
	t.next = &inventory{Apps: b.inv.Apps, Last: b.inv.Last}
	for _, dir := range slices.Sorted(maps.Keys(b.ours)) {
		t.next.Dirs = append(t.next.Dirs, james.Path(dir))
	}
	known := stagedPlaces(t.steps)
	known.find(t.i, b.first, spoilt(v.found))
	return t.admit(src, known)
}

// mend decides how each finding is put right: directories first, from the top.
func (b *mender) mend(ctx context.Context, found []finding) error {
	dirs, files := []finding{}, []finding{}
	for _, f := range found {
		if b.stepOf(f).New.m.Entries[f.entry].Type == james.TypeDir {
			dirs = append(dirs, f)
		} else {
			files = append(files, f)
		}
	}
	slices.SortFunc(dirs, func(x, y finding) int { return cmp.Compare(x.path, y.path) })
	for _, f := range dirs {
		if err := b.settle(ctx, []finding{f}, b.mendDir(f)); err != nil {
			return err
		}
	}
	for _, of := range byApp(files) {
		for _, g := range b.groups(of) {
			if err := b.settle(ctx, g.findings, b.mendFile(g)); err != nil {
				return err
			}
		}
	}
	for n, s := range b.steps {
		if err := b.checkLinks(n, s); err != nil {
			return &stepError{s, err}
		}
	}
	b.barrier(opAway)
	b.ops = slices.Concat(b.ops, b.mkdirs, b.places, b.finish)
	b.barrier(opAway, opRmdir, opMkdir, opPlace, opMeta, opTime)
	return nil
}

// settle notes why findings cannot be put right, where that is the fault of what
// lies there.
func (b *mender) settle(ctx context.Context, found []finding, err error) error {
	switch james.KindOf(err) {
	case "":
		return ctx.Err()
	case james.KindConflict, james.KindDenied, james.KindInvalid:
		return b.out.fail(ctx, found, err)
	}
	return err
}

func (b *mender) stepOf(f finding) *step { return b.steps[b.at[f.App]] }

// stepped marks ops as those that repair an app.
func (b *mender) stepped(app string, ops ...*op) []*op {
	for _, o := range ops {
		o.Step = b.at[app]
	}
	return ops
}

func (b *mender) mendDir(f finding) error {
	s := b.stepOf(f)
	e := &s.New.m.Entries[f.entry]
	path, made, err := b.ensureDir(s, e.Path, e)
	if err != nil {
		return err
	}
	b.mkdirs = append(b.mkdirs, b.stepped(f.App, made...)...)
	if len(made) > 0 || f.Kind == james.ChangedMissing {
		return nil
	}
	was, err := b.metaOf(path)
	if err != nil {
		return err
	}
	at, err := b.area(path)
	if err != nil {
		return err
	}
	b.finish = append(b.finish, b.stepped(f.App, &op{Kind: opMeta, Path: james.Path(path), Area: at, Was: was, entry: e})...)
	return nil
}

// group is a file with all its names, or another entry that is no directory.
type group struct {
	findings []finding
	file     int   // the entry
	names    []int // the entry and the links to it
}

// groups joins the findings of an app that are names of one file.
func (b *mender) groups(found []finding) []*group {
	m := b.stepOf(found[0]).New.m
	byFile := map[int]*group{}
	var all []*group
	for _, f := range found {
		file := fileOf(m, f.entry)
		g := byFile[file]
		if g == nil {
			g = &group{file: file}
			byFile[file] = g
			all = append(all, g)
		}
		g.findings = append(g.findings, f)
	}
	for k := range m.Entries {
		if g := byFile[fileOf(m, k)]; g != nil {
			g.names = append(g.names, k)
		}
	}
	return all
}

// fileOf returns the entry that the k-th is another name of, k for none.
func fileOf(m *james.Manifest, k int) int {
	if m.Entries[k].Type != james.TypeHardlink {
		return k
	}
	to, _ := entryIndex(m, m.Entries[k].Link)
	return to
}

// mendFile replaces a file with all its names. Nothing is decided before all of it
// can be done.
func (b *mender) mendFile(g *group) error {
	app, s := g.findings[0].App, b.stepOf(g.findings[0])
	paths := map[int]string{}
	for _, k := range g.names {
		path, made, err := b.reach(s, &s.New.m.Entries[k])
		if err != nil {
			return err
		}
		b.mkdirs = append(b.mkdirs, b.stepped(app, made...)...)
		if path != "" {
			paths[k] = path
		}
	}
	from := len(b.ops)
	for _, k := range g.names {
		if paths[k] == "" {
			continue
		}
		if err := b.clear(s, paths[k]); err != nil {
			return err
		}
		place, err := b.place(b.at[app], s, k, paths[k])
		if err != nil {
			return err
		}
		b.places = append(b.places, b.stepped(app, place)...)
	}
	b.stepped(app, b.ops[from:]...)
	return nil
}

// reach returns the physical path of an entry, "" where that is another packet's,
// with the ops that make the directories above it. It fails where something is in
// the way that is not to be removed.
func (b *mender) reach(s *step, e *james.Entry) (string, []*op, error) {
	dir, made, err := b.ensureDir(s, e.Path.Parent(), nil)
	if err != nil {
		return "", nil, err
	}
	path := join(dir, string(e.Path[lastComponent(e.Path):]))
	if b.v.owners != nil {
		if owner, ok := b.v.owners.owner(path); ok && owner.Name != s.name() {
			return "", made, nil
		}
	}
	info, there, err := b.view.lookup(path)
	if err != nil || !there || !info.IsDir() {
		return path, made, err
	}
	empty, err := b.view.empty(path)
	if err == nil && !empty {
		err = james.Errorf(james.KindConflict, b.i.Disk.Abs(path), "is a directory with something in it; %s has a file of that name", s.New.App).
			WithHint("move what is in it away")
	}
	return path, made, err
}
