package packed

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
)

// Reader reads the content of a packed blob from any place. It is for one
// goroutine.
type Reader struct {
	r      io.ReaderAt
	size   int64 // of the content
	frames []frame
	at     int // the frame that is held, -1 for none
	frame  []byte
	raw    []byte
}

// frame is one entry of the tail.
type frame struct {
	offset int64
	size   int
	sum    uint32
}

// Open returns the content of the packed blob r of stored bytes. It fails with an
// error that wraps ErrDamaged where the head or the tail is damaged; an error of r
// is passed on, but for its end.
func Open(r io.ReaderAt, stored int64) (*Reader, error) {
	p := &Reader{r: r, at: -1}
	var first [HeadSize]byte
	if err := p.read(first[:], 0); err != nil {
		return nil, err
	}
	if !bytes.Equal(first[:], head) {
		return nil, damaged("its head is wrong")
	}
	tail, err := p.readTail(stored)
	if err != nil {
		return nil, err
	}
	return p, p.parse(tail, stored)
}

// readTail returns the tail, whose sum is right.
func (p *Reader) readTail(stored int64) ([]byte, error) {
	if stored < int64(HeadSize+smallestTail) {
		return nil, damaged("it has %d bytes", stored)
	}
	var footer [footerSize]byte
	if err := p.read(footer[:], stored-footerSize); err != nil {
		return nil, err
	}
	frames := binary.LittleEndian.Uint32(footer[8:])
	size := smallestTail + int64(frames)*entrySize
	if frames > maxFrames || size > stored-int64(HeadSize) {
		return nil, damaged("its tail says %d frames", frames)
	}
	tail := make([]byte, size)
	if err := p.read(tail, stored-size); err != nil {
		return nil, err
	}
	if sum(tail[:size-4]) != binary.LittleEndian.Uint32(tail[size-4:]) {
		return nil, damaged("the checksum of its tail is wrong")
	}
	return tail, nil
}

// parse takes over what the tail says, which has to fill the stored bytes.
func (p *Reader) parse(tail []byte, stored int64) error {
	entries := tail[frameHeader : len(tail)-footerSize]
	p.size = int64(binary.LittleEndian.Uint64(tail[len(tail)-footerSize:]))
	p.frames = make([]frame, 0, len(entries)/entrySize)
	offset := int64(HeadSize)
	for ; len(entries) > 0; entries = entries[entrySize:] {
		f := frame{offset: offset, size: int(binary.LittleEndian.Uint32(entries)), sum: binary.LittleEndian.Uint32(entries[4:])}
		if f.size > 2*FrameSize {
			return damaged("a frame has %d bytes", f.size)
		}
		p.frames = append(p.frames, f)
		offset += int64(f.size)
	}
	if offset != stored-int64(len(tail)) || p.size < 0 || (p.size+FrameSize-1)/FrameSize != int64(len(p.frames)) {
		return damaged("its tail does not go with its %d bytes", stored)
	}
	return nil
}

// Size returns the size of the content in bytes.
func (p *Reader) Size() int64 { return p.size }

// ReadAt reads content as io.ReaderAt does, but for one goroutine only.
func (p *Reader) ReadAt(b []byte, offset int64) (n int, err error) {
	for n < len(b) {
		at := offset + int64(n)
		if at >= p.size {
			return n, io.EOF
		}
		if err := p.load(int(at / FrameSize)); err != nil {
			return n, err
		}
		n += copy(b[n:], p.frame[at%FrameSize:])
	}
	return n, nil
}

// WriteFrames writes the frames to w as they are kept. It fails with an error that
// wraps ErrDamaged where one is damaged, and with what w fails with, perhaps after
// some that are not.
func (p *Reader) WriteFrames(w io.Writer) error {
	for n := range p.frames {
		if err := p.loadRaw(n); err != nil {
			return err
		}
		if _, err := w.Write(p.raw); err != nil {
			return err
		}
	}
	return nil
}

// loadRaw reads frame n as it is kept.
func (p *Reader) loadRaw(n int) error {
	f := p.frames[n]
	if cap(p.raw) < f.size {
		p.raw = make([]byte, f.size)
	}
	p.raw = p.raw[:f.size]
	if err := p.read(p.raw, f.offset); err != nil {
		return err
	}
	if sum(p.raw) != f.sum {
		return damaged("the checksum of frame %d is wrong", n)
	}
	return nil
}

// load makes frame n the one that is held.
func (p *Reader) load(n int) error {
	if n == p.at {
		return nil
	}
	p.at = -1
	if err := p.loadRaw(n); err != nil {
		return err
	}
	want := min(FrameSize, p.size-int64(n)*FrameSize)
	if p.frame == nil {
		p.frame = make([]byte, 0, min(FrameSize, p.size))
	}
	content, err := decoder().DecodeAll(p.raw, p.frame[:0])
	if err != nil || int64(len(content)) != want {
		return damaged("frame %d has %d bytes of content, expected %d: %v", n, len(content), want, err)
	}
	p.frame, p.at = content, n
	return nil
}

// read reads stored bytes, which have to be there.
func (p *Reader) read(b []byte, offset int64) error {
	n, err := p.r.ReadAt(b, offset)
	switch {
	case n == len(b):
		return nil
	case err == nil, errors.Is(err, io.EOF):
		return damaged("it ends too early")
	}
	return err
}
