package device

import (
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/term"
)

// redraw is the time between two lines of a meter.
const redraw = 100 * time.Millisecond

// meter shows on a terminal how far something is. Elsewhere it shows nothing.
type meter struct {
	w     io.Writer // nil where there is no terminal
	last  time.Time
	shown bool
}

func newMeter(w io.Writer) *meter {
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return &meter{w: w}
	}
	return &meter{}
}

// show returns what is to be told how many bytes of how many are done.
func (m *meter) show(what string) func(done, total int64) {
	return func(done, total int64) {
		if m.w == nil || total == 0 || time.Since(m.last) < redraw {
			return
		}
		m.last, m.shown = time.Now(), true
		fmt.Fprintf(m.w, "\r\x1b[K%s: %d of %d MiB, %d %%", what, done>>20, total>>20, 100*done/total)
	}
}

// clear takes the meter off the terminal.
func (m *meter) clear() {
	if m.shown {
		fmt.Fprint(m.w, "\r\x1b[K")
	}
	m.shown = false
}
