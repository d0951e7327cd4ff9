// Package meter shows on a terminal, in one line, how far something is. Where there
// is no terminal it shows nothing.
package meter

import (
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/term"
)

// redraw is the time between two lines of a meter.
const redraw = 100 * time.Millisecond

// Meter is a line on a terminal. It is for one goroutine.
type Meter struct {
	w     io.Writer // nil where there is no terminal
	last  time.Time
	shown bool
}

// New returns the meter on w, if that is a terminal.
func New(w io.Writer) *Meter {
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return &Meter{w: w}
	}
	return &Meter{}
}

// Bytes returns what is to be told how many bytes of how many are done.
func (m *Meter) Bytes(what string) func(done, total int64) {
	return func(done, total int64) {
		if total > 0 {
			m.Show("%s: %d of %d MiB, %d %%", what, done>>20, total>>20, 100*done/total)
		}
	}
}

// Show puts a line in the place of the last one, unless that is too new to have
// been read.
func (m *Meter) Show(format string, args ...any) {
	if m.w == nil || time.Since(m.last) < redraw {
		return
	}
	m.last, m.shown = time.Now(), true
	fmt.Fprintf(m.w, "\r\x1b[K"+format, args...)
}

// Clear takes the line off the terminal.
func (m *Meter) Clear() {
	if m.shown {
		fmt.Fprint(m.w, "\r\x1b[K")
	}
	m.shown = false
}
