package delta

import (
	"encoding/binary"
	"math"

	"github.com/trusch/jamesd/internal/delta/regzip"
	"github.com/trusch/jamesd/pkg/james"
)

// MaxPatches is how many patches a batch may have.
const MaxPatches = 4096

// AppendBatch appends the encoding of patches to dst, not compressed, and returns
// it. There may be MaxPatches of them, and their sizes when encoded should not add up
// to more than MaxBatch; what they add up to, with 16 more, is the most it takes.
//
// The encoding is the number of patches, the number of pieces of each, the number of
// runs of each, which make gzip files, which are of programs, and then each column of
// all patches in turn. All are varints but the
// deltas and the bytes that are inserted, whose numbers follow from the runs and the
// inserts.
func AppendBatch(dst []byte, patches []*Patch) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(patches)))
	for _, p := range patches {
		dst = binary.AppendUvarint(dst, uint64(p.pieces))
	}
	for _, p := range patches {
		dst = binary.AppendUvarint(dst, uint64(p.runs))
	}
	dst = appendGzipped(dst, patches)
	dst = appendMachines(dst, patches)
	for k := range columns {
		for _, p := range patches {
			dst = append(dst, p.cols[k]...)
		}
	}
	return dst
}

// appendGzipped appends for each patch the level of the gzip file that it makes, or 0,
// and then what there is to say about those files.
func appendGzipped(dst []byte, patches []*Patch) []byte {
	for _, p := range patches {
		level := 0
		if p.gz != nil {
			level = p.gz.form.Level
		}
		dst = binary.AppendUvarint(dst, uint64(level))
	}
	for _, p := range patches {
		if g := p.gz; g != nil {
			dst = binary.AppendUvarint(dst, uint64(g.content))
			dst = binary.AppendUvarint(dst, uint64(g.size))
			dst = binary.AppendUvarint(dst, uint64(g.skip))
			dst = binary.AppendUvarint(dst, uint64(len(g.form.Header)))
			dst = append(dst, g.form.Header...)
		}
	}
	return dst
}

// appendMachines appends the machine of each patch, and then what there is to say about
// the programs.
func appendMachines(dst []byte, patches []*Patch) []byte {
	for _, p := range patches {
		dst = binary.AppendUvarint(dst, uint64(p.machine))
	}
	for _, p := range patches {
		if p.machine != noMachine {
			dst = binary.AppendUvarint(dst, uint64(p.base))
			dst = binary.AppendUvarint(dst, uint64(p.skip))
			dst = binary.AppendUvarint(dst, uint64(p.size))
			dst = binary.AppendUvarint(dst, uint64(p.shifts))
		}
	}
	return dst
}

// DecodeBatch returns the patches of a batch. They refer to b, which must not change
// as long as they are used. It fails with james.KindCorrupt for anything that
// AppendBatch cannot have made.
func DecodeBatch(b []byte) ([]*Patch, error) {
	d := decoder{b: b}
	n := d.uint()
	if n < 0 || n > MaxPatches {
		return nil, corrupt("says that it has %d patches, the limit is %d", n, MaxPatches)
	}
	patches := make([]*Patch, n)
	all := make([]Patch, n)
	for i := range patches {
		patches[i] = &all[i]
		all[i].pieces = d.count()
	}
	for i := range all {
		all[i].runs = d.count()
	}
	d.gzipped(all)
	d.machines(all)
	for k := range columns {
		for i := range all {
			all[i].cols[k] = d.column(&all[i], k)
		}
	}
	switch {
	case d.bad:
		return nil, corrupt("is malformed")
	case len(d.b) > 0:
		return nil, corrupt("has %d bytes after its end", len(d.b))
	}
	return patches, nil
}

func corrupt(format string, args ...any) error {
	return james.Errorf(james.KindCorrupt, "batch of patches", format, args...)
}

// decoder takes a batch apart. After the first thing that is malformed all is empty.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) fail() {
	d.bad, d.b = true, nil
}

// uint takes a varint in its shortest form. It is negative where it has 64 bits.
func (d *decoder) uint() int64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 || n > 1 && d.b[n-1] == 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return int64(v)
}

// count takes the number of things that follow, each of which takes a byte or more.
func (d *decoder) count() int {
	n := d.uint()
	if n < 0 || n > int64(len(d.b)) {
		d.fail()
		return 0
	}
	return int(n)
}

// gzipped takes what there is about gzip files.
func (d *decoder) gzipped(all []Patch) {
	for i := range all {
		if level := d.uint(); level != 0 {
			all[i].gz = &gzipped{form: regzip.Form{Level: int(min(uint64(level), regzip.MaxLevel+1))}}
		}
	}
	for i := range all {
		g := all[i].gz
		if g == nil {
			continue
		}
		g.content, g.size, g.skip = d.uint(), d.uint(), d.uint()
		g.form.Header = d.bytes(d.uint())
		if g.content < 0 || g.content > maxContent || g.skip < 0 || g.skip > g.size || g.size > 2*maxContent || !g.form.Valid() {
			d.fail()
		}
	}
}

// machines takes what there is about programs.
func (d *decoder) machines(all []Patch) {
	for i := range all {
		m := d.uint()
		if m < 0 || m >= int64(machines) {
			d.fail()
			return
		}
		all[i].machine = machine(m)
	}
	for i := range all {
		p := &all[i]
		if p.machine == noMachine {
			continue
		}
		p.base, p.skip, p.size = d.uint(), d.uint(), d.uint()
		if min(p.base, p.skip, p.size) < 0 || max(p.base, p.skip, p.size) > maxSize {
			d.fail()
		}
		p.shifts = d.count()
	}
}

// column takes a column of p, of which the columns before are there, and checks it.
func (d *decoder) column(p *Patch, k column) []byte {
	if d.bad {
		return nil
	}
	switch k {
	case shifts:
		return d.numbers(p.shifts)
	case gaps, runs:
		return d.numbers(p.runs)
	case deltas:
		return d.bytes(sum(p.cols[runs]))
	case literal:
		copied, inserted, ok := p.measure()
		if !ok || !p.differs(copied) || !p.program() || p.gz != nil && p.size > maxContent {
			d.fail()
		}
		return d.bytes(inserted)
	}
	return d.numbers(p.pieces)
}

// numbers takes n varints.
func (d *decoder) numbers(n int) []byte {
	before := d.b
	for range n {
		d.uint()
	}
	if d.bad {
		return nil
	}
	size := len(before) - len(d.b)
	return before[:size:size]
}

func (d *decoder) bytes(n int64) []byte {
	if n < 0 || n > int64(len(d.b)) {
		d.fail()
		return nil
	}
	b := d.b[:n:n]
	d.b = d.b[n:]
	return b
}

// sum returns the sum of all numbers in a column, or more than fits any batch where
// that overflows.
func sum(numbers []byte) int64 {
	var total int64
	for len(numbers) > 0 {
		v, n := binary.Uvarint(numbers)
		if total += int64(v); total < 0 {
			return math.MaxInt64
		}
		numbers = numbers[n:]
	}
	return total
}

// measure returns how much of what is wanted is copied, and how much inserted, and
// sets the size of p where that is all. It reports false where a piece is empty, a copy
// begins before the base or has an end that no number holds, or more is wanted than
// there is.
func (p *Patch) measure() (copied, inserted int64, ok bool) {
	c := cursor{p: *p}
	end := int64(math.MaxInt64)
	if p.machine != noMachine {
		end = p.skip + p.size
	}
	for c.p.pieces > 0 {
		c.piece()
		if c.copy == 0 && c.insert == 0 || min(c.copy, c.insert, c.at) < 0 || c.at > maxSize || c.copy > maxSize || c.insert > maxSize {
			return 0, 0, false
		}
		copied += overlap(c.place, c.copy, p.skip, end)
		c.place += c.copy
		inserted += overlap(c.place, c.insert, p.skip, end)
		c.place += c.insert
		c.at += c.copy
		if c.place > maxSize {
			return 0, 0, false
		}
	}
	if p.machine == noMachine {
		p.size = c.place
	}
	return copied, inserted, p.skip+p.size <= c.place
}

// program reports whether what p has as a program is within its limits.
func (p *Patch) program() bool {
	if p.machine == noMachine {
		return true
	}
	if p.shifts%3 != 0 || p.geometry() > maxGeometry || p.gz != nil {
		return false
	}
	_, ok := decodeShifts(p.cols[shifts])
	return ok
}

// overlap returns how many of n bytes from a place on are between two others.
func overlap(place, n, from, to int64) int64 {
	return max(0, min(place+n, to)-max(place, from))
}

// differs reports whether no run is empty and all are within so many copied bytes.
func (p *Patch) differs(copied int64) bool {
	c := cursor{p: *p}
	for range p.runs {
		gap, run := c.uint(gaps), c.uint(runs)
		if run <= 0 || gap < 0 || run > copied || gap > copied-run {
			return false
		}
		copied -= gap + run
	}
	return true
}

// maxSize is the largest content, and place in a base, in bytes: two of them added
// up overflow nothing.
const maxSize = math.MaxInt64 / 4
