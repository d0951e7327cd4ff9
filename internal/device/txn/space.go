package txn

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/trusch/jamesd/internal/device/disk"
	"github.com/trusch/jamesd/pkg/james"
)

// Space is counted before the first byte is asked for, and taken at once: who fills
// the disk while a slow link brings contents gets what is left, not what the plan
// needs. The old files stay until the end, so all new ones count in full. What is
// fetched counts where the source stores it, and once more where it has to be
// copied; what is reused from installed files only where it is copied to. What is
// taken is given free piece by piece, right before it is used, and when all is
// staged. Only room for files can be taken, not their number.

const (
	// slack is what must be left on a file system beyond what is counted, in bytes:
	// directories grow, and so do the file system's own tables.
	slack = 256 << 10
	// stateSlack is that of the state directory's file system: the agent writes its
	// memory there.
	stateSlack = 1 << 20
	// opBytes is what the journal takes for one op beside its names, roughly.
	opBytes = 256
	// tables is the part of a file that the file system needs to know where the rest
	// is, and its checksums.
	tables = 256
	// inlineTarget is the length from which a symbolic link takes a block.
	inlineTarget = 60
)

// account is what a transaction takes of one file system.
type account struct {
	point string // where it is mounted
	space disk.Space
	bytes int64
	files int64
	// d and dir say where on it the transaction has a directory of its own.
	d   *disk.Disk
	dir string

	held *disk.Reservation
}

// room is what a transaction takes of the disk.
type room struct {
	areas  []*account // by work area
	state  *account
	source *account
	all    []*account
	// missing is what the source has still to store, in bytes, and partial what the
	// last blocks of its files take besides.
	missing, partial int64
}

// checkSpace refuses a plan for which there is not enough room.
func (t *txn) checkSpace(src Source) error {
	r, err := t.openRoom(src)
	if err != nil {
		return err
	}
	t.room = r
	for _, o := range t.ops {
		r.op(o)
	}
	for _, s := range t.steps {
		if s.New != nil {
			r.step(s)
		}
		for _, side := range []*side{s.Old, s.New} {
			if side != nil {
				r.scripts(side.m)
			}
		}
	}
	t.countContents()
	if o := t.order(); !o.Empty() {
		r.missing = src.Missing(o)
		r.source.add(r.partial)
		r.source.add(r.missing)
	}
	inventory, err := json.Marshal(t.next)
	if err != nil {
		return james.Errorf(james.KindInternal, nextFile, "%w", err)
	}
	for range 3 { // twice, and while one of them is written again
		r.state.file(int64(len(inventory)))
	}
	return r.check()
}

// countContents counts what the files take in the work areas, and what their
// number takes of the source's file system.
func (t *txn) countContents() {
	r := t.room
	for _, c := range t.contents {
		ordered := len(c.places) == 0
		if e := t.sample(c); ordered {
			r.source.files++
			r.partial += r.source.takes(r.source.content(e)) - r.source.content(e)
		}
		for n, f := range c.files {
			if e, st := t.entry(f); ordered && c.link && n == len(c.files)-1 {
				r.areas[st.area].attributes(e)
			} else {
				r.areas[st.area].entry(e)
			}
		}
	}
}

// openRoom returns an account for each file system: two mounts of one share it.
func (t *txn) openRoom(src Source) (*room, error) {
	r, known := &room{}, map[uint64]*account{}
	for _, a := range t.areas {
		account, err := r.open(known, t.i.Disk, string(a.Top), a.dir())
		if err != nil {
			return nil, err
		}
		for range 4 { // the directories of the work area
			account.file(1)
		}
		r.areas = append(r.areas, account)
	}
	var err error
	if r.state, err = r.open(known, t.i.state, ".", runDir); err != nil {
		return nil, err
	}
	r.state.add(stateSlack + slack) // some of it for records of other kinds than ops
	r.source, err = r.open(known, src.Dir(), ".", ".")
	return r, err
}

func (r *room) open(known map[uint64]*account, d *disk.Disk, on, dir string) (*account, error) {
	info, err := d.Lstat(on)
	if err != nil {
		return nil, err
	}
	if a, ok := known[info.Dev]; ok {
		return a, nil
	}
	a := &account{d: d, dir: dir, bytes: slack}
	if a.space, err = d.Space(on); err != nil {
		return nil, err
	}
	if a.point, err = d.MountPoint(on); err != nil {
		return nil, err
	}
	known[info.Dev] = a
	r.all = append(r.all, a)
	return a, nil
}

// op counts what an op takes of the journal, and of directories.
func (r *room) op(o *op) {
	r.state.add(2 * o.journalBytes()) // in the journal and beside it
	if o.Path == "" {
		return
	}
	a := r.areas[o.Area]
	switch o.Kind {
	case opMkdir, opRmdir: // undoing has a copy of each directory that goes
		a.file(1)
	case opAway, opPlace:
		a.add(2 * entryBytes(filepath.Base(string(o.Path)), o.Name))
	}
}

// journalBytes is what the journal takes for the op, or more.
func (o *op) journalBytes() int64 {
	n := opBytes + len(o.Path) + len(o.Name)
	if o.Was != nil {
		for name, value := range o.Was.Xattrs {
			n += len(name) + 2*len(value) + opBytes
		}
	}
	return int64(n)
}

// journalBytes is what the journal takes, or more.
func (t *txn) journalBytes() int64 {
	n := int64(slack)
	for _, o := range t.ops {
		n += o.journalBytes()
	}
	return n
}

// entryBytes is what names take in directories.
func entryBytes(names ...string) int64 {
	n := 0
	for _, name := range names {
		n += len(name) + 16
	}
	return int64(n)
}

// step counts what a step's new packet takes: its manifest, and its files but for
// their contents.
func (r *room) step(s *step) {
	r.state.file(manifestBytes(s.New.m))
	for k, st := range s.New.staged {
		e := cmp.Or(st.file, &s.New.m.Entries[k])
		if e.Type != james.TypeFile || e.Size == 0 {
			r.areas[st.area].entry(e)
		}
	}
}

func manifestBytes(m *james.Manifest) int64 {
	n := 0
	for k := range m.Entries {
		e := &m.Entries[k]
		n += opBytes + len(e.Path) + len(e.Link) + len(e.Target) + len(e.User) + len(e.Group)
		for name, value := range e.Xattrs {
			n += len(name) + 2*len(value)
		}
	}
	for _, body := range m.Scripts {
		n += 2 * len(body)
	}
	return int64(n)
}

// scripts counts the scripts that the transaction may run.
func (r *room) scripts(m *james.Manifest) {
	for _, body := range m.Scripts {
		r.state.file(int64(len(body)))
	}
}

// add counts bytes; what a manifest says may be beyond all numbers.
func (a *account) add(n int64) {
	if a.bytes > math.MaxInt64-n {
		n = math.MaxInt64 - a.bytes
	}
	a.bytes += n
}

func (a *account) file(size int64) {
	a.files++
	a.add(a.takes(size))
}

// takes returns what a file of that size takes, in whole blocks.
func (a *account) takes(size int64) int64 {
	size = max(min(size, math.MaxInt64/2), 0)
	size += size / tables
	return (size + a.space.Block - 1) / a.space.Block * a.space.Block
}

// entry counts what is staged for an entry.
func (a *account) entry(e *james.Entry) {
	switch {
	case e.Type == james.TypeHardlink:
		return
	case e.Type == james.TypeSymlink && len(e.Target) < inlineTarget:
		a.file(0)
	case e.Type == james.TypeSymlink:
		a.file(1)
	default:
		a.file(a.content(e))
	}
	a.attributes(e)
}

// attributes counts what an entry has besides its content.
func (a *account) attributes(e *james.Entry) {
	if len(e.Xattrs) > 0 {
		a.add(a.space.Block)
	}
}

// content returns how much of a file is written. Of a sparse one it is what the
// packet says that it holds besides zeros; a larger block of this file system may
// hold only a little of it.
func (a *account) content(e *james.Entry) int64 {
	if !e.Sparse {
		return e.Size
	}
	return min(e.Size, e.Data/james.DataUnit*max(a.space.Block, james.DataUnit))
}

// check refuses where there is too little room, on whichever file system.
func (r *room) check() error {
	var says, hints []string
	for _, a := range r.all {
		if missing := a.bytes - a.space.Free; missing > 0 {
			says = append(says, fmt.Sprintf("the file system of %s has %s free and %s are needed, %s are missing",
				a.point, size(a.space.Free), size(a.bytes), size(missing)))
			hints = append(hints, fmt.Sprintf("%s on %s", size(missing), a.point))
		}
		if a.space.Files >= 0 && a.files > a.space.Files {
			says = append(says, fmt.Sprintf("the file system of %s has room for %d more files and %d are needed, %d are missing",
				a.point, a.space.Files, a.files, a.files-a.space.Files))
			hints = append(hints, fmt.Sprintf("%d files on %s", a.files-a.space.Files, a.point))
		}
	}
	if says == nil {
		return nil
	}
	return james.Errorf(james.KindUnavailable, "", "not enough space: %s", strings.Join(says, "; ")).
		WithHint("free %s", strings.Join(hints, " and "))
}

// reserve takes the room that was counted.
func (t *txn) reserve() error {
	for _, a := range t.room.all {
		bytes := a.bytes - slack
		if a == t.room.state {
			bytes -= t.journalBytes() // the journal has them
		}
		var err error
		if a.held, err = a.d.Reserve(a.dir, bytes); err != nil {
			return a.taken(a.d, a.dir, err)
		}
	}
	return nil
}

// taken says that a directory of the file system has not the room any more that was
// counted, if that is what err says.
func (a *account) taken(d *disk.Disk, dir string, err error) error {
	if !errors.Is(err, unix.ENOSPC) {
		return err
	}
	space, serr := d.Space(dir)
	if serr != nil {
		return err
	}
	return james.Errorf(james.KindUnavailable, "", "not enough space: the file system of %s has %s free and %s are needed, something else takes it right now",
		a.point, size(space.Free), size(a.bytes)).WithHint("free some space on %s", a.point)
}

// growRoom takes more room where more has to be fetched than was counted, as an
// installed file turned out not to be what its manifest says.
func (t *txn) growRoom(src Source) error {
	r := t.room
	missing := src.Missing(t.order())
	more := missing - r.missing
	if more <= 0 {
		return nil
	}
	r.missing = missing
	more += more / tables
	space, err := src.Dir().Space(".")
	if err != nil {
		return err
	}
	if r.source.held == nil && more > space.Free {
		err = unix.ENOSPC
	} else {
		err = r.source.held.Grow(more)
	}
	if errors.Is(err, unix.ENOSPC) {
		return james.Errorf(james.KindUnavailable, "", "not enough space: the file system of %s has %s free and %s more are needed, as installed files are not what they should be",
			r.source.point, size(space.Free), size(more)).WithHint("free some space on %s", r.source.point)
	}
	return err
}

// useSource returns the Use of an order. With what is stored it gives free what the
// last blocks of files take, until that is used up: files are not told apart.
func (r *room) useSource() func(bytes int64) {
	return func(bytes int64) {
		more := min(r.source.takes(bytes)-bytes, r.partial)
		r.partial -= more
		r.source.held.Use(bytes + more)
	}
}

// using gives room free for a file, and for what is read of its content right
// before that is written.
func (a *account) using(e *james.Entry, content io.Reader) io.Reader {
	size := a.content(e)
	a.held.Use(a.takes(size) - size)
	return &usingReader{content, a}
}

type usingReader struct {
	io.Reader
	a *account
}

func (u *usingReader) Read(p []byte) (int, error) {
	n, err := u.Reader.Read(p)
	u.a.held.Use(int64(n))
	return n, err
}

// release gives everything free that is left.
func (r *room) release() {
	if r == nil {
		return
	}
	for _, a := range r.all {
		a.held.Close()
	}
}

// size writes a number of bytes for people, rounded up.
func size(n int64) string {
	for _, u := range []struct {
		unit int64
		name string
	}{{1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		if n >= u.unit {
			tenths := (n/u.unit)*10 + (n%u.unit*10+u.unit-1)/u.unit
			return fmt.Sprintf("%d.%d %s", tenths/10, tenths%10, u.name)
		}
	}
	return fmt.Sprintf("%d bytes", n)
}
