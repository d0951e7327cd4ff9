package archive

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"

	"github.com/ulikunitz/xz/lzma"
)

// xzBlock is the header of a block and what was read of it.
type xzBlock struct {
	headerSize int64
	// compressed and content are the sizes that the header states, -1 for none.
	compressed, content int64
	dict                int64
	size                int64 // of the content that was read
}

const (
	xzLZMA2     = 0x21
	xzMaxHeader = 1024
)

// readXzBlock reads a block header whose first byte is size.
func readXzBlock(r io.Reader, size byte) (xzBlock, error) {
	var buf [xzMaxHeader]byte
	head := buf[:(int(size)+1)*4]
	head[0] = size
	if _, err := io.ReadFull(r, head[1:]); err != nil {
		return xzBlock{}, noEOF(err)
	}
	sum := len(head) - 4
	if crc32.ChecksumIEEE(head[:sum]) != binary.LittleEndian.Uint32(head[sum:]) {
		return xzBlock{}, xzError("a block header's checksum is wrong")
	}
	return parseXzBlock(head[:sum])
}

func parseXzBlock(head []byte) (b xzBlock, err error) {
	b = xzBlock{headerSize: int64(len(head)) + 4, compressed: -1, content: -1}
	flags, in := head[1], bytes.NewReader(head[2:])
	if flags&0x3c != 0 {
		return b, xzError("unknown flags %#x of a block", flags)
	}
	if flags&0x40 != 0 {
		if b.compressed, err = readXzInt(in); err != nil {
			return b, err
		}
	}
	if flags&0x80 != 0 {
		if b.content, err = readXzInt(in); err != nil {
			return b, err
		}
	}
	filter, err := readXzInt(in)
	if err != nil {
		return b, err
	}
	if flags&3 != 0 || filter != xzLZMA2 {
		return b, errXzFilter
	}
	var props [2]byte
	if _, err := io.ReadFull(in, props[:]); err != nil || props[0] != 1 {
		return b, xzError("a block header with malformed LZMA2 properties")
	}
	if b.dict, err = lzma.DecodeDictCap(props[1]); err != nil {
		return b, err
	}
	if !isZero(head[len(head)-in.Len():]) {
		return b, xzError("padding of a block header that is not zero")
	}
	if b.dict > maxWindow {
		return b, &windowError{b.dict}
	}
	return b, nil
}

// dictionary returns how large a dictionary the block can make use of: as much
// as it asks for, but not more than its own content.
func (b *xzBlock) dictionary() int {
	n := b.dict
	if b.content >= 0 {
		n = min(n, b.content)
	}
	return int(max(n, lzma.MinDictCap))
}

// compare returns an error unless the block has the sizes that its header states.
func (b *xzBlock) compare(compressed int64) error {
	if b.compressed >= 0 && b.compressed != compressed || b.content >= 0 && b.content != b.size {
		return xzError("a block of another size than its header states")
	}
	return nil
}

// readXzInt reads a number of up to 63 bits, 7 of them in a byte.
func readXzInt(r io.ByteReader) (int64, error) {
	var v int64
	for shift := 0; shift < 63; shift += 7 {
		b, err := r.ReadByte()
		if err != nil {
			return 0, noEOF(err)
		}
		v |= int64(b&0x7f) << shift
		if b&0x80 == 0 {
			if b == 0 && shift > 0 {
				break // not the shortest form
			}
			return v, nil
		}
	}
	return 0, xzError("a malformed number")
}

// lzmaChunks decodes the chunks of LZMA2 one by one. One lzma.Reader2, with its
// dictionary, serves all blocks that need no larger one: it is fed a single
// unending sequence of chunks, in which that of each block begins with a reset.
type lzmaChunks struct {
	lzma *lzma.Reader2
	dict int // capacity of lzma's dictionary
	feed chunkFeed
	left int   // bytes of content to come from the chunk
	n    int64 // bytes of the block read, compressed
	// A block must begin with a reset of the dictionary, and its first
	// compressed chunk must bring properties.
	needReset, needProps bool
}

// reset prepares for the chunks of a new block.
func (c *lzmaChunks) reset(dict int) error {
	c.n, c.needReset, c.needProps = 0, true, true
	if dict > c.dict {
		c.lzma, c.dict = nil, dict
	}
	return nil
}

// next reads a chunk. It returns false at the end of the block.
func (c *lzmaChunks) next(r *bufio.Reader) (bool, error) {
	if len(c.feed.rest) > 0 {
		return false, xzError("a chunk with more data than it needs")
	}
	control, err := r.ReadByte()
	if err != nil {
		return false, noEOF(err)
	}
	c.n++
	if control == 0 {
		return false, nil
	}
	if err := c.allow(control); err != nil {
		return false, err
	}
	return true, c.fill(r, control)
}

// allow checks a control byte against those before it.
func (c *lzmaChunks) allow(control byte) error {
	compressed := control >= 0x80
	switch {
	case !compressed && control > 2,
		c.needReset && control != 1 && control < 0xe0,
		c.needProps && compressed && control < 0xc0:
		return xzError("a chunk of the kind %#x where none can be", control)
	}
	c.needReset = false
	c.needProps = c.needProps && !compressed
	return nil
}

// fill reads the rest of a chunk and hands it to the decoder.
func (c *lzmaChunks) fill(r io.Reader, control byte) error {
	head := c.feed.start(control)
	if _, err := io.ReadFull(r, head); err != nil {
		return noEOF(err)
	}
	content := int(binary.BigEndian.Uint16(head)) + 1
	size := content
	if control >= 0x80 {
		content += int(control&0x1f) << 16
		size = int(binary.BigEndian.Uint16(head[2:])) + 1
	}
	if _, err := io.ReadFull(r, c.feed.grow(size)); err != nil {
		return noEOF(err)
	}
	c.n += int64(len(head) + size)
	c.left = content
	if c.lzma != nil {
		return nil
	}
	var err error
	c.lzma, err = lzma.Reader2Config{DictCap: c.dict}.NewReader2(&c.feed)
	return err
}

// Read reads content of the current chunk; it never asks the decoder for more,
// so that the decoder begins no chunk before it is fed.
func (c *lzmaChunks) Read(p []byte) (int, error) {
	n, err := c.lzma.Read(p[:min(len(p), c.left)])
	c.left -= n
	return n, noEOF(err)
}

// chunkFeed is the reader that the decoder reads its chunks from. A chunk has
// at most 64 KiB.
type chunkFeed struct {
	buf  []byte
	rest []byte
}

// start begins a chunk and returns the place for its header.
func (f *chunkFeed) start(control byte) []byte {
	n := 2
	if control >= 0x80 {
		n = 4
	}
	if control >= 0xc0 {
		n = 5
	}
	if f.buf == nil {
		f.buf = make([]byte, 0, 6+1<<16)
	}
	f.buf = append(f.buf[:0], control)
	f.buf = f.buf[:1+n]
	f.rest = f.buf
	return f.buf[1:]
}

// grow returns the place for size bytes more.
func (f *chunkFeed) grow(size int) []byte {
	n := len(f.buf)
	f.buf = f.buf[:n+size]
	f.rest = f.buf
	return f.buf[n:]
}

func (f *chunkFeed) Read(p []byte) (int, error) {
	if len(f.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, f.rest)
	f.rest = f.rest[n:]
	return n, nil
}
