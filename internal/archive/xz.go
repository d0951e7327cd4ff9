package archive

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

// The container format of xz, https://tukaani.org/xz/xz-file-format.txt, is
// read here and not by package xz, which allocates whatever dictionary the
// header of any block asks for, anew for each block, and keeps a record of every
// block until the end of its stream. Here the dictionary is bounded and shared
// by all blocks, and the index is compared by its hash.

var (
	errXzMagic  = errors.New("no xz stream begins here")
	errXzFilter = errors.New("the xz stream uses a filter besides LZMA2")
)

// windowError is a dictionary that is larger than maxWindow.
type windowError struct{ size int64 }

func (e *windowError) Error() string {
	return fmt.Sprintf("the xz stream needs a dictionary of %d MiB, the limit is %d MiB", e.size>>20, maxWindow>>20)
}

func xzError(format string, args ...any) error { return fmt.Errorf(format, args...) }

// xzReader reads a sequence of xz streams to the end of r.
type xzReader struct {
	r     *bufio.Reader
	step  func() error // reads what comes next: a stream, a block or a chunk
	err   error
	first bool // no stream was read so far

	flags   [2]byte // of the stream
	check   hash.Hash
	records xzRecords // of the stream's blocks
	block   xzBlock
	chunks  lzmaChunks
}

func newXzReader(r *bufio.Reader) *xzReader {
	x := &xzReader{r: r, first: true}
	x.step = x.readStream
	return x
}

func (x *xzReader) Read(p []byte) (int, error) {
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
func (x *xzReader) readStream() error {
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
		return errXzMagic
	}
	if crc32.ChecksumIEEE(head[6:8]) != binary.LittleEndian.Uint32(head[8:]) {
		return xzError("the stream header's checksum is wrong")
	}
	if err := x.setCheck([2]byte(head[6:8])); err != nil {
		return err
	}
	x.first, x.records = false, newXzRecords()
	x.step = x.readBlock
	return nil
}

func (x *xzReader) setCheck(flags [2]byte) error {
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
		return xzError("the unknown kind of check % x", flags)
	}
	return nil
}

// readBlock reads the header of a block, or the index and the footer, with
// which the stream ends.
func (x *xzReader) readBlock() error {
	size, err := x.r.ReadByte()
	if err != nil {
		return noEOF(err)
	}
	if size == 0 {
		x.step = x.readStream
		return x.readIndex()
	}
	block, err := readXzBlock(x.r, size)
	if err != nil {
		return err
	}
	if x.check != nil {
		x.check.Reset()
	}
	x.block = block
	x.step = x.readChunk
	return x.chunks.reset(block.dictionary())
}

// readChunk reads the next piece of a block, or what follows the last.
func (x *xzReader) readChunk() error {
	more, err := x.chunks.next(x.r)
	if err != nil || more {
		return err
	}
	x.step = x.readBlock
	return x.endBlock()
}

func (x *xzReader) endBlock() error {
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
			return xzError("a block's checksum is wrong")
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
		return xzError("padding that is not zero")
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
