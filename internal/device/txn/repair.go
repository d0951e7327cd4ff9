package txn

import (
	"context"
	"errors"
	"slices"

	"github.com/trusch/jamesd/pkg/james"
)

// Repairs is what became of a Repair.
type Repairs struct {
	// Repaired counts what was damaged and is as its packet has it again.
	Repaired int
	// Left are the changes that are there afterwards, edited configuration among
	// them, and Reasons why what is damaged of them could not be repaired.
	Left    []james.Change
	Reasons map[james.Change]error
}

// Repair puts what is damaged of the installed packets back, as one transaction in
// which no script runs: after a crash or a failure the device is as it was before
// or as it is after. Configuration files stay as they are. What it needs it
// fetches from src before anybody else is kept from a transaction; src is asked
// for packets of which only digest, name and tags are known. The error is for what
// failed as a whole; nothing is repaired then. EndRepair must be called before it.
func (i *Installer) Repair(ctx context.Context, src Source, o Verification) (*Repairs, error) {
	o.again = true // each file is read once, and again only if it changed meanwhile
	out := &Repairs{Reasons: map[james.Change]error{}}
	found, err := i.repairManifests(ctx, src, o, out)
	if err != nil {
		return nil, err
	}
	if err := i.prefetch(ctx, src, found, out); err != nil {
		return nil, err
	}
	before := len(damaged(found))
	if err := i.repairFiles(ctx, src, o, out); err != nil {
		return nil, err
	}
	if found, err = i.verify(ctx, o); err != nil {
		return nil, err
	}
	for _, f := range found {
		out.Left = append(out.Left, f.Change)
	}
	out.Repaired += max(0, before-len(damaged(found)))
	return out, nil
}

// damaged returns what of the findings is to be repaired.
func damaged(found []finding) []finding {
	return slices.DeleteFunc(slices.Clone(found), func(f finding) bool { return f.Kind == james.ChangedConfig })
}

// fail notes why something of an app stays damaged. It returns an error that
// stops everything as it is.
func (r *Repairs) fail(ctx context.Context, found []finding, err error) error {
	if ctx.Err() != nil {
		return err
	}
	for _, f := range found {
		r.Reasons[f.Change] = err
	}
	return nil
}

// repairManifests fetches the kept manifests that are damaged, and returns what
// else there is to repair.
func (i *Installer) repairManifests(ctx context.Context, src Source, o Verification, out *Repairs) ([]finding, error) {
	found, err := i.verify(ctx, o)
	if err != nil {
		return nil, err
	}
	mended := 0
	for _, f := range found {
		if f.Kind != james.ChangedManifest {
			continue
		}
		m, err := fetchManifest(ctx, src, packetOf(f.app))
		if err == nil {
			err = i.replaceManifest(ctx, f.app, m)
		}
		if err == nil {
			mended++
		} else if err := out.fail(ctx, []finding{f}, err); err != nil {
			return nil, err
		}
	}
	if mended == 0 {
		return found, nil
	}
	out.Repaired = mended
	return i.verify(ctx, o)
}

// replaceManifest keeps the manifest of an app, if that is still installed.
func (i *Installer) replaceManifest(ctx context.Context, a james.App, m *james.Manifest) error {
	leave, err := i.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if !slices.ContainsFunc(i.inventory().Apps, func(have installed) bool { return have.Digest == a.Digest }) {
		return nil
	}
	raw, digest, err := m.Encode()
	if err != nil {
		return err
	}
	return i.state.Replace(manifestFile(digest), raw, 0o600)
}

func packetOf(a james.App) *james.Packet {
	return &james.Packet{Digest: a.Digest, Name: a.Name, Tags: a.Tags}
}

// prefetch has src fetch the contents that are needed, before anybody is kept from
// a transaction.
func (i *Installer) prefetch(ctx context.Context, src Source, found []finding, out *Repairs) error {
	not := spoilt(found)
	wanted := slices.DeleteFunc(damaged(found), func(f finding) bool { return !f.fetch })
	for _, of := range byApp(wanted) {
		o, err := i.repairOrder(of, not)
		if err == nil && !o.Empty() {
			err = src.Fetch(ctx, o)
		}
		if err == nil {
			continue
		}
		if err := out.fail(ctx, of, err); err != nil {
			return err
		}
	}
	return nil
}

// repairOrder orders the contents of what is damaged of an app and nowhere else on
// the device. The packet itself may help to get them.
func (i *Installer) repairOrder(found []finding, not map[string]bool) (*Order, error) {
	app := found[0].app
	m, err := i.manifest(app)
	if err != nil {
		return nil, err
	}
	known := places{}
	for _, f := range found {
		known[m.Entries[fileOf(m, f.entry)].Digest] = nil
	}
	known.find(i, newView(i.Disk), not)
	var entries []int
	for _, f := range found {
		k := fileOf(m, f.entry)
		e := &m.Entries[k]
		if paths, asked := known[e.Digest]; asked && e.Size > 0 && len(i.present(paths, e.Size)) == 0 {
			entries = append(entries, k)
			delete(known, e.Digest)
		}
	}
	o := &Order{Use: func(int64) {}}
	if len(entries) > 0 {
		slices.Sort(entries)
		o.Wants = []Want{{packetOf(app), m, entries}}
	}
	i.addHave(o, []james.App{app})
	return o, nil
}

// spoilt returns the paths at which the right content does not lie.
func spoilt(found []finding) map[string]bool {
	not := map[string]bool{}
	for _, f := range found {
		switch f.Kind {
		case james.ChangedContent, james.ChangedMissing, james.ChangedType, james.ChangedConfig:
			not[f.path] = true
		}
	}
	return not
}

// byApp returns the findings of each app.
func byApp(found []finding) [][]finding {
	var all [][]finding
	for n, f := range found {
		if n == 0 || found[n-1].App != f.App {
			all = append(all, nil)
		}
		all[len(all)-1] = append(all[len(all)-1], f)
	}
	return all
}

// repairFiles repairs the files of what was not given up.
func (i *Installer) repairFiles(ctx context.Context, src Source, o Verification, out *Repairs) error {
	leave, err := i.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if err := i.checkNonePending(); err != nil {
		return err
	}
	i.verifying.Lock()
	v, err := i.verifyOnce(ctx, o)
	i.verifying.Unlock()
	if err != nil {
		return err
	}
	t := &txn{i: i, src: src, plan: &james.Plan{}, started: i.Now().UTC(), log: i.Log.WithField("txn", "repair")}
	defer t.close()
	found := slices.DeleteFunc(damaged(v.found), func(f finding) bool {
		_, gaveUp := out.Reasons[f.Change]
		return gaveUp || f.Kind == james.ChangedManifest
	})
	if err := t.prepareRepair(ctx, src, found, v, out); err != nil || len(t.ops) == 0 {
		return err
	}
	return t.repair(ctx, src)
}

// repair carries out what is prepared.
func (t *txn) repair(ctx context.Context, src Source) error {
	t.log.WithField("ops", len(t.ops)).Info("repairing")
	err := t.stage(ctx, src)
	if err != nil {
		return errors.Join(t.failure(err).err(), t.discard())
	}
	if err = t.do(ctx); err == nil {
		if r := t.commit(ctx); r.Result != james.Committed {
			return repairFailed(r)
		}
		return nil
	}
	t.failed = t.failure(err)
	return repairFailed(t.undoAll(ctx))
}

func (f *failure) err() error { return james.Errorf(f.Kind, "", "%s", f.Error) }

func repairFailed(r *james.Report) error {
	if r.Result == james.Broken {
		return james.Errorf(r.Kind, "", "%s", r.Error).WithHint("it is not undone yet; the agent tries again, and so does the next repair")
	}
	return james.Errorf(r.Kind, "", "%s; all is as it was before", r.Error)
}

// EndRepair ends a repair that was cut off. It fails with KindConflict where
// another transaction was, which is the agent's to end.
func (i *Installer) EndRepair(ctx context.Context) error {
	leave, err := i.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if !i.pending {
		return nil
	}
	t, err := i.loadPending()
	if err != nil {
		return err
	}
	if t == nil || !t.isRepair() {
		return i.checkNonePending()
	}
	_, err = i.recover(ctx)
	return err
}

// checkNonePending fails where somebody has left a transaction unfinished.
func (i *Installer) checkNonePending() error {
	if !i.pending {
		return nil
	}
	return unfinished(i.state.Root())
}

func unfinished(root string) error {
	return james.Errorf(james.KindConflict, root, "a transaction was interrupted and is not ended yet").
		WithHint("start jamesc, which ends it")
}

// isRepair reports whether the transaction is one of Repair.
func (t *txn) isRepair() bool {
	return slices.ContainsFunc(t.steps, func(s *step) bool { return s.Repair })
}
