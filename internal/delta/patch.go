package delta

// MaxBatch is how many bytes of an encoded batch a device holds in memory.
const MaxBatch = 1 << 20

// column names one of the sequences that a patch consists of.
type column int

// The new content is a sequence of pieces, each a copy and then an insert, either
// of which may be empty, but not both. The differences are to the bytes of all copies,
// one after another; after the last run, nothing differs.
const (
	copies  column = iota // bytes that a piece copies
	seeks                 // from the end of the last copy to the place of this one in the base, signed
	inserts               // bytes that a piece inserts after its copy
	shifts                // of a program's addresses: three numbers each, see appendShifts
	gaps                  // bytes without a difference before a run
	runs                  // bytes of a run, in which each byte differs
	deltas                // what is added to the bytes of the runs
	literal               // the bytes that are inserted
	columns
)

// Patch makes a content out of another one, its base. It does not change.
type Patch struct {
	size   int64 // of what the pieces make, or of the part of it that is wanted
	pieces int   // in copies, seeks and inserts
	runs   int   // in gaps and runs
	cols   [columns][]byte

	// Of programs. Their addresses change by how all of the pieces have moved, so all
	// pieces are there also where less is wanted than they make.
	machine machine
	base    int64 // size of the base
	shifts  int   // numbers in shifts
	skip    int64 // what the pieces make before what is wanted

	gz *gzipped // nil unless a gzip file is made of what the pieces make
}

// Size returns the size of what the patch makes, in bytes.
func (p *Patch) Size() int64 {
	if p.gz != nil {
		return p.gz.size - p.gz.skip
	}
	return p.size
}

// Encoded returns how many bytes the patch takes in a batch, before the batch is
// compressed, give or take a few.
func (p *Patch) Encoded() int {
	n := headSize
	for _, c := range p.cols {
		n += len(c)
	}
	if p.machine != noMachine {
		n += machineSize
	}
	if p.gz != nil {
		n += gzipSize + len(p.gz.form.Header)
	}
	return n
}

// machineSize is the most that comes on top of that for a program.
const machineSize = 28

// gzipSize is the most that comes on top of that for a gzip file beside its header.
const gzipSize = 24

// headSize is the most that a patch takes in a batch beside its columns.
const headSize = 12

// From returns the patch that makes what p makes, without its first offset bytes.
// Beyond the end of p that is a patch that makes nothing.
func (p *Patch) From(offset int64) *Patch {
	if p.gz != nil {
		rest := *p
		rest.gz = p.gz.from(offset)
		return &rest
	}
	c := newCursor(p)
	for offset > 0 {
		s, ok := c.next(offset)
		if !ok {
			break
		}
		offset -= s.size
	}
	return c.rest()
}

// Split returns patches that make what p makes, one after the other, each of at most
// limit bytes when it is encoded, or a few more. The smallest limit is 64, and for a
// program twice what its pieces take, which is never more than half of MaxBatch.
// A patch that makes a gzip file is not split; it takes half of MaxBatch at most.
func (p *Patch) Split(limit int) []*Patch {
	room := max(limit, 64)
	if p.Encoded() <= room || p.gz != nil {
		return []*Patch{p}
	}
	if p.machine != noMachine {
		room = max(room/2, room-p.geometry())
	}
	var out []*Patch
	c, w := newCursor(p), &writer{begin: p.skip}
	for {
		s, ok := c.next(int64(max(1, room-w.p.Encoded())))
		if !ok {
			return append(out, p.part(w))
		}
		w.add(s)
		if w.p.Encoded() >= room {
			out, w = append(out, p.part(w)), &writer{begin: c.place}
		}
	}
}

// part returns what w has collected of p as a patch.
func (p *Patch) part(w *writer) *Patch {
	part := w.patch()
	if p.machine != noMachine {
		part.machine, part.base, part.shifts, part.skip, part.pieces = p.machine, p.base, p.shifts, w.begin, p.pieces
		copy(part.cols[:gaps], p.cols[:gaps])
	}
	return part
}

// geometry returns the bytes of the columns that a program has whole.
func (p *Patch) geometry() int {
	n := 0
	for _, c := range p.cols[:gaps] {
		n += len(c)
	}
	return n
}
