package delta

// piece is a copy from a place of the base and an insert.
type piece struct{ at, copy, insert int }

// write returns the patch of which the pieces are known, of a program where r is not
// nil.
func write(old, new []byte, pieces []piece, r *relocator) *Patch {
	d := differ{old: old, relocator: r, buf: make([]byte, blockSize)}
	if r != nil {
		d.w.p.cols[shifts], d.w.p.shifts = appendShifts(nil, r.shifts), 3*len(r.shifts)
	}
	place := 0
	for _, p := range pieces {
		d.copy(new[place:place+p.copy], p.at, place-p.at)
		place += p.copy
		d.w.add(segment{size: int64(p.insert), bytes: new[place : place+p.insert]})
		place += p.insert
	}
	out := d.w.patch()
	if r != nil {
		out.machine, out.base = r.machine, r.size
	}
	return out
}

// differ writes copies with their differences.
type differ struct {
	old       []byte
	relocator *relocator
	w         writer
	buf       []byte
}

// copy writes the copy from a place of the base that makes b, moving by so many bytes.
func (d *differ) copy(b []byte, at, by int) {
	for len(b) > 0 {
		block := at - at%blockSize
		n := min(len(b), block+blockSize-at)
		copied := d.buf[:copy(d.buf, d.old[at:at+n])]
		if d.relocator != nil {
			d.relocator.change(copied, int64(at), int64(by), d.old[block:min(block+blockSize, len(d.old))], int64(block))
		}
		d.compare(copied, b[:n], int64(at))
		b, at = b[n:], at+n
	}
}

// compare writes what has been copied, as it differs from what is wanted.
func (d *differ) compare(copied, b []byte, at int64) {
	for i := 0; i < len(b); {
		from := i
		for i < len(b) && copied[i] == b[i] {
			i++
		}
		if i > from {
			d.w.add(segment{copied: true, at: at + int64(from), size: int64(i - from)})
		}
		from = i
		for ; i < len(b) && copied[i] != b[i]; i++ {
			copied[i] = b[i] - copied[i]
		}
		if i > from {
			d.w.add(segment{copied: true, at: at + int64(from), size: int64(i - from), bytes: copied[from:i]})
		}
	}
}
