package txn

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/trusch/jamesd/internal/device/disk"
	"github.com/trusch/jamesd/internal/device/script"
	"github.com/trusch/jamesd/pkg/james"
)

// stageName is the name in the work area of the k-th entry of the n-th step.
func stageName(n, k int) string { return fmt.Sprintf("%d.%d", n, k) }

// stage brings everything that is new to where it is only renamed from, makes it
// durable, and writes the journal up to "ready". Until that the device is as it
// was, but for the work areas.
func (t *txn) stage(ctx context.Context, src Source) error {
	t.begun, t.restoring, t.restored = map[int]bool{}, map[int]bool{}, map[int]bool{}
	if err := t.begin(); err != nil {
		return err
	}
	if err := t.reserve(); err != nil {
		return err
	}
	if err := t.stageContents(ctx, src); err != nil {
		return err
	}
	for _, s := range t.steps {
		if s.New == nil {
			continue
		}
		if err := t.stageOthers(s); err != nil {
			return &stepError{s, err}
		}
	}
	t.room.release()
	if err := t.stageDirs(); err != nil {
		return err
	}
	if err := t.stageState(); err != nil {
		return err
	}
	if err := t.flush(); err != nil {
		src.Forget(t.fetched) // it reads as it should, but perhaps from memory alone
		return err
	}
	if err := t.ask(ctx); err != nil {
		return err
	}
	return t.getReady(ctx)
}

// begin notes where work areas will be, and makes them.
func (t *txn) begin() error {
	for _, o := range t.ops {
		if o.changesNames() && james.Path(parent(string(o.Path))) == t.areas[o.Area].Top {
			t.areas[o.Area].Changed = true
		}
	}
	t.i.pending = true
	if err := t.i.log.Reserve(t.journalBytes()); err != nil {
		return err
	}
	var err error
	t.next.Serial = t.i.inventory().Serial + 1
	if _, t.nextSum, err = t.next.encode(); err != nil {
		return err
	}
	t.next.sum = t.nextSum
	if err := t.record(t.beginning()); err != nil {
		return err
	}
	if t.state, err = t.i.state.NewBatch("."); err != nil {
		return err
	}
	for _, a := range t.areas {
		if err := t.makeArea(a); err != nil {
			return err
		}
	}
	return nil
}

// changesNames reports whether the op adds or removes a name in a directory.
func (o *op) changesNames() bool {
	return o.Kind == opAway || o.Kind == opPlace || o.Kind == opMkdir || o.Kind == opRmdir
}

// stageDirs makes, for every directory that is to be removed, the one that
// undoing puts in its place: making it then would need room on the disk. Its
// owner may write to it until then, as a directory cannot move otherwise.
func (t *txn) stageDirs() error {
	for _, o := range t.ops {
		if o.Kind != opRmdir {
			continue
		}
		a, path := t.areas[o.Area], t.areas[o.Area].dirCopy(o.Name)
		a.batch.Add(a.dir() + "/new")
		a.batch.Add(path)
		if err := t.i.Disk.Mkdir(path, 0o700); err != nil {
			return err
		}
		m := o.Was.disk()
		m.Mode |= 0o700
		if err := t.i.Disk.SetMeta(path, m); err != nil {
			return err
		}
	}
	return nil
}

// stageOthers stages what a step's new packet has besides contents.
func (t *txn) stageOthers(s *step) error {
	for k := range s.New.m.Entries {
		st := s.New.staged[k]
		if st == nil {
			continue
		}
		if err := t.stageOther(s.New, &s.New.m.Entries[k], st); err != nil {
			return err
		}
		_, _, known := t.ids.owner(cmp.Or(st.file, &s.New.m.Entries[k]))
		st.late = !known && st.local == nil && t.i.Disk.Privileged()
	}
	return nil
}

// stageOther stages an entry that has no content.
func (t *txn) stageOther(side *side, e *james.Entry, st *staged) error {
	d := t.i.Disk
	return t.staged(st, func(path string) error {
		switch e.Type {
		case james.TypeSymlink:
			return d.Symlink(string(e.Target), path, t.ids.meta(e))
		case james.TypeHardlink:
			to, _ := entryIndex(side.m, e.Link)
			return d.Link(t.areas[st.area].new(side.staged[to].name), path)
		case james.TypeFifo, james.TypeChar, james.TypeBlock:
			return d.Mknod(path, e.Type, e.Major, e.Minor, t.ids.meta(e))
		case james.TypeFile:
			if e.Size == 0 {
				return t.stageEmpty(e, st, path)
			}
		}
		return nil // it is staged
	})
}

// stageEmpty stages a file without content.
func (t *txn) stageEmpty(e *james.Entry, st *staged, path string) error {
	if e.Digest != james.DigestOf(nil) {
		return james.Errorf(james.KindCorrupt, e.Path.String(), "has no bytes and the digest of some")
	}
	t.areas[st.area].batch.Add(path)
	return t.i.Disk.WriteNew(path, bytes.NewReader(nil), disk.New{Meta: t.fileMeta(e, st)})
}

// staged has make make a name in the work area and notes that it is to be synced.
func (t *txn) staged(st *staged, make func(path string) error) error {
	a := t.areas[st.area]
	a.batch.Add(a.dir() + "/new")
	return make(a.new(st.name))
}

// stageState writes what the state directory needs: the manifests of the new
// packets, the scripts, and the inventory of after.
func (t *txn) stageState() error {
	for n, s := range t.steps {
		if s.New != nil {
			if err := t.keepManifest(s.New); err != nil {
				return err
			}
		}
		for _, old := range []bool{true, false} {
			if err := t.writeScripts(n, s, old); err != nil {
				return err
			}
		}
	}
	if err := t.stageNext(); err != nil {
		return err
	}
	return t.stageList()
}

// keepManifest writes a new packet's manifest, unless an installed one has it.
func (t *txn) keepManifest(s *side) error {
	for _, a := range t.i.inventory().Apps {
		if a.Digest == s.App.Digest {
			return nil
		}
	}
	raw, digest, err := s.m.Encode()
	if err != nil {
		return err
	}
	if digest != s.App.Digest {
		return notItsManifest(s.App)
	}
	return t.writeState(manifestFile(digest), raw)
}

// writeState writes a new file of the state directory. One that is there
// already, of that digest or of a crash, is replaced.
func (t *txn) writeState(path string, raw []byte) error {
	return t.writeStateFrom(path, bytes.NewReader(raw), int64(len(raw)))
}

func (t *txn) writeStateFrom(path string, content io.Reader, size int64) error {
	if err := t.i.state.RemoveAll(path); err != nil {
		return err
	}
	t.state.Add(path)
	t.state.AddParent(path)
	own := disk.Meta{Mode: 0o600, UID: uint32(os.Geteuid()), GID: uint32(os.Getegid())}
	return t.i.state.WriteNew(path, content, disk.New{Meta: own, Size: size})
}

// writeScripts writes the scripts that a side of a step may run, so that undoing
// needs no room on the disk for them.
func (t *txn) writeScripts(n int, s *step, old bool) error {
	side := s.side(old)
	if side == nil {
		return nil
	}
	for _, name := range james.ScriptNames() {
		if body := side.m.Scripts[name]; len(body) > 0 {
			if err := script.Write(t.i.state, scriptFile(n, old, name), body); err != nil {
				return err
			}
		}
	}
	return nil
}

func scriptFile(n int, old bool, name james.ScriptName) string {
	return fmt.Sprintf("%s/%d.%s.%s", runDir, n, map[bool]string{true: "old", false: "new"}[old], name)
}

// ask gives BeforeApply the last word.
func (t *txn) ask(ctx context.Context) error {
	if t.i.BeforeApply == nil {
		return nil
	}
	return t.i.BeforeApply(ctx, t.plan, func(p james.Path) (string, bool) {
		for _, s := range t.steps {
			if s.New == nil {
				continue
			}
			for k, st := range s.New.staged {
				if s.New.m.Entries[k].Path == p || st.path == string(p) {
					return t.i.Disk.Abs(t.areas[st.area].new(st.name)), true
				}
			}
		}
		return "", false
	})
}

// getReady checks that the disk is still what was decided on, and writes the
// list of ops to the journal.
func (t *txn) getReady(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	for _, o := range t.ops {
		var err error
		switch o.Kind {
		case opAway:
			err = t.checkSeen(o)
		case opPlace:
			err = t.checkUnmade(o)
		}
		if err != nil {
			return err
		}
	}
	list, err := t.list()
	if err != nil {
		return err
	}
	t.ready = true // the journal may say so from here on, whatever the sync says
	return t.record(list...)
}

// checkSeen refuses when somebody changed a file since it was decided that it
// goes: an administrator who edits it while the packet is unpacked keeps the edit.
func (t *txn) checkSeen(o *op) error {
	info, err := t.i.Disk.Lstat(string(o.Path))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if info.Type != o.seen.Type || info.Ino != o.seen.Ino || info.Size != o.seen.Size || !info.Time.Equal(o.seen.Time) || info.Mode != o.seen.Mode {
		return james.Errorf(james.KindInterrupted, o.Path.String(), "was changed on the device while the plan was prepared")
	}
	return nil
}

// checkUnmade refuses when somebody made a configuration file where there was none,
// or none that is to go, when it was decided that one comes.
func (t *txn) checkUnmade(o *op) error {
	if o.Pair != "" || !t.i.inConfigDir(o.entry.Path, o.Path) {
		return nil
	}
	info, err := t.i.Disk.Lstat(string(o.Path))
	if err != nil || info.IsDir() {
		return nil // nothing, or what another op sees to
	}
	return james.Errorf(james.KindInterrupted, o.Path.String(), "was made on the device while the plan was prepared")
}

// noteTimes notes the times of the directories that exist and in which names
// change, to set them back when undoing.
func (t *txn) noteTimes() error {
	seen := map[string]bool{}
	for _, a := range t.areas {
		seen[string(a.Top)] = true // its time is set back when the work area is gone
	}
	for _, o := range t.ops {
		if o.Path == "" {
			continue
		}
		for _, dir := range []string{parent(string(o.Path)), string(o.Path)} {
			if seen[dir] || (dir == string(o.Path) && o.Was == nil && o.Kind != opTime) {
				continue
			}
			seen[dir] = true
			info, err := t.i.Disk.Lstat(dir)
			if errors.Is(err, os.ErrNotExist) || err == nil && !info.IsDir() {
				continue
			}
			if err != nil {
				return err
			}
			t.times = append(t.times, dirTime{james.Path(dir), info.Time, o.Area})
		}
	}
	// The deepest first: setting a time changes none above, but restoring a
	// directory would.
	slices.SortFunc(t.times, func(a, b dirTime) int { return cmp.Compare(b.Path, a.Path) })
	return nil
}
