package xz

import (
	"encoding/binary"
	"io"
)

// maxChunk is the most that a chunk of LZMA2 has, compressed.
const maxChunk = 1 << 16

// chunks reads the chunks of LZMA2 one by one. One dictionary serves all blocks
// that need no larger one.
type chunks struct {
	decoder    decoder
	buf        []byte
	raw        []byte // what is left of a chunk that is not compressed
	compressed bool   // the chunk is
	left       int    // bytes of content to come from the chunk
	n          int64  // bytes of the block read, compressed
	// A block must begin with a reset of the dictionary, and its first compressed
	// chunk must bring properties.
	needReset, needProps bool
}

// source is what chunks are read from.
type source interface {
	io.Reader
	io.ByteReader
}

// reset prepares for the chunks of a new block.
func (c *chunks) reset(dict int) {
	c.n, c.needReset, c.needProps, c.left = 0, true, true, 0
	if dict > len(c.decoder.ring) {
		c.decoder.ring = nil // before there is another one
		c.decoder.ring = make([]byte, dict)
	}
	c.decoder.pos, c.decoder.window = 0, dict
}

// next reads a chunk. It returns false at the end of the block.
func (c *chunks) next(r source) (bool, error) {
	if c.n > 0 && c.compressed && !c.decoder.finish() {
		return false, malformed("a chunk that does not end with its content")
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
	c.compressed = control >= 0x80
	if control == 1 || control >= 0xe0 {
		c.needReset, c.needProps = false, true
		c.decoder.resetDictionary()
	}
	if c.needReset || !c.compressed && control > 2 || c.compressed && c.needProps && control < 0xc0 {
		return malformed("a chunk of the kind %#x where none can be", control)
	}
	return nil
}

// fill reads the rest of a chunk.
func (c *chunks) fill(r source, control byte) error {
	if c.buf == nil {
		c.buf = make([]byte, maxChunk+inputSlack)
	}
	var head [5]byte
	n := 2
	if c.compressed {
		n = 4
	}
	if control >= 0xc0 {
		n = 5
	}
	if _, err := io.ReadFull(r, head[:n]); err != nil {
		return noEOF(err)
	}
	c.left = int(binary.BigEndian.Uint16(head[:])) + 1
	size := c.left
	if c.compressed {
		c.left += int(control&0x1f) << 16
		size = int(binary.BigEndian.Uint16(head[2:])) + 1
	}
	if _, err := io.ReadFull(r, c.buf[:size]); err != nil {
		return noEOF(err)
	}
	c.n += int64(n + size)
	clear(c.buf[size : size+inputSlack]) // malformed input fails at one place
	if !c.compressed {
		c.raw = c.buf[:size]
		return nil
	}
	return c.start(control, head[4], c.buf[:size])
}

// start hands a compressed chunk to the decoder.
func (c *chunks) start(control, properties byte, in []byte) error {
	if control >= 0xc0 {
		if !c.decoder.setProperties(properties) {
			return malformed("a chunk with malformed properties")
		}
		c.needProps = false
	}
	if control >= 0xa0 {
		c.decoder.resetState()
	}
	if !c.decoder.begin(in) {
		return malformed("a chunk that begins wrongly")
	}
	return nil
}

// Read reads content of the current chunk.
func (c *chunks) Read(p []byte) (int, error) {
	d := &c.decoder
	n, from := min(len(p), c.left, len(d.ring)-d.pos), d.pos
	if !c.compressed {
		d.put(c.raw[:n])
		c.raw = c.raw[n:]
	} else if done := d.decode(n); done < n {
		return copy(p, d.ring[from:from+done]), malformed("a chunk that cannot be decoded")
	}
	c.left -= n
	return copy(p, d.ring[from:from+n]), nil
}
