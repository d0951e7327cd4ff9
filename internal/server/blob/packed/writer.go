package packed

import (
	"encoding/binary"
	"io"
)

// Writer brings content into the form that suits it. It is for one goroutine.
type Writer struct {
	w        io.Writer
	compress bool
	state    state
	buf      []byte // content that was not written yet
	out      []byte // the last frame, for its memory
	tail     []byte
	frames   uint32
	size     int64 // of the content that was written
}

// state is what is known of the form.
type state int

const (
	undecided state = iota
	plain
	packed
)

// NewWriter returns a writer to w, which gets what is to be kept. Content is packed
// if compress is set and it is seen to compress, by a sixteenth at least, at its
// first frame. What was written is complete after Close.
func NewWriter(w io.Writer, compress bool) *Writer { return &Writer{w: w, compress: compress} }

// Packed tells, after Close, the form that was written.
func (p *Writer) Packed() bool { return p.state == packed }

// Write takes content. It fails where w does.
func (p *Writer) Write(b []byte) (int, error) {
	if p.state == undecided && !p.compress && len(p.buf) == 0 && len(b) >= HeadSize && !Is(b) {
		p.state = plain
	}
	if p.state == plain {
		return p.w.Write(b)
	}
	taken := 0
	for taken < len(b) {
		part := b[taken:min(len(b), taken+p.room())]
		p.buf = append(p.buf, part...)
		taken += len(part)
		if p.room() > 0 {
			continue
		}
		if err := p.flush(); err != nil {
			return taken, err
		}
		if p.state == plain {
			n, err := p.w.Write(b[taken:])
			return taken + n, err
		}
	}
	return taken, nil
}

// room returns how much more content is to be had before there is a frame, or
// before the form is clear.
func (p *Writer) room() int {
	if p.state == undecided && !p.compress && (len(p.buf) < HeadSize || !Is(p.buf)) {
		return max(0, HeadSize-len(p.buf))
	}
	return FrameSize - len(p.buf)
}

// Close writes what is left. It closes nothing and must be called once.
func (p *Writer) Close() error {
	if p.state == undecided || len(p.buf) > 0 {
		if err := p.flush(); err != nil {
			return err
		}
	}
	p.buf, p.out = nil, nil
	if p.state == plain {
		return nil
	}
	return p.writeTail()
}

// flush writes the content that is held, in the form that it decides if need be.
func (p *Writer) flush() error {
	if p.state == undecided && !p.compress && !Is(p.buf) {
		return p.flushPlain()
	}
	p.out = encoder().EncodeAll(p.buf, p.out[:0])
	if p.state == undecided {
		overhead := len(head) + smallestTail + entrySize
		if len(p.out)+overhead > len(p.buf)-len(p.buf)/16 && !Is(p.buf) {
			return p.flushPlain()
		}
		if _, err := p.w.Write(head); err != nil {
			return err
		}
		p.state = packed
	}
	p.size += int64(len(p.buf))
	p.frames++
	p.tail = binary.LittleEndian.AppendUint32(p.tail, uint32(len(p.out)))
	p.tail = binary.LittleEndian.AppendUint32(p.tail, sum(p.out))
	p.buf = p.buf[:0]
	_, err := p.w.Write(p.out)
	return err
}

func (p *Writer) flushPlain() error {
	p.state = plain
	_, err := p.w.Write(p.buf)
	p.buf, p.out = nil, nil
	return err
}

func (p *Writer) writeTail() error {
	tail := append(skippableFrame(len(p.tail)+footerSize), p.tail...)
	tail = binary.LittleEndian.AppendUint64(tail, uint64(p.size))
	tail = binary.LittleEndian.AppendUint32(tail, p.frames)
	tail = binary.LittleEndian.AppendUint32(tail, sum(tail))
	_, err := p.w.Write(tail)
	return err
}
