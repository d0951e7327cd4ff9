package james

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Window says at which times something may be done, by the clock on the wall of
// whoever does it: always ("now"), not at all ("never"), or in spans of the day
// such as "02:00-04:00" or "Mon-Fri 22:00-06:00, Sat-Sun 00:00-24:00". A span that
// ends before it begins ends on the next day; its days are those on which it
// begins, every day where none are named. The zero value says nothing. Windows are
// equal exactly when they are ==.
type Window struct{ text string }

// MaxSpans is the number of spans that a window may have.
const MaxSpans = 32

// The windows that are words. OpenWindow is what a window means that says nothing,
// unless something else says more.
var (
	OpenWindow   = Window{"now"}
	ClosedWindow = Window{"never"}
)

// ParseWindow returns the window that s spells; an empty s is the zero value. It
// fails with KindInvalid.
func ParseWindow(s string) (Window, error) {
	switch s = strings.TrimSpace(s); {
	case s == "":
		return Window{}, nil
	case strings.EqualFold(s, OpenWindow.text):
		return OpenWindow, nil
	case strings.EqualFold(s, ClosedWindow.text):
		return ClosedWindow, nil
	}
	parts := strings.Split(s, ",")
	if len(parts) > MaxSpans {
		return Window{}, Errorf(KindInvalid, "window", "has %d spans, the limit is %d", len(parts), MaxSpans)
	}
	spans := make([]string, len(parts))
	for i, part := range parts {
		span, err := parseSpan(part)
		if err != nil {
			return Window{}, err
		}
		spans[i] = span.String()
	}
	return Window{strings.Join(spans, ", ")}, nil
}

// MustWindow is ParseWindow for constants; it panics on a malformed one.
func MustWindow(s string) Window {
	w, err := ParseWindow(s)
	if err != nil {
		panic(err)
	}
	return w
}

// IsZero reports whether the window says nothing.
func (w Window) IsZero() bool { return w == Window{} }

// Or returns w, or other where w says nothing.
func (w Window) Or(other Window) Window { return cmp.Or(w, other) }

// String returns the window in the form in which ParseWindow reads it.
func (w Window) String() string { return w.text }

// MarshalText encodes the window as String does.
func (w Window) MarshalText() ([]byte, error) { return []byte(w.text), nil }

// UnmarshalText decodes what ParseWindow reads.
func (w *Window) UnmarshalText(b []byte) error {
	parsed, err := ParseWindow(string(b))
	if err == nil {
		*w = parsed
	}
	return err
}

// Set and Type make a *Window the value of a flag.
func (w *Window) Set(s string) error { return w.UnmarshalText([]byte(s)) }

// Type names the kind of value.
func (*Window) Type() string { return "window" }

const (
	dayMinutes  = 24 * 60
	weekMinutes = 7 * dayMinutes
)

var dayNames = []string{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"}

// span is one span of a window: minutes of the day, on the days from first to
// last, of which last may come before first.
type span struct {
	first, last int // 0 is Sunday
	everyDay    bool
	from, to    int // to may be dayMinutes, and less than from
}

func parseSpan(s string) (span, error) {
	fail := func(format string, args ...any) (span, error) {
		return span{}, Errorf(KindInvalid, "window", format, args...).
			WithHint("A window is \"now\", \"never\", or such as \"02:00-04:00\" or \"Mon-Fri 22:00-06:00, Sat-Sun 00:00-24:00\".")
	}
	words := strings.Fields(s)
	if len(words) == 0 || len(words) > 2 {
		return fail("%.60q is not HH:MM-HH:MM", s)
	}
	p := span{everyDay: len(words) == 1, last: 6}
	if !p.everyDay {
		from, to, ranged := strings.Cut(words[0], "-")
		if !ranged {
			to = from
		}
		if p.first, p.last = day(from), day(to); p.first < 0 || p.last < 0 {
			return fail("%.60q is no day of the week, nor two of them as in Mon-Fri", words[0])
		}
	}
	from, to, ok := strings.Cut(words[len(words)-1], "-")
	if !ok {
		return fail("%.60q is not HH:MM-HH:MM", strings.TrimSpace(s))
	}
	if p.from, p.to = minute(from), minute(to); p.from < 0 || p.to < 0 || p.from == dayMinutes {
		return fail("%.60q is not HH:MM-HH:MM, from 00:00 to 24:00", words[len(words)-1])
	}
	if p.from == p.to {
		return fail("%.60q is empty; all of the day is 00:00-24:00", words[len(words)-1])
	}
	return p, nil
}

// day returns the number of the day of that name, -1 for none.
func day(s string) int {
	return slices.IndexFunc(dayNames, func(name string) bool { return strings.EqualFold(s, name) })
}

// minute returns the minute of the day that "HH:MM" names, -1 for none.
func minute(s string) int {
	hour, min, ok := strings.Cut(s, ":")
	h, errH := strconv.ParseUint(hour, 10, 8)
	m, errM := strconv.ParseUint(min, 10, 8)
	if !ok || errH != nil || errM != nil || len(hour) > 2 || len(min) != 2 || m > 59 || h > 24 || h == 24 && m > 0 {
		return -1
	}
	return int(h)*60 + int(m)
}

// String returns the span in its canonical form.
func (p span) String() string {
	clock := fmt.Sprintf("%02d:%02d-%02d:%02d", p.from/60, p.from%60, p.to/60, p.to%60)
	switch {
	case p.everyDay:
		return clock
	case p.first == p.last:
		return dayNames[p.first] + " " + clock
	}
	return dayNames[p.first] + "-" + dayNames[p.last] + " " + clock
}

// minutes returns how long the span is.
func (p span) minutes() int { return (p.to-p.from+dayMinutes-1)%dayMinutes + 1 }

// days returns on how many days of a week the span begins.
func (p span) days() int { return (p.last-p.first+7)%7 + 1 }
