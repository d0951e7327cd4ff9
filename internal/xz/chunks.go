package xz

import (
	"bufio"
	"encoding/binary"
	"io"

	"github.com/ulikunitz/xz/lzma"
)

// chunks decodes the chunks of LZMA2 one by one. One lzma.Reader2, with its
// dictionary, serves all blocks that need no larger one: it is fed a single
// unending sequence of chunks, in which that of each block begins with a reset.
type chunks struct {
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
func (c *chunks) reset(dict int) error {
	c.n, c.needReset, c.needProps = 0, true, true
	if dict > c.dict {
		c.lzma, c.dict = nil, dict
	}
	return nil
}

// next reads a chunk. It returns false at the end of the block.
func (c *chunks) next(r *bufio.Reader) (bool, error) {
	if len(c.feed.rest) > 0 {
		return false, malformed("a chunk with more data than it needs")
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
func (c *chunks) allow(control byte) error {
	compressed := control >= 0x80
	switch {
	case !compressed && control > 2,
		c.needReset && control != 1 && control < 0xe0,
		c.needProps && compressed && control < 0xc0:
		return malformed("a chunk of the kind %#x where none can be", control)
	}
	c.needReset = false
	c.needProps = c.needProps && !compressed
	return nil
}

// fill reads the rest of a chunk and hands it to the decoder.
func (c *chunks) fill(r io.Reader, control byte) error {
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
func (c *chunks) Read(p []byte) (int, error) {
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
