package xz

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"io"
)

// The errors that say more than that a stream is damaged. One that ends too early
// fails with io.ErrUnexpectedEOF, and an error of what is read is passed on.
var (
	ErrMagic  = errors.New("no xz stream begins here")
	ErrFilter = errors.New("the xz stream uses a filter besides LZMA2")

	errClosed = errors.New("read after its close")
)

// WindowError is a dictionary that is larger than Options.MaxWindow.
type WindowError struct{ Size, Max int64 } // bytes

func (e *WindowError) Error() string {
	return fmt.Sprintf("the xz stream needs a dictionary of %d MiB, the limit is %d MiB", e.Size>>20, e.Max>>20)
}

// Options bound a Reader.
type Options struct {
	// MaxWindow is the largest dictionary, in bytes, which is what decoding takes.
	MaxWindow int64
	// Workers is how many blocks may be decoded at a time; one if it is less.
	Workers int
}

// Reader reads a sequence of xz streams to the end of what it reads. It is for one
// goroutine.
type Reader struct {
	r     *bufio.Reader
	max   int64        // Options.MaxWindow
	step  func() error // reads what comes next: a stream, a block or the end of one
	err   error
	first bool // no stream was read so far

	flags   [2]byte // of the stream
	records records // of the stream's blocks
	current content // the block that is read, nil between blocks
	serial  blockReader
	ahead   ahead
}

// content is what a block reads as. It ends with io.EOF after the block's checks.
type content interface {
	io.Reader
	// sizes are known at the end.
	sizes() (unpadded, content int64)
}

// NewReader returns the content of the streams in r, which it reads to its end,
// and may read ahead. Read returns io.EOF only after all checksums.
func NewReader(r io.Reader, o Options) *Reader {
	in, ok := r.(*bufio.Reader)
	if !ok {
		in = bufio.NewReaderSize(r, 64<<10)
	}
	x := &Reader{r: in, max: o.MaxWindow, first: true, ahead: ahead{workers: o.Workers}}
	x.step = x.readStream
	return x
}

// Close releases what the reader holds, and ends it. It always succeeds.
func (x *Reader) Close() error {
	x.ahead.stop()
	x.serial, x.current = blockReader{}, nil
	if x.err == nil {
		x.err = errClosed
	}
	return nil
}

// Read reads content.
func (x *Reader) Read(p []byte) (int, error) {
	for x.err == nil && len(p) > 0 {
		if x.current == nil {
			x.err = x.step()
			continue
		}
		n, err := x.current.Read(p)
		if err == io.EOF {
			err = nil
			x.endBlock()
		}
		if x.err = err; n > 0 {
			return n, err
		}
	}
	return 0, x.err
}

// endBlock goes on behind the current block.
func (x *Reader) endBlock() {
	unpadded, size := x.current.sizes()
	x.records.add(uint64(unpadded), uint64(size))
	x.ahead.done(x.current)
	x.current = nil
}

// readStream reads the header of a stream, or the padding between streams. It
// returns io.EOF where no stream follows.
func (x *Reader) readStream() error {
	var head [12]byte
	if _, err := io.ReadFull(x.r, head[:4]); err != nil {
		return err
	}
	if [4]byte(head[:4]) == [4]byte{} && !x.first {
		return nil // padding comes in units of four bytes
	}
	if _, err := io.ReadFull(x.r, head[4:]); err != nil {
		return noEOF(err)
	}
	if [6]byte(head[:6]) != [6]byte([]byte("\xfd7zXZ\x00")) {
		return ErrMagic
	}
	if crc32.ChecksumIEEE(head[6:8]) != binary.LittleEndian.Uint32(head[8:]) {
		return malformed("the stream header's checksum is wrong")
	}
	x.flags = [2]byte(head[6:8])
	if _, err := newCheck(x.flags); err != nil {
		return err
	}
	x.first, x.records = false, newRecords()
	x.step = x.readBlock
	return nil
}

// newCheck returns what sums up a block in a stream of those flags, nil for
// nothing.
func newCheck(flags [2]byte) (hash.Hash, error) {
	switch flags {
	case [2]byte{0, 0}:
		return nil, nil
	case [2]byte{0, 1}:
		return crc32.NewIEEE(), nil
	case [2]byte{0, 4}:
		return crc64.New(ecma), nil
	case [2]byte{0, 10}:
		return sha256.New(), nil
	}
	return nil, malformed("the unknown kind of check % x", flags)
}

var ecma = crc64.MakeTable(crc64.ECMA)

// readBlock begins with a block, or reads the index and the footer, with which the
// stream ends.
func (x *Reader) readBlock() error {
	if x.ahead.workers > 1 {
		x.readAhead()
		if b := x.ahead.next(); b != nil {
			x.current = b
			return nil
		}
		if x.ahead.err != nil {
			return x.ahead.err
		}
		if b := x.ahead.header; b != nil {
			x.ahead.header, x.current = nil, &x.serial
			return x.serial.begin(x.r, *b, x.flags)
		}
	}
	size, err := x.r.ReadByte()
	if err != nil {
		return noEOF(err)
	}
	if size == 0 {
		x.step = x.readStream
		return x.readIndex()
	}
	b, err := x.readHeader(size)
	if err != nil {
		return err
	}
	x.current = &x.serial
	return x.serial.begin(x.r, b, x.flags)
}

// readHeader reads the header of a block, of which size is the first byte.
func (x *Reader) readHeader(size byte) (block, error) {
	b, err := readBlockHeader(x.r, size)
	if err == nil && b.dict > x.max {
		err = &WindowError{b.dict, x.max}
	}
	return b, err
}

// sumEqual compares a check with its stored form, in which CRCs are little
// endian.
func sumEqual(h hash.Hash, stored []byte) bool {
	switch h := h.(type) {
	case hash.Hash32:
		return h.Sum32() == binary.LittleEndian.Uint32(stored)
	case hash.Hash64:
		return h.Sum64() == binary.LittleEndian.Uint64(stored)
	}
	return string(h.Sum(nil)) == string(stored)
}

// padding returns how many bytes lead from n to a multiple of four.
func padding(n int64) int { return int(-n & 3) }

func readZeros(r io.Reader, n int) error {
	var buf [4]byte
	if _, err := io.ReadFull(r, buf[:n]); err != nil {
		return noEOF(err)
	}
	if !isZero(buf[:n]) {
		return malformed("padding that is not zero")
	}
	return nil
}

// noEOF makes the end of the input an error, where something must follow.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

func malformed(format string, args ...any) error { return fmt.Errorf(format, args...) }

func isZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
