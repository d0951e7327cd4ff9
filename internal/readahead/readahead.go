// Package readahead lets what makes bytes and what uses them work at the same time:
// a goroutine reads before anybody asks for it.
package readahead

import (
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// Options say how far a Reader is ahead.
type Options struct {
	// Chunk is the size of one read in bytes, and Chunks how many of them there is
	// room for. Memory is taken as it is needed.
	Chunk, Chunks int
	// Full, where set, is told for how long there was no room for more, and Empty
	// for how long Read had to wait. Each is called by one goroutine at a time.
	Full, Empty func(time.Duration)
	// Now is the clock for Full and Empty; nil means time.Now.
	Now func() time.Time
}

// Reader reads ahead. Read is for one goroutine.
type Reader struct {
	o     Options
	full  chan chunk
	empty chan []byte
	stop  chan struct{}
	done  sync.WaitGroup
	ready atomic.Int64 // bytes that were read ahead

	rest []byte // of held
	held []byte
	err  error // after rest
}

type chunk struct {
	b   []byte
	err error
}

// ErrClosed is the error of a Read for which a Close left nothing.
var ErrClosed = errors.New("read after its close")

// New returns a reader that is ahead of who reads it. It must be closed.
func New(r io.Reader, o Options) *Reader {
	if o.Now == nil {
		o.Now = time.Now
	}
	a := &Reader{o: o, full: make(chan chunk, o.Chunks), empty: make(chan []byte, o.Chunks), stop: make(chan struct{})}
	for range o.Chunks {
		a.empty <- nil // made when they are needed
	}
	a.done.Go(func() { a.fill(r) })
	return a
}

// fill reads until the first error.
func (a *Reader) fill(r io.Reader) {
	defer close(a.full)
	for {
		buf, ok := a.room()
		if !ok {
			return
		}
		n, err := r.Read(buf)
		a.ready.Add(int64(n))
		a.full <- chunk{buf[:n], err} // as many as there is room for
		if err != nil {
			return
		}
	}
}

// room returns a buffer that is free, or false when the reader is closed.
func (a *Reader) room() (buf []byte, ok bool) {
	select {
	case buf = <-a.empty:
	default:
		begun := a.o.Now()
		select {
		case buf = <-a.empty:
		case <-a.stop:
			return nil, false
		}
		if a.o.Full != nil {
			a.o.Full(a.o.Now().Sub(begun))
		}
	}
	if buf == nil {
		buf = make([]byte, a.o.Chunk)
	}
	return buf, true
}

// Read returns what was read ahead. After an error it returns that again.
func (a *Reader) Read(p []byte) (int, error) {
	for len(a.rest) == 0 {
		if a.err != nil {
			return 0, a.err
		}
		if a.held != nil {
			a.empty <- a.held
		}
		c := a.next()
		a.rest, a.held, a.err = c.b, c.b[:cap(c.b)], c.err
	}
	n := copy(p, a.rest)
	a.rest = a.rest[n:]
	a.ready.Add(int64(-n))
	return n, nil
}

func (a *Reader) next() (c chunk) {
	var more bool
	select {
	case c, more = <-a.full:
	default:
		begun := a.o.Now()
		c, more = <-a.full
		if a.o.Empty != nil {
			a.o.Empty(a.o.Now().Sub(begun))
		}
	}
	if !more {
		c.err = ErrClosed
	}
	return c
}

// Starved reports whether the next Read has to wait. It is safe for concurrent use.
func (a *Reader) Starved() bool { return a.ready.Load() == 0 }

// Close ends the reading ahead, and returns when the last read of what is read has
// returned: one that may block for long must be ended first. A Read at the same time
// or later returns what was read ahead, and then an error.
func (a *Reader) Close() {
	close(a.stop)
	a.done.Wait()
}
