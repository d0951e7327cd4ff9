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
	step  func() error // reads what comes next: a stream, a block or a chunk
	err   error
	first bool // no stream was read so far

	flags   [2]byte // of the stream
	check   hash.Hash
	records records // of the stream's blocks
	block   block
	chunks  chunks
}

// NewReader returns the content of the streams in r, which it reads to its end,
// and may read ahead. Read returns io.EOF only after all checksums.
func NewReader(r io.Reader, o Options) *Reader {
	in, ok := r.(*bufio.Reader)
	if !ok {
		in = bufio.NewReaderSize(r, 64<<10)
	}
	x := &Reader{r: in, max: o.MaxWindow, first: true}
	x.step = x.readStream
	return x
}

// Close releases what the reader holds, and ends it. It always succeeds.
func (x *Reader) Close() error {
	x.chunks = chunks{}
	if x.err == nil {
		x.err = errClosed
	}
	return nil
}

// Read reads content.
func (x *Reader) Read(p []byte) (int, error) {
	for x.err == nil && x.chunks.left == 0 {
		x.err = x.step()
	}
	if x.err != nil {
		return 0, x.err
	}
	n, err := x.chunks.Read(p)
	x.block.size += int64(n)
	if x.check != nil {
		x.check.Write(p[:n])
	}
	x.err = err
	return n, err
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
	if err := x.setCheck([2]byte(head[6:8])); err != nil {
		return err
	}
	x.first, x.records = false, newRecords()
	x.step = x.readBlock
	return nil
}

func (x *Reader) setCheck(flags [2]byte) error {
	x.flags = flags
	switch flags {
	case [2]byte{0, 0}:
		x.check = nil
	case [2]byte{0, 1}:
		x.check = crc32.NewIEEE()
	case [2]byte{0, 4}:
		x.check = crc64.New(crc64.MakeTable(crc64.ECMA))
	case [2]byte{0, 10}:
		x.check = sha256.New()
	default:
		return malformed("the unknown kind of check % x", flags)
	}
	return nil
}

// readBlock reads the header of a block, or the index and the footer, with
// which the stream ends.
func (x *Reader) readBlock() error {
	size, err := x.r.ReadByte()
	if err != nil {
		return noEOF(err)
	}
	if size == 0 {
		x.step = x.readStream
		return x.readIndex()
	}
	block, err := readBlockHeader(x.r, size)
	if err != nil {
		return err
	}
	if block.dict > x.max {
		return &WindowError{block.dict, x.max}
	}
	if x.check != nil {
		x.check.Reset()
	}
	x.block = block
	x.step = x.readChunk
	return x.chunks.reset(block.dictionary())
}

// readChunk reads the next piece of a block, or what follows the last.
func (x *Reader) readChunk() error {
	more, err := x.chunks.next(x.r)
	if err != nil || more {
		return err
	}
	x.step = x.readBlock
	return x.endBlock()
}

func (x *Reader) endBlock() error {
	compressed := x.chunks.n
	if err := x.block.compare(compressed); err != nil {
		return err
	}
	if err := readZeros(x.r, padding(compressed)); err != nil {
		return err
	}
	unpadded := x.block.headerSize + compressed
	if x.check != nil {
		sum := make([]byte, x.check.Size())
		if _, err := io.ReadFull(x.r, sum); err != nil {
			return noEOF(err)
		}
		if !sumEqual(x.check, sum) {
			return malformed("a block's checksum is wrong")
		}
		unpadded += int64(len(sum))
	}
	x.records.add(uint64(unpadded), uint64(x.block.size))
	return nil
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
