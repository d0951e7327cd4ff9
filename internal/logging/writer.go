package logging

import (
	"io"
	"sync"
)

// maxWaiting is how many bytes of lines may wait to be written; who has more waits, too.
const maxWaiting = 1 << 20

// writer lets thousands log at a time without waiting for each other. Who finds nobody
// writing writes the line itself; a line that comes meanwhile is written right after that,
// together with others.
type writer struct {
	w io.Writer

	mu      sync.Mutex
	writing bool
	waiting []byte // lines that came meanwhile
	idle    []byte // a buffer for the next ones
	written sync.Cond
}

func newWriter(w io.Writer) *writer {
	out := &writer{w: w}
	out.written.L = &out.mu
	return out
}

// Write writes a line, or leaves it to whoever writes just now, and then no error is
// returned.
func (w *writer) Write(line []byte) (int, error) {
	w.mu.Lock()
	for w.writing && len(w.waiting) > maxWaiting {
		w.written.Wait()
	}
	if w.writing {
		w.waiting = append(w.waiting, line...)
		w.mu.Unlock()
		return len(line), nil
	}
	w.writing = true
	w.mu.Unlock()
	n, err := w.w.Write(line)
	if w.next() {
		go w.writeWaiting()
	}
	return n, err
}

// next reports whether lines wait; where none do, nobody is writing any more.
func (w *writer) next() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.writing = len(w.waiting) > 0
	w.written.Broadcast()
	return w.writing
}

// writeWaiting writes the lines that wait until there are none.
func (w *writer) writeWaiting() {
	for more := true; more; more = w.next() {
		w.mu.Lock()
		lines := w.waiting
		w.waiting, w.idle = w.idle[:0], nil
		w.mu.Unlock()
		w.w.Write(lines) // nobody is there to be told that it failed
		w.mu.Lock()
		w.idle = lines
		w.mu.Unlock()
	}
}

// flush waits until all lines are written that there are.
func (w *writer) flush() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.writing {
		w.written.Wait()
	}
}
