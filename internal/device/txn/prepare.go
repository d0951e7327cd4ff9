package txn

import (
	"context"
	"maps"
	"slices"

	"github.com/trusch/jamesd/internal/device/disk"
	"github.com/trusch/jamesd/pkg/james"
)

// builder decides what a plan will do. It changes nothing.
type builder struct {
	*txn
	first *view // the disk as it is
	view  *view
	ids   *ids
	inv   *inventory
	// ours are the directories that the installer made, or will.
	ours map[string]bool
	// away and removed find the op at a physical path, needed the new packet that
	// needs a directory there.
	away, removed map[string]int
	needed        map[string]james.App
	// before are the claims of what is installed, coming those of new packets.
	before *claims
	coming map[string]*claim
	// yields are the new packets, by path and name, that do not get a path that
	// they claim, as a later step has a packet that replaces them; again says that
	// one was found.
	yields map[string]map[string]bool
	again  bool
	// taken are the configuration files of packets that stay, by name, whose version
	// lies no more beside the local one.
	taken map[string]map[james.Path]bool
	// orphaned are the configuration files of packets that stay, by physical path,
	// that had belonged to one that goes.
	orphaned map[string]*claim
	// gone are the directories of old packets, which may be left without a use.
	gone   map[string]bool
	mounts map[uint64]int // the work areas
	areaOf map[string]int // by directory, that is there or not
	toCome map[string]bool
	// isConfig tells the configuration files of a manifest, localMeta has the local
	// ones that have another mode or owner than their packet gave them.
	isConfig  map[*james.Manifest]func(*james.Entry, string) bool
	localMeta map[string]*disk.Info
	known     places // where contents of the new packets are
}

// maxPasses bounds how often the list of ops is made. A second time is needed
// where one new packet replaces another, a third only where what it leaves out is
// a link that others lead through.
const maxPasses = 5

// prepare turns the plan into ops. An error refuses the plan.
func (t *txn) prepare(ctx context.Context, src Source) error {
	next, err := t.loadSteps(ctx, src)
	if err != nil {
		return err
	}
	yields := map[string]map[string]bool{}
	for range maxPasses {
		b := t.newBuilder(yields)
		if err := b.build(ctx); err != nil {
			return err
		}
		if !b.again {
			t.next = b.nextInventory(next)
			t.next.Last = &committed{t.plan.ID, t.plan.Revision, b.inv.Serial + 1}
			return t.admit(src, b.known)
		}
	}
	return james.Errorf(james.KindConflict, "plan", "has packets that replace each other in a way that depends on itself").
		WithHint("install them one after the other")
}

// admit refuses what cannot be done with the work areas and the room that there is.
// It finds out where contents come from.
func (t *txn) admit(src Source, known places) error {
	if err := t.checkAreas(); err != nil {
		return err
	}
	if err := t.findContents(known); err != nil {
		return err
	}
	if err := t.findLinks(src); err != nil {
		return err
	}
	return t.checkSpace(src)
}

// newBuilder returns a builder that has decided nothing yet.
func (t *txn) newBuilder(yields map[string]map[string]bool) *builder {
	t.ops, t.areas, t.ids = nil, nil, newIDs(t.i.Disk)
	b := &builder{
		txn: t, first: newView(t.i.Disk), view: newView(t.i.Disk), ids: t.ids, inv: t.i.inventory(),
		ours: map[string]bool{}, away: map[string]int{}, removed: map[string]int{}, needed: map[string]james.App{},
		coming: map[string]*claim{}, yields: yields, taken: map[string]map[james.Path]bool{}, orphaned: map[string]*claim{}, gone: map[string]bool{},
		mounts: map[uint64]int{}, areaOf: map[string]int{},
		isConfig: map[*james.Manifest]func(*james.Entry, string) bool{}, localMeta: map[string]*disk.Info{},
		known: newPlaces(t.steps),
	}
	for _, dir := range b.inv.Dirs {
		b.ours[string(dir)] = true
	}
	for _, s := range t.steps {
		for _, side := range []*side{s.Old, s.New} {
			if side != nil {
				b.isConfig[side.m] = t.i.configOf(side.m)
			}
		}
		if s.New != nil {
			s.New.beside = map[james.Path]bool{}
		}
	}
	return b
}

// build makes the list of ops.
func (b *builder) build(ctx context.Context) (err error) {
	going := map[string]*james.Manifest{}
	for _, s := range b.steps {
		if s.Old != nil {
			going[s.Old.App.Name] = s.Old.m
		}
	}
	if b.before, err = b.i.loadClaims(ctx, b.first, going, b.known); err != nil {
		return err
	}
	for n, s := range b.steps {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := b.step(n, s); err != nil {
			return &stepError{s, err}
		}
	}
	if err := b.removeUnused(); err != nil {
		return err
	}
	b.barrier(opAway, opRmdir, opMkdir, opPlace, opMeta, opTime)
	return b.checkYields()
}

// stepError says at which step something failed.
type stepError struct {
	step *step
	err  error
}

func (e *stepError) Error() string { return e.err.Error() }
func (e *stepError) Unwrap() error { return e.err }

// loadSteps reads the manifests of the plan and checks that it starts from what
// is installed. It returns the apps of after.
func (t *txn) loadSteps(ctx context.Context, src Source) (map[string]installed, error) {
	apps := map[string]installed{}
	for _, a := range t.i.inventory().Apps {
		apps[a.Name] = a
	}
	for n := range t.plan.Steps {
		s, err := t.loadStep(ctx, src, &t.plan.Steps[n], apps)
		if err != nil {
			return nil, err
		}
		t.steps = append(t.steps, s)
	}
	return apps, nil
}

func (t *txn) loadStep(ctx context.Context, src Source, ps *james.Step, apps map[string]installed) (*step, error) {
	s := &step{Purge: ps.Purge && ps.New == nil}
	if ps.Old == nil && ps.New == nil {
		return nil, james.Errorf(james.KindInvalid, "plan", "has a step that does nothing")
	}
	if ps.Old != nil && ps.New != nil && ps.Old.Name != ps.New.Name {
		return nil, james.Errorf(james.KindInvalid, "plan", "has a step that replaces %s by %s", ps.Old, ps.New.App())
	}
	if ps.Old != nil {
		have, ok := apps[ps.Old.Name]
		if !ok || have.Digest != ps.Old.Digest {
			return nil, james.Errorf(james.KindConflict, ps.Old.String(), "is not installed (packet %s)", ps.Old.Digest.Short())
		}
		m, err := t.i.manifest(have.App)
		if err != nil {
			return nil, james.Errorf(james.KindCorrupt, have.App.String(), "what it installed is not known any more: %w", err)
		}
		s.Old = newSide(have.App, m)
		for _, p := range have.Beside {
			s.Old.beside[p] = true
		}
		delete(apps, have.Name)
	}
	if ps.New != nil {
		if have, ok := apps[ps.New.Name]; ok {
			return nil, james.Errorf(james.KindConflict, ps.New.App().String(), "%s is installed", have.App)
		}
		m, err := fetchManifest(ctx, src, ps.New)
		if err != nil {
			return nil, &stepError{&step{Old: s.Old, New: &side{App: ps.New.App()}}, err}
		}
		s.New = newSide(ps.New.App(), m)
		s.New.packet = ps.New
		apps[ps.New.Name] = installed{App: ps.New.App()}
	}
	return s, nil
}

func newSide(a james.App, m *james.Manifest) *side {
	s := &side{App: a, m: m, beside: map[james.Path]bool{}, Scripts: map[james.ScriptName]bool{}, Health: m.Health}
	for name := range m.Scripts {
		s.Scripts[name] = true
	}
	return s
}

// fetchManifest returns the manifest that the packet's digest names.
func fetchManifest(ctx context.Context, src Source, p *james.Packet) (*james.Manifest, error) {
	m, err := src.Manifest(ctx, p)
	if err != nil {
		return nil, err
	}
	if m.Name != p.Name || !m.Tags.Equal(p.Tags) {
		return nil, notItsManifest(p.App())
	}
	return m, nil
}

func notItsManifest(a james.App) error {
	return james.Errorf(james.KindCorrupt, a.String(), "its manifest is that of another packet")
}

// step decides one step: first what goes, then what comes.
func (b *builder) step(n int, s *step) error {
	from := len(b.ops)
	defer func() {
		for _, o := range b.ops[from:] {
			o.Step = n
		}
	}()
	if s.Old != nil {
		b.script(n, s, true, james.Prerm)
		if err := b.remove(n, s); err != nil {
			return err
		}
		b.script(n, s, true, james.Postrm)
	}
	if s.New != nil {
		b.script(n, s, false, james.Preinst)
		if err := b.install(n, s); err != nil {
			return err
		}
		b.script(n, s, false, james.Postinst)
	}
	return nil
}

// script adds the turn of a script, if the packet has it or its mirror.
func (b *builder) script(n int, s *step, old bool, name james.ScriptName) {
	if have := s.side(old).Scripts; have[name] || have[mirror(name)] {
		b.ops = append(b.ops, &op{Kind: opScript, Step: n, Old: old, Script: name})
	}
}

// barrier adds a barrier, if there is an op of one of the kinds since the last.
func (t *txn) barrier(kinds ...opKind) {
	for _, o := range slices.Backward(t.ops) {
		if o.Kind == opBarrier {
			return
		}
		if slices.Contains(kinds, o.Kind) {
			t.ops = append(t.ops, &op{Kind: opBarrier})
			return
		}
	}
}

// removeUnused removes the directories of old packets that nobody needs any
// more and that were still needed, or not empty, when their packet went.
func (b *builder) removeUnused() error {
	for _, dir := range slices.Backward(slices.Sorted(maps.Keys(b.gone))) {
		info, there, err := b.view.lookup(dir)
		if err != nil {
			return err
		}
		if !there || !info.IsDir() || !b.ours[dir] || b.inUse(dir) {
			continue
		}
		if err := b.removeDir(dir, false); err != nil {
			return err
		}
	}
	return nil
}

// inUse reports whether an app of after needs the directory.
func (b *builder) inUse(dir string) bool {
	_, byNew := b.needed[dir]
	_, byOther := b.before.dirs[dir]
	return byNew || byOther
}

// nextInventory returns the inventory of after the transaction.
func (b *builder) nextInventory(apps map[string]installed) *inventory {
	next, lost := &inventory{}, b.lost()
	for _, name := range slices.Sorted(maps.Keys(apps)) {
		a := apps[name]
		a.Lost = lost[name]
		if taken := b.taken[name]; len(taken) > 0 {
			a.Beside = slices.DeleteFunc(slices.Clone(a.Beside), func(p james.Path) bool { return taken[p] })
		}
		for _, s := range b.steps {
			if s.New != nil && s.New.App.Name == name {
				a.Beside = slices.Sorted(maps.Keys(s.New.beside))
			}
		}
		next.Apps = append(next.Apps, a)
	}
	for _, dir := range slices.Sorted(maps.Keys(b.ours)) {
		if b.inUse(dir) {
			next.Dirs = append(next.Dirs, james.Path(dir))
		}
	}
	return next
}
