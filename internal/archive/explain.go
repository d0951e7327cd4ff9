package archive

import (
	"archive/tar"
	"errors"
	"io"

	"github.com/trusch/jamesd/pkg/james"
)

// where says how far the archive was read, for people.
func (w *walker) where() string {
	switch {
	case w.at == "":
		return "at its beginning"
	case w.inside:
		return "in " + w.at
	}
	return "after " + w.at
}

// streamFault turns an error of the decompressor into what is wrong with the
// stream. An error of what it reads is passed on: codecs may change it.
func (w *walker) streamFault(err error) error {
	if w.src.fault != nil {
		return w.src.fault
	}
	return streamError(w.format, w.where(), w.raw.n > 0, err)
}

// explain turns an error of the tar reader into what is wrong with the archive.
// What failed first, and lowest, is the cause.
func (w *walker) explain(err error) error {
	for _, fault := range []error{w.src.fault, w.raw.fault} {
		if fault != nil {
			return fault
		}
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return invalid("ends too early, %s; it is truncated", w.where())
	}
	return invalid("is damaged, %s: %w", w.where(), err)
}

// headerError says what is wrong with the header that could not be read.
func (w *walker) headerError(err error) error {
	if w.src.fault != nil || w.raw.fault != nil || errors.Is(err, io.ErrUnexpectedEOF) {
		return w.explain(err)
	}
	if errors.Is(err, tar.ErrFieldTooLong) {
		return invalid("has an extended header of more than 1 MiB, %s", w.where())
	}
	name := headerName(w.block.last[:])
	if name == "" {
		return invalid("has a damaged tar header, %s", w.where())
	}
	return james.Errorf(james.KindInvalid, name, "has a damaged tar header: %s", headerFault(w.block.last[:]))
}

// headerName returns the name that a header has, as far as there is one.
func headerName(block []byte) string {
	name := block[:100]
	for i, c := range name {
		if c == 0 {
			name = name[:i]
			break
		}
	}
	return james.Path(name).String()
}

// headerFault names the first thing that is wrong with a header by itself.
func headerFault(block []byte) string {
	want, ok := octal(block[148:156])
	unsigned, signed := checksums(block)
	switch {
	case !ok || want != unsigned && want != signed:
		return "its checksum is wrong"
	case block[124] == 0xff:
		return "its size is negative"
	}
	for _, f := range []struct {
		name     string
		from, to int
	}{{"mode", 100, 108}, {"owner", 108, 116}, {"group", 116, 124}, {"size", 124, 136}, {"time", 136, 148}} {
		field := block[f.from:f.to]
		if _, ok := octal(field); !ok && field[0]&0x80 == 0 && !isZero(field) {
			return "its " + f.name + " is not a number"
		}
	}
	return "its fields do not go together"
}

// blockKeeper remembers the last block that the tar reader read as a whole,
// which is the header that it fails on, and how many it read without a break
// that hold zeros.
type blockKeeper struct {
	r     *meter
	last  [blockSize]byte
	zeros int
}

func (k *blockKeeper) Read(p []byte) (int, error) {
	if len(p) != blockSize { // content, of which what is there is handed out
		k.zeros = 0
		return k.r.Read(p)
	}
	n, err := io.ReadFull(k.r, p)
	if err == io.ErrUnexpectedEOF {
		err = nil // the next Read tells
	}
	if n != blockSize {
		k.zeros = 0
		return n, err
	}
	copy(k.last[:], p)
	if k.zeros++; !isZero(p) {
		k.zeros = 0
	}
	return n, err
}
