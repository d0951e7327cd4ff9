package james

import (
	"slices"
	"strings"
	"time"
)

// At reports whether the window is open at t, in t's time zone, and when that
// changes next; the zero time where it never does.
//
// What counts is what a clock on the wall shows. Where clocks are set forward, a
// span that lies wholly in the time that they skip is skipped, too; where they are
// set back, one that lies in the time that comes twice opens twice. A window that
// says nothing is open.
func (w Window) At(t time.Time) (open bool, until time.Time) {
	open = w.holds(weekMinute(t))
	if always := w.IsZero() || w == OpenWindow || w == ClosedWindow; always {
		return open, time.Time{}
	}
	limit := t.AddDate(0, 0, 15) // a week, and another for what a change of clocks skips
	for from := t; from.Before(limit); {
		_, zoneEnd := from.ZoneBounds()
		next, ok := w.change(from, open)
		if ok && (zoneEnd.IsZero() || next.Before(zoneEnd)) {
			return open, next
		}
		if zoneEnd.IsZero() {
			break
		}
		if from = zoneEnd; w.holds(weekMinute(from)) != open {
			return open, from
		}
	}
	return open, time.Time{}
}

// change returns when, by the time zone of from alone, the window ceases to be
// open or closed as it is at from.
func (w Window) change(from time.Time, open bool) (time.Time, bool) {
	edges := w.edges()
	now := weekMinute(from)
	first := weekMinutes
	for _, edge := range edges {
		if in := (edge-now+weekMinutes-1)%weekMinutes + 1; in < first && w.holds(edge) != open {
			first = in
		}
	}
	if first == weekMinutes {
		return time.Time{}, false
	}
	past := time.Duration(from.Second())*time.Second + time.Duration(from.Nanosecond())
	return from.Add(time.Duration(first)*time.Minute - past), true
}

// holds reports whether the window is open in a minute of the week.
func (w Window) holds(minute int) bool {
	switch {
	case w.IsZero() || w == OpenWindow:
		return true
	case w == ClosedWindow:
		return false
	}
	return slices.ContainsFunc(w.spans(), func(p span) bool {
		for n := range p.days() {
			begin := (p.first+n)%7*dayMinutes + p.from
			if (minute-begin+weekMinutes)%weekMinutes < p.minutes() {
				return true
			}
		}
		return false
	})
}

// edges returns the minutes of the week at which a span begins or ends.
func (w Window) edges() (edges []int) {
	for _, p := range w.spans() {
		for n := range p.days() {
			begin := (p.first+n)%7*dayMinutes + p.from
			edges = append(edges, begin, (begin+p.minutes())%weekMinutes)
		}
	}
	return edges
}

// spans returns the spans of a window that is no word.
func (w Window) spans() (spans []span) {
	for part := range strings.SplitSeq(w.text, ",") {
		p, err := parseSpan(part)
		if err != nil {
			panic(err) // no window has such a text
		}
		spans = append(spans, p)
	}
	return spans
}

// weekMinute returns the minute of the week that a clock shows, from Sunday's
// midnight.
func weekMinute(t time.Time) int {
	return int(t.Weekday())*dayMinutes + t.Hour()*60 + t.Minute()
}
