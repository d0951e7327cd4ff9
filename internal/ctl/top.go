package ctl

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/trusch/jamesd/pkg/james"
)

// top is what the command of that name shows.
type top struct {
	server string
	now    func() time.Time
	status *james.FleetStatus
	err    error // why there is nothing newer
}

// line is a line of the screen, in one style.
type line struct{ text, style string }

// section is a part of the screen that takes as many lines as there is room for.
type section struct {
	title string
	rows  [][]string
	style string
	last  bool // the last rows matter, not the first
	all   int  // how many rows there would be
}

// view returns the lines for a terminal of that size; 0 is as wide or as high as it
// takes. None is longer, and there are not more.
func (t *top) view(width, height int) []line {
	s := t.status
	head := []line{{fmt.Sprintf("jamesd %s   %s   %s, %s", t.server, stamp(s.Time), count(devices(s), "device"), count(s.Packets, "packet")), bold}}
	if t.err != nil {
		head = append(head, line{clean(t.err.Error()), reverse})
	}
	for _, l := range numbers(s) {
		for i, part := range wrapTo(l.text, width) {
			if i > 0 {
				part = strings.Repeat(" ", labelWidth) + part
			}
			head = append(head, line{part, l.style})
		}
	}
	lines := append(head, fill(sections(s, t.now()), height-len(head), width)...)
	if height > 0 {
		lines = lines[:min(len(lines), height)]
	}
	for i := range lines {
		lines[i].text = cut(lines[i].text, width)
	}
	return lines
}

const labelWidth = 14

func devices(s *james.FleetStatus) (n int) {
	for _, k := range s.Devices {
		n += k
	}
	return n
}

// numbers returns the lines below the title.
func numbers(s *james.FleetStatus) []line {
	var by, ended []string
	for _, c := range james.Conditions() {
		if n := s.Devices[c]; n > 0 {
			by = append(by, fmt.Sprintf("%s %d", c, n))
		}
	}
	if s.Damaged > 0 {
		by = append(by, fmt.Sprintf("damaged %d", s.Damaged))
	}
	if s.Silent > 0 {
		by = append(by, fmt.Sprintf("silent %d", s.Silent))
	}
	for _, r := range []james.Result{james.Committed, james.RolledBack, james.Refused, james.Broken} {
		if n := s.Results[r]; n > 0 {
			ended = append(ended, fmt.Sprintf("%s %d", r, n))
		}
	}
	label := func(name string, values []string) line {
		return line{text: fmt.Sprintf("%-*s%s", labelWidth, name, none(strings.Join(values, "  ")))}
	}
	return []line{
		label("devices", by),
		label("polls", []string{fmt.Sprintf("held %d", s.Polls.Held), fmt.Sprintf("%.1f/s", s.Polls.Rate)}),
		label("transactions", ended),
	}
}

// sections returns what is listed, the most urgent first.
func sections(s *james.FleetStatus, now time.Time) []section {
	trouble := section{title: "TROUBLE", style: red, all: s.TroubledCount}
	for _, g := range s.Troubled {
		trouble.rows = append(trouble.rows, []string{g.ID, string(g.Condition), g.Reason})
	}
	working := section{title: "WORKING", all: len(s.Working)}
	for _, g := range s.Working {
		working.rows = append(working.rows, []string{g.ID, progressBar(g.Progress), progressText(g.Progress)})
	}
	rollouts := section{title: "ROLLOUTS", all: len(s.Rollouts)}
	for _, r := range s.Rollouts {
		text := fmt.Sprintf("%d of %d", r.Have, r.Have+r.Pending)
		if r.Failed > 0 {
			text += fmt.Sprintf(", %d failed", r.Failed)
		}
		rollouts.rows = append(rollouts.rows, []string{strings.TrimSpace(r.Name + " " + r.Tags.String()), bar(r.Have, r.Have+r.Pending), text})
	}
	events := section{title: "EVENTS", last: true, all: len(s.Events)}
	for _, e := range s.Events {
		events.rows = append(events.rows, []string{clock(e.Time, now), string(e.Kind), eventText(e)})
	}
	return []section{trouble, working, rollouts, events}
}

// fill returns the lines of the sections for which there is room: each of those that
// have rows gets as many lines as the others, and what one does not need the others get.
// A height of 0 or less than there is for any is all of it.
func fill(all []section, height, width int) (lines []line) {
	var shown []section
	for _, s := range all {
		if len(s.rows) > 0 {
			shown = append(shown, s)
		}
	}
	rows := make([]int, len(shown))
	free := height - 2*len(shown) // an empty line and the title
	for given := true; given; {
		given = false
		for i := range shown {
			if rows[i] < len(shown[i].rows) && (free > 0 || height <= 0) {
				rows[i]++
				free--
				given = true
			}
		}
	}
	for i, s := range shown {
		lines = append(lines, line{}, line{s.heading(rows[i]), bold})
		for _, text := range s.some(rows[i], width) {
			lines = append(lines, line{text, s.style})
		}
	}
	return lines
}

// heading is the title, with how many of how many are shown where that is not all.
func (s *section) heading(n int) string {
	if n < s.all && !s.last {
		return fmt.Sprintf("%s (%d of %d)", s.title, n, s.all)
	}
	return s.title
}

// some returns n of the rows as lines.
func (s *section) some(n, width int) []string {
	rows := s.rows[:n]
	if s.last {
		rows = s.rows[len(s.rows)-n:]
	}
	var b strings.Builder
	table(&b, "  ", shortened(rows, width)...)
	if b.Len() == 0 {
		return nil
	}
	return strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
}

// shortened returns rows whose first cells leave room for the others.
func shortened(rows [][]string, width int) [][]string {
	if width <= 0 {
		return rows
	}
	out := make([][]string, len(rows))
	for i, row := range rows {
		out[i] = append([]string{cut(clean(row[0]), max(12, width*2/5))}, row[1:]...)
	}
	return out
}

const barWidth = 12

// bar draws how many of all there are.
func bar(n, all int) string {
	full := 0
	if all > 0 {
		full = min(barWidth, n*barWidth/all)
	}
	return "[" + strings.Repeat("#", full) + strings.Repeat(".", barWidth-full) + "]"
}

func progressBar(p *james.Progress) string {
	if p == nil || p.Total == 0 {
		return bar(0, 0)
	}
	return bar(p.Percent(), 100)
}

func progressText(p *james.Progress) string {
	if p == nil {
		return ""
	}
	return p.String()
}

// clock is the time of an event, with the day where that is another one.
func clock(t, now time.Time) string {
	local := t.Local()
	if now.Local().YearDay() == local.YearDay() && now.Sub(t) < 48*time.Hour {
		return local.Format(time.TimeOnly)
	}
	return local.Format("01-02 15:04")
}

// wrapTo breaks a line of numbers where it is too long; a width of 0 is none.
func wrapTo(s string, width int) []string {
	if width <= labelWidth || utf8.RuneCountInString(s) <= width {
		return []string{s}
	}
	var lines []string
	line := s[:labelWidth]
	for _, part := range strings.Split(s[labelWidth:], "  ") {
		switch {
		case strings.TrimSpace(line) == "" || line == s[:labelWidth]:
			line += part
		case utf8.RuneCountInString(line)+2+len(part)+labelWidth > width && len(lines) > 0, utf8.RuneCountInString(line)+2+len(part) > width:
			lines, line = append(lines, line), part
		default:
			line += "  " + part
		}
	}
	return append(lines, line)
}

// cut shortens s to that many characters; a width of 0 is none.
func cut(s string, width int) string {
	if width <= 0 || utf8.RuneCountInString(s) <= width {
		return s
	}
	runes := []rune(s)
	return strings.TrimRight(string(runes[:width-1]), " ") + "…"
}

func count(n int, what string) string { return fmt.Sprintf("%d %s", n, what+plural(n, "", "s")) }
