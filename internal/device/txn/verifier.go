package txn

import (
	"cmp"
	"context"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/trusch/jamesd/internal/device/disk"
	"github.com/trusch/jamesd/pkg/james"
)

// finding is a change with where it was found.
type finding struct {
	james.Change
	app   james.App
	entry int    // of the manifest; -1 for the manifest itself
	path  string // physical
	// fetch says that the right content is nowhere on the device.
	fetch bool
}

// verifier compares the disk with manifests.
type verifier struct {
	Verification
	i     *Installer
	ctx   context.Context
	view  *view
	ids   *ids
	ours  map[string]bool
	plain map[uint64]bool // file systems without owners and modes
	// owners tells who has what several packets claim; nil where none replaces
	// another.
	owners *claims
	// dirs are the directories of several packets that are not as one of them has
	// them, by physical path; right are those that are as another has them.
	dirs  map[string]finding
	right map[string]bool

	found       []finding
	done, total int64
	began       time.Time
	committed   time.Time // the last transaction
}

func (i *Installer) verifyOnce(ctx context.Context, o Verification) (*verifier, error) {
	v := &verifier{Verification: o, i: i, ctx: ctx, view: newView(i.Disk), ids: newIDs(i.Disk), ours: map[string]bool{},
		plain: map[uint64]bool{}, dirs: map[string]finding{}, right: map[string]bool{}, began: i.Now()}
	if info, err := i.state.Lstat(stateFile); err == nil {
		v.committed = info.Changed
	}
	inv := i.inventory()
	for _, dir := range inv.Dirs {
		v.ours[string(dir)] = true
	}
	i.Disk.Forget() // whoever damaged files may have replaced directories
	if err := v.overview(inv); err != nil {
		return nil, err
	}
	for _, a := range inv.Apps {
		if err := v.app(a); err != nil {
			return nil, err
		}
	}
	for path, f := range v.dirs {
		if !v.right[path] {
			v.found = append(v.found, f)
		}
	}
	slices.SortFunc(v.found, func(a, b finding) int {
		return cmp.Or(strings.Compare(a.App, b.App), strings.Compare(string(a.Path), string(b.Path)))
	})
	i.forgetOthers(inv)
	return v, nil
}

// overview adds the sizes of all that is installed and finds out who replaces
// whom.
func (v *verifier) overview(inv *inventory) error {
	installed := map[string]bool{}
	for _, a := range inv.Apps {
		installed[a.Name] = true
	}
	involved := map[string]bool{}
	for _, a := range inv.Apps {
		o, err := v.outline(a)
		if err != nil {
			return err
		}
		v.total += o.size
		for _, name := range o.replaces {
			if installed[name] {
				involved[name], involved[a.Name] = true, true
			}
		}
	}
	if len(involved) == 0 {
		return nil
	}
	v.owners = &claims{files: map[string]*claim{}, dirs: map[string]james.App{}, besides: map[string]james.App{}}
	for _, a := range inv.Apps {
		if !involved[a.Name] {
			continue
		}
		m, err := v.i.manifest(a.App)
		if err != nil {
			continue // what it owns is not known
		}
		if err := v.owners.add(v.view, &claimant{App: a.App, replaces: m.Replaces}, m, v.i.configOf(m)); err != nil {
			return err
		}
	}
	return nil
}

// outline returns that of an app; a manifest that cannot be read has none.
func (v *verifier) outline(a installed) (outline, error) {
	if known, ok := v.i.outlines.get(a.Digest); ok {
		return known, nil
	}
	if err := v.ctx.Err(); err != nil {
		return outline{}, err
	}
	m, err := v.i.manifest(a.App)
	if err != nil {
		return outline{}, nil
	}
	return v.i.outlines.note(a.Digest, m), nil
}

// app verifies one app.
func (v *verifier) app(a installed) error {
	if err := v.ctx.Err(); err != nil {
		return err
	}
	m, err := v.i.manifest(a.App)
	if err != nil {
		v.found = append(v.found, finding{Change: james.Change{App: a.Name, Path: ".", Kind: james.ChangedManifest}, app: a.App, entry: -1, path: "."})
		return nil
	}
	av := &appVerifier{verifier: v, app: a.App, m: m, memo: v.i.memoOf(a.App, v.began), isConfig: v.i.configOf(m), lost: a.Lost,
		links: map[james.Path]*disk.Info{}, sound: map[int]bool{}, next: memo{digest: a.Digest, since: v.began, content: map[int]bool{}, capable: map[int]bool{}}}
	from := len(v.found)
	for k := range m.Entries {
		if err := av.entry(k); err != nil {
			return err
		}
	}
	for n := range v.found[from:] {
		f := &v.found[from+n]
		f.fetch = av.fetches(f)
	}
	v.i.memos[a.Name] = &av.next
	return nil
}

// appVerifier verifies one app.
type appVerifier struct {
	*verifier
	app      james.App
	m        *james.Manifest
	isConfig func(e *james.Entry, path string) bool
	lost     []james.Path // configuration files that nobody has deleted
	// links are the files of the packet that have several names, by the path in the
	// manifest; where the path is another's, that of the first link is meant.
	links map[james.Path]*disk.Info
	// sound are the files, by index, of which some name has the right content.
	sound map[int]bool
	// memo is what was known before, or nil; next is what is known now.
	memo *memo
	next memo
}

func (v *appVerifier) tell(k int, path string, kind james.ChangeKind) {
	e := &v.m.Entries[k]
	if v.isConfig(e, path) && (kind != james.ChangedMissing || !slices.Contains(v.lost, e.Path)) {
		kind = james.ChangedConfig
	}
	v.found = append(v.found, finding{Change: james.Change{App: v.app.Name, Path: e.Path, Kind: kind}, app: v.app, entry: k, path: path})
}

// fetches reports whether the right content of what was found is nowhere here.
func (v *appVerifier) fetches(f *finding) bool {
	switch f.Kind {
	case james.ChangedContent, james.ChangedMissing, james.ChangedType:
		file := fileOf(v.m, f.entry)
		return v.m.Entries[file].Type == james.TypeFile && !v.sound[file]
	}
	return false
}

func (v *appVerifier) entry(k int) error {
	e := &v.m.Entries[k]
	if e.Path == "." {
		return nil // the install root is not the packet's
	}
	if err := v.ctx.Err(); err != nil {
		return err
	}
	path, err := v.locate(e)
	if err == nil && v.anothers(path) {
		return nil
	}
	var info disk.Info
	if err == nil {
		info, err = v.i.Disk.Lstat(path)
	}
	kind, err := v.compare(k, path, info, err)
	if err != nil || kind == "" {
		return err
	}
	if e.Type == james.TypeDir && v.ours[path] && kind != james.ChangedMissing && kind != james.ChangedType {
		f := finding{Change: james.Change{App: v.app.Name, Path: e.Path, Kind: kind}, app: v.app, entry: k, path: path}
		if _, ok := v.dirs[path]; !ok {
			v.dirs[path] = f
		}
		return nil
	}
	v.tell(k, path, kind)
	return nil
}

func (v *appVerifier) locate(e *james.Entry) (string, error) {
	if e.Type == james.TypeDir {
		return v.view.dir(e.Path)
	}
	return v.view.locate(e.Path)
}

// anothers reports whether the path is that of a packet that replaces this one.
func (v *appVerifier) anothers(path string) bool {
	if v.owners == nil {
		return false
	}
	owner, ok := v.owners.owner(path)
	return ok && owner.Name != v.app.Name
}

// quick reports whether only what may have changed is read of the app.
func (v *appVerifier) quick() bool { return v.Quick || v.again && v.memo != nil }

// read notes that n bytes are done.
func (v *verifier) read(n int64) {
	v.done += n
	if v.Progress != nil {
		v.Progress(min(v.done, v.total), v.total)
	}
}

// reading returns r so that it tells how far it is and ends with the context.
func (v *verifier) reading(r io.Reader) io.Reader { return &watched{r, v} }

type watched struct {
	r io.Reader
	v *verifier
}

func (w *watched) Read(p []byte) (int, error) {
	if err := w.v.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := w.r.Read(p)
	w.v.read(int64(n))
	return n, err
}
