package ctl

import (
	"os"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// meter shows how far something is on the standard error, if that is a
// terminal. It counts the bytes that are written to it.
type meter struct{ bar *progressbar.ProgressBar }

// meter starts one of total bytes; -1 stands for an unknown number.
func (p *program) meter(what string, total int64) *meter {
	f, ok := p.Err.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return &meter{}
	}
	return &meter{progressbar.NewOptions64(total,
		progressbar.OptionSetWriter(f),
		progressbar.OptionSetDescription(clean(what)),
		progressbar.OptionShowBytes(true),
		progressbar.OptionUseIECUnits(true),
		progressbar.OptionShowTotalBytes(true),
		progressbar.OptionThrottle(p.redraw),
		progressbar.OptionSetSpinnerChangeInterval(0), // no goroutine of its own
		progressbar.OptionSetWidth(30),
		progressbar.OptionClearOnFinish())}
}

// Write counts; it never fails.
func (m *meter) Write(b []byte) (int, error) {
	if m.bar != nil {
		m.bar.Add(len(b)) // drawing it may fail, which is no reason to stop
	}
	return len(b), nil
}

// set says how many bytes are done.
func (m *meter) set(done int64) {
	if m.bar != nil {
		m.bar.Set64(done)
	}
}

// close takes the meter off the terminal.
func (m *meter) close() {
	if m.bar != nil {
		m.bar.Clear()
	}
}
