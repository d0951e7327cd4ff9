package james

import (
	"fmt"
	"strings"
	"time"
)

// Waiting says that a device knows a plan and does not carry it out now, and why.
type Waiting struct {
	Plan     Digest  `json:"plan"`
	Revision uint64  `json:"revision"`
	For      WaitFor `json:"for"`
	// Window is the one that is closed, where that is why.
	Window Window `json:"window,omitzero"`
}

// WaitFor is what a device waits for. More may be added.
type WaitFor string

// What a device waits for.
const (
	WaitDownload WaitFor = "download" // its download window
	WaitApply    WaitFor = "apply"    // its apply window; all is downloaded
	WaitLink     WaitFor = "link"     // a link that is not metered, as the plan is not urgent
)

// Equal reports whether both say the same; nil is not to wait.
func (w *Waiting) Equal(other *Waiting) bool {
	if w == nil || other == nil {
		return w == other
	}
	return *w == *other
}

// Validate returns an error of KindInvalid for a malformed one. Reasons that are
// not known are those of a newer device.
func (w *Waiting) Validate() error {
	switch {
	case w.Plan.IsZero():
		return Errorf(KindInvalid, "waiting", "names no plan")
	case !isWord(string(w.For)):
		return Errorf(KindInvalid, "waiting", "%.40q is nothing to wait for", w.For)
	}
	return nil
}

// String says what the device waits for, as in "waiting for its apply window
// 02:00-04:00".
func (w *Waiting) String() string {
	switch {
	case w.For == WaitLink:
		return "waiting: its link is metered and the change is not marked urgent"
	case w.Window == ClosedWindow:
		return fmt.Sprintf("waiting: its %s window is %q", w.For, w.Window)
	}
	return strings.TrimSpace(fmt.Sprintf("waiting for its %s window %s", w.For, w.Window))
}

// isWord reports whether s can be a word on the wire, such as a kind.
func isWord(s string) bool {
	return s != "" && len(s) <= MaxNameLen && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz-") == ""
}

// Progress says how far a device is with a plan. It is the body of
// POST /v1/progress.
type Progress struct {
	Plan     Digest `json:"plan"`
	Revision uint64 `json:"revision"`
	Phase    Phase  `json:"phase"`
	// Done is how much is there of the contents that had to be fetched, Total how
	// much that is, in bytes of files; 0 where that is not known yet. Rate is the
	// bytes a second, lately.
	Done  int64 `json:"done,omitzero"`
	Total int64 `json:"total,omitzero"`
	Rate  int64 `json:"rate,omitzero"`
	// Time is when it arrived at jamesd, which sets it.
	Time time.Time `json:"time,omitzero"`
}

// Phase is what a device does with a plan. More may be added.
type Phase string

// The phases.
const (
	Downloading Phase = "downloading"
	Applying    Phase = "applying" // or putting itself on probation
)

// Validate returns an error of KindInvalid for a malformed one. Phases that are not
// known are those of a newer device.
func (p *Progress) Validate() error {
	switch {
	case p.Plan.IsZero():
		return Errorf(KindInvalid, "progress", "names no plan")
	case !isWord(string(p.Phase)):
		return Errorf(KindInvalid, "progress", "%.40q is no phase", p.Phase)
	case p.Done < 0 || p.Total < p.Done || p.Rate < 0:
		return Errorf(KindInvalid, "progress", "%d of %d bytes at %d a second cannot be", p.Done, p.Total, p.Rate)
	}
	return nil
}

// Percent returns how much of all is there, in whole percents.
func (p *Progress) Percent() int {
	if p.Total == 0 {
		return 0
	}
	return int(float64(p.Done) / float64(p.Total) * 100)
}

// String says how far the device is, as in "downloading 43 %, 1.2 of 2.8 MB, 20
// kB/s".
func (p *Progress) String() string {
	if p.Total == 0 {
		return string(p.Phase)
	}
	size, unit := decimal(p.Total)
	text := fmt.Sprintf("%s %d %%, %s of %s %s", p.Phase, p.Percent(), number(float64(p.Done)/size), number(float64(p.Total)/size), unit)
	if p.Rate > 0 {
		size, unit := decimal(p.Rate)
		text += fmt.Sprintf(", %s %s/s", number(float64(p.Rate)/size), unit)
	}
	return text
}

// decimal returns the unit in which people read n bytes.
func decimal(n int64) (size float64, unit string) {
	switch {
	case n >= 1e9:
		return 1e9, "GB"
	case n >= 1e6:
		return 1e6, "MB"
	case n >= 1e3:
		return 1e3, "kB"
	}
	return 1, "B"
}

// number writes v with two digits at least: 1.2, 20, 843.
func number(v float64) string {
	if v < 10 && v != float64(int64(v)) {
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.0f", v)
}
