package xz

import (
	"bytes"
	"io"
	"sync"
	"sync/atomic"
)

// maxAhead bounds, in bytes, what is held of blocks that are decoded ahead: their
// dictionaries, their compressed bytes and their content. A block that would need
// more than half of it is read like one that does not state its sizes, alone.
const maxAhead = 128 << 20

// ahead decodes blocks while those before them are read. Only the goroutine of the
// reader reads compressed bytes, and it does so before it waits for content.
type ahead struct {
	workers int
	queue   []*aheadBlock // in order; the first may be the one that is read
	memory  int64         // what the queue costs
	// A header that was read and is of a block that does not fit in now, or why
	// there is none.
	header  *block
	err     error
	free    []*blockReader
	turns   chan struct{} // one for each worker
	work    sync.WaitGroup
	stopped atomic.Bool
	mu      sync.Mutex // guards free
}

// aheadBlock is a block whose compressed bytes were read.
type aheadBlock struct {
	block    block
	flags    [2]byte
	memory   int64
	raw      bytes.Reader
	rawErr   error         // with which raw ended, nil if it is all there
	ready    chan struct{} // closed when what follows is set
	content  [][]byte      // what is left of it
	err      error         // after the content, io.EOF if all is right
	unpadded int64
	size     int64
}

// cost returns what it takes to decode a block ahead, or 0 where that cannot be.
func (b *block) cost() int64 {
	const most = maxAhead / 2
	if b.compressed < 0 || b.content < 0 || b.compressed > most || b.content > most {
		return 0
	}
	n := b.compressed + b.content + int64(b.dictionary())
	if n > most {
		return 0
	}
	return n
}

// next returns the first block that is decoded ahead, nil for none.
func (a *ahead) next() *aheadBlock {
	if len(a.queue) == 0 {
		return nil
	}
	return a.queue[0]
}

// done forgets the block if it was the first of those that are decoded ahead.
func (a *ahead) done(c content) {
	if b, ok := c.(*aheadBlock); ok {
		a.queue[0] = nil // or the list would hold what was read of it
		a.queue = a.queue[1:]
		a.memory -= b.memory
	}
}

// stop ends all workers.
func (a *ahead) stop() {
	a.stopped.Store(true)
	a.work.Wait()
	a.queue, a.free = nil, nil
}

// readAhead reads compressed bytes of blocks, as far as there is room for more.
func (x *Reader) readAhead() {
	a := &x.ahead
	for len(a.queue) <= a.workers && a.err == nil {
		if a.header == nil {
			first, err := x.r.Peek(1)
			if err != nil || first[0] == 0 {
				return // not before all blocks were read
			}
			_, _ = x.r.Discard(1)
			h, err := x.readHeader(first[0])
			if err != nil {
				a.err = err
				return
			}
			a.header = &h
		}
		cost := a.header.cost()
		if cost == 0 || a.memory+cost > maxAhead {
			return
		}
		b := &aheadBlock{block: *a.header, flags: x.flags, memory: cost, ready: make(chan struct{})}
		a.header, a.err = nil, b.read(x.r)
		a.queue, a.memory = append(a.queue, b), a.memory+cost
		a.start(b)
	}
}

// read reads all of the block behind its header. What it fails with also comes
// after the content of what was read.
func (b *aheadBlock) read(r io.Reader) error {
	size := b.block.compressed + int64(padding(b.block.compressed))
	if check, err := newCheck(b.flags); err == nil && check != nil {
		size += int64(check.Size())
	}
	raw := make([]byte, size)
	n, err := io.ReadFull(r, raw)
	b.raw.Reset(raw[:n])
	b.rawErr = noEOF(err)
	return b.rawErr
}

// start has a worker decode the block when it is its turn.
func (a *ahead) start(b *aheadBlock) {
	if a.turns == nil {
		a.turns = make(chan struct{}, a.workers)
	}
	a.work.Go(func() {
		a.turns <- struct{}{}
		defer func() { <-a.turns }()
		defer close(b.ready)
		r := a.take()
		b.content, b.err = a.decode(r, b)
		b.unpadded, b.size = r.sizes()
		a.give(r)
	})
}

// pieceSize is how much content of a block is decoded at a time.
const pieceSize = 1 << 20

// decode returns the content of a block, and with what it ends. It takes no more memory
// than there is content, whatever the header says.
func (a *ahead) decode(r *blockReader, b *aheadBlock) (out [][]byte, err error) {
	err = r.begin(&rawReader{&b.raw, b.rawErr}, b.block, b.flags)
	for left := b.block.content; err == nil; {
		if a.stopped.Load() {
			return nil, errClosed
		}
		// There is at least a byte of room where the end is still to come.
		piece, n := make([]byte, max(1, min(pieceSize, left))), 0
		for n < len(piece) && err == nil {
			var more int
			more, err = r.Read(piece[n:])
			n += more
		}
		out, left = append(out, piece[:n]), left-int64(n)
	}
	return out, err
}

// take returns a reader that nobody uses, whose dictionary may be used again.
func (a *ahead) take() *blockReader {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.free) == 0 {
		return &blockReader{}
	}
	r := a.free[len(a.free)-1]
	a.free = a.free[:len(a.free)-1]
	return r
}

func (a *ahead) give(r *blockReader) {
	r.r, r.in = nil, limited{} // or it would hold the block that it has read
	a.mu.Lock()
	defer a.mu.Unlock()
	a.free = append(a.free, r)
}

// rawReader reads what was read of a block, and then fails as that did.
type rawReader struct {
	*bytes.Reader
	err error
}

func (r *rawReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	return n, r.failed(err)
}

func (r *rawReader) ReadByte() (byte, error) {
	b, err := r.Reader.ReadByte()
	return b, r.failed(err)
}

func (r *rawReader) failed(err error) error {
	if err == io.EOF && r.err != nil {
		return r.err
	}
	return err
}

// Read reads content, once it is there.
func (b *aheadBlock) Read(p []byte) (int, error) {
	<-b.ready
	for len(b.content) > 0 && len(b.content[0]) == 0 {
		b.content[0] = nil // as soon as it was read
		b.content = b.content[1:]
	}
	if len(b.content) == 0 {
		return 0, b.err
	}
	n := copy(p, b.content[0])
	b.content[0] = b.content[0][n:]
	return n, nil
}

func (b *aheadBlock) sizes() (unpadded, content int64) { return b.unpadded, b.size }
