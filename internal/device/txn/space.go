package txn

import (
	"fmt"

	"github.com/trusch/jamesd/internal/device/disk"
	"github.com/trusch/jamesd/pkg/james"
)

// slack is what must be left on a file system beyond what is counted, in bytes:
// directories grow, and so do the file system's own tables.
const slack = 256 << 10

// opBytes is what the journal takes for one op, roughly.
const opBytes = 256

// need is what a transaction takes of one file system.
type need struct {
	dir          string // a directory on it, of the disk d
	d            *disk.Disk
	bytes, files int64
	space        disk.Space
}

// checkSpace refuses a plan for which there is not enough room. Old files stay
// until the end, so all new ones count in full; only those that are written with
// holes do not, as nobody knows their size on the disk.
func (b *builder) checkSpace() error {
	needs := map[uint64]*need{} // by device: two mounts of one file system share it
	for _, a := range b.areas {
		if _, err := addNeed(needs, b.i.Disk, string(a.Top)); err != nil {
			return err
		}
	}
	state, err := addNeed(needs, b.i.state, ".")
	if err != nil {
		return err
	}
	state.bytes += int64(len(b.ops)) * opBytes
	for _, o := range b.ops {
		if o.Kind != opRmdir { // undoing has a copy of each directory
			continue
		}
		n, err := addNeed(needs, b.i.Disk, string(b.areas[o.Area].Top))
		if err != nil {
			return err
		}
		n.file(1)
	}
	for _, s := range b.steps {
		if s.New == nil {
			continue
		}
		state.file(int64(len(s.New.m.Entries)) * opBytes)
		for k, st := range s.New.staged {
			n, err := addNeed(needs, b.i.Disk, string(b.areas[st.area].Top))
			if err != nil {
				return err
			}
			n.entry(&s.New.m.Entries[k])
		}
	}
	for _, n := range needs {
		if err := n.check(); err != nil {
			return err
		}
	}
	return nil
}

func addNeed(needs map[uint64]*need, d *disk.Disk, dir string) (*need, error) {
	info, err := d.Lstat(dir)
	if err != nil {
		return nil, err
	}
	if n, ok := needs[info.Dev]; ok {
		return n, nil
	}
	space, err := d.Space(dir)
	n := &need{dir: dir, d: d, space: space}
	needs[info.Dev] = n
	return n, err
}

func (n *need) file(size int64) {
	n.files++
	n.bytes += (size + n.space.Block - 1) / n.space.Block * n.space.Block
}

func (n *need) entry(e *james.Entry) {
	switch {
	case e.Type == james.TypeHardlink:
	case e.Sparse:
		n.file(0)
	default:
		n.file(e.Size)
	}
}

func (n *need) check() error {
	subject := "file system of " + n.d.Abs(n.dir)
	if missing := n.bytes + slack - n.space.Free; missing > 0 {
		return james.Errorf(james.KindUnavailable, subject, "has %s free, the plan needs %s: %s are missing",
			size(n.space.Free), size(n.bytes+slack), size(missing)).WithHint("free %s there", size(missing))
	}
	if n.space.Files >= 0 && n.files > n.space.Files {
		return james.Errorf(james.KindUnavailable, subject, "has room for %d more files, the plan needs %d", n.space.Files, n.files).
			WithHint("remove %d files there", n.files-n.space.Files)
	}
	return nil
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
