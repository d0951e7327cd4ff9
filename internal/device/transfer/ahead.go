package transfer

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// What is read ahead of the decoder: chunks of a few TLS records.
const (
	chunkSize = 64 << 10
	chunks    = 16
)

// ahead reads a body in a goroutine of its own, so that the network and the
// decoder work at the same time.
type ahead struct {
	meter  *meter
	now    func() time.Time
	full   chan chunk
	empty  chan []byte
	ctx    context.Context
	cancel context.CancelFunc
	done   sync.WaitGroup
	turned atomic.Bool // nothing more of the body is of use

	rest []byte
	held []byte // what rest is in
	err  error  // how the body ended, once it was read
}

type chunk struct {
	b   []byte
	err error
}

// readAhead reads b until it ends or Close is called. The body must end with ctx,
// which cancel ends.
func readAhead(ctx context.Context, cancel context.CancelFunc, b *body) *ahead {
	a := &ahead{meter: b.t.meter, now: b.t.o.Now, full: make(chan chunk, chunks), empty: make(chan []byte, chunks), ctx: ctx, cancel: cancel}
	for range chunks {
		a.empty <- nil // made when they are needed
	}
	a.done.Go(func() {
		defer b.Close()
		defer close(a.full)
		a.fill(ctx, b)
	})
	return a
}

func (a *ahead) fill(ctx context.Context, b *body) {
	for {
		var buf []byte
		select {
		case buf = <-a.empty:
		default:
			begun := a.now()
			select {
			case buf = <-a.empty:
			case <-ctx.Done():
				return
			}
			a.meter.held(a.now().Sub(begun))
		}
		if buf == nil {
			buf = make([]byte, chunkSize)
		}
		n, err := b.Read(buf)
		if errors.Is(err, errSwitch) {
			a.turned.Store(true)
		}
		a.full <- chunk{buf[:n], err} // as many as there is room for
		if err != nil {
			return
		}
	}
}

// Read returns what has arrived. After an error it returns that again.
func (a *ahead) Read(p []byte) (int, error) {
	for len(a.rest) == 0 {
		if a.err != nil {
			return 0, a.err
		}
		a.next()
	}
	n := copy(p, a.rest)
	a.rest = a.rest[n:]
	return n, nil
}

func (a *ahead) next() {
	if a.held != nil {
		a.empty <- a.held
		a.held = nil
	}
	if a.turned.Load() {
		a.err = errSwitch
		return
	}
	var c chunk
	var more bool
	select {
	case c, more = <-a.full:
	default:
		begun := a.now()
		c, more = <-a.full
		a.meter.wait(a.now().Sub(begun))
	}
	if !more { // it was stopped while the decoder had enough to do
		c.err = context.Cause(a.ctx)
	}
	a.rest, a.held, a.err = c.b, c.b[:cap(c.b)], c.err
}

// starved reports whether the next Read has to wait for the network.
func (a *ahead) starved() bool { return len(a.rest) == 0 && len(a.full) == 0 }

// failure returns why the body broke off, if it did.
func (a *ahead) failure() error {
	if a.err == io.EOF {
		return nil
	}
	return a.err
}

// Close ends the reading, and returns when nothing is read any more.
func (a *ahead) Close() {
	a.cancel()
	a.done.Wait()
}
