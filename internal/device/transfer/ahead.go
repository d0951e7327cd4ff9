package transfer

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"

	"github.com/trusch/jamesd/internal/readahead"
)

// What is read ahead of the decoder: chunks of a few TLS records.
const (
	chunkSize = 64 << 10
	chunks    = 16
)

// ahead reads a body in a goroutine of its own, so that the network and the
// decoder work at the same time.
type ahead struct {
	*readahead.Reader
	body   *body
	cancel context.CancelFunc
	turned atomic.Bool // nothing more of the body is of use

	mu  sync.Mutex
	err error // how the body ended, once that was read
}

// readAhead reads b until it ends or Close is called. The body must end with the
// context that cancel ends.
func readAhead(cancel context.CancelFunc, b *body) *ahead {
	a := &ahead{body: b, cancel: cancel}
	m := b.t.meter
	a.Reader = readahead.New(source{a}, readahead.Options{Chunk: chunkSize, Chunks: chunks, Full: m.held, Empty: m.wait, Now: b.t.o.Now})
	return a
}

// source is the body of an ahead.
type source struct{ *ahead }

func (s source) Read(p []byte) (int, error) {
	n, err := s.body.Read(p)
	if errors.Is(err, errSwitch) {
		s.turned.Store(true)
	}
	return n, err
}

// Read returns what has arrived. After an error it returns that again.
func (a *ahead) Read(p []byte) (n int, err error) {
	if a.turned.Load() {
		err = errSwitch
	} else {
		n, err = a.Reader.Read(p)
	}
	if err != nil {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.err = err
	}
	return n, err
}

// failure returns why the body broke off, if it did and that was read.
func (a *ahead) failure() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.err == io.EOF {
		return nil
	}
	return a.err
}

// Close ends the reading, and returns when nothing is read any more.
func (a *ahead) Close() {
	a.cancel()
	a.Reader.Close()
	a.body.Close()
}
