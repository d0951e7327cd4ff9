package delta

import (
	"errors"
	"io"

	"github.com/trusch/jamesd/pkg/james"
)

// window is how much of a base a reader has in memory, in bytes.
const window = 64 << 10

// Reader returns a reader of what p makes out of old. It takes a window of old at a
// time and nothing else beside the patch; for a gzip file, the content of the old one,
// which is never more than 7 MiB, and half of one to compress the new one with. It
// fails with james.KindCorrupt where old is not what the patch needs, as far as that
// is seen, and with what reading old fails with.
func (p *Patch) Reader(old io.ReaderAt) io.Reader {
	if p.gz != nil {
		return &gzipReader{patch: p, old: old}
	}
	return p.content(old)
}

// content returns a reader of what the pieces make.
func (p *Patch) content(old io.ReaderAt) io.Reader {
	r := &reader{c: newCursor(p), base: base{old: old}}
	if p.machine != noMachine {
		all, _ := decodeShifts(p.cols[shifts])
		r.base.relocator = &relocator{machine: p.machine, size: p.base, moves: overlay(movesOf(p.spans()), all)}
	}
	return r
}

type reader struct {
	c    *cursor
	base base
	err  error
}

// Read makes the next bytes of the new content.
func (r *reader) Read(b []byte) (int, error) {
	n := 0
	for n < len(b) && r.err == nil {
		s, ok := r.c.next(int64(len(b) - n))
		if !ok {
			r.err = io.EOF
			break
		}
		if r.err = r.fill(b[n:n+int(s.size)], s); r.err == nil {
			n += int(s.size)
		}
	}
	if n > 0 || len(b) == 0 {
		return n, nil
	}
	return 0, r.err
}

// fill makes one segment.
func (r *reader) fill(b []byte, s segment) error {
	if !s.copied {
		copy(b, s.bytes)
		return nil
	}
	if err := r.base.read(b, s.at, s.by); err != nil {
		return err
	}
	for i, d := range s.bytes {
		b[i] += d
	}
	return nil
}

// base reads an old content in windows, as most copies are short and go forward. The
// addresses in a program are changed.
type base struct {
	old       io.ReaderAt
	buf       []byte
	at        int64 // of buf, a multiple of blockSize
	relocator *relocator
}

// read fills b with what is at a place, and moves by so many bytes.
func (o *base) read(b []byte, at, by int64) error {
	for len(b) > 0 {
		if at < o.at || at >= o.at+int64(len(o.buf)) {
			if err := o.load(at); err != nil {
				return err
			}
		}
		n := copy(b, o.buf[at-o.at:])
		if o.relocator != nil {
			n = min(n, int(blockSize-at%blockSize))
			block := at - at%blockSize
			from := o.buf[block-o.at:]
			o.relocator.change(b[:n], at, by, from[:min(len(from), blockSize)], block)
		}
		b, at = b[n:], at+int64(n)
	}
	return nil
}

func (o *base) load(at int64) error {
	if o.buf == nil {
		o.buf = make([]byte, window)
	}
	o.at = at - at%blockSize
	n, err := o.old.ReadAt(o.buf[:window], o.at)
	o.buf = o.buf[:n]
	switch {
	case int64(n) > at-o.at:
		return nil
	case err == nil || errors.Is(err, io.EOF):
		return james.Errorf(james.KindCorrupt, "base of a patch", "ends before byte %d", at+1)
	}
	return err
}
