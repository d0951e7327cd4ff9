package ctl

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/term"

	"github.com/trusch/jamesd/pkg/james"
)

// output is the standard output; the first error stays.
type output struct {
	w     io.Writer
	first error
}

// Write never fails; err tells at the end.
func (o *output) Write(b []byte) (int, error) {
	if o.first == nil {
		_, o.first = o.w.Write(b)
	}
	return len(b), nil
}

func (o *output) err() error {
	if o.first == nil {
		return nil
	}
	return james.Cannot("write", "the output", o.first)
}

// print writes v as the user wants it; table writes it for people.
func (p *program) print(v any, table func(w io.Writer)) error {
	switch p.format {
	case formatJSON:
		return printJSON(p.out, v)
	case formatYAML:
		return printYAML(p.out, v)
	}
	var buf bytes.Buffer
	table(&buf)
	p.out.Write(buf.Bytes())
	return nil
}

func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// table writes rows in columns. A row of fewer cells ends early; the last cell
// of a row may be long. Lines have no space at their end.
func table(w io.Writer, indent string, rows ...[]string) { tableWithin(w, 0, indent, rows...) }

// tableWithin is table for a terminal of that many columns, 0 for none: a last
// cell that is too long for it goes on in the next lines, below its column or,
// where that is too narrow, below the row.
func tableWithin(w io.Writer, columns int, indent string, rows ...[]string) {
	width := widths(rows)
	for _, row := range rows {
		var line strings.Builder
		line.WriteString(indent)
		for i, cell := range row {
			if i == len(row)-1 && i > 0 && columns > 0 {
				writeLast(&line, cell, columns, indent)
				continue
			}
			fmt.Fprintf(&line, "%-*s  ", width[i], cell)
		}
		fmt.Fprintln(w, strings.TrimRight(line.String(), " "))
	}
}

// widths cleans the cells and returns the width of each column.
func widths(rows [][]string) []int {
	var width []int
	for _, row := range rows {
		for i := range row {
			row[i] = clean(row[i])
			if i == len(width) {
				width = append(width, 0)
			}
			width[i] = max(width[i], utf8.RuneCountInString(row[i]))
		}
	}
	return width
}

// narrow is the width below which a column is not worth being filled.
const narrow = 30

// writeLast adds the last cell of a row to its line, which goes on in more lines
// where it does not fit.
func writeLast(line *strings.Builder, cell string, columns int, indent string) {
	hang := utf8.RuneCountInString(line.String())
	if cell == "" || hang+utf8.RuneCountInString(cell) <= columns {
		line.WriteString(cell)
		return
	}
	if columns-hang < narrow {
		before := strings.TrimRight(line.String(), " ")
		line.Reset()
		hang = len(indent) + 2
		line.WriteString(before + "\n" + strings.Repeat(" ", hang))
	}
	line.WriteString(strings.Join(wrap(cell, columns-hang), "\n"+strings.Repeat(" ", hang)))
}

// wrap breaks s between words into lines of at most width, unless a word is longer.
func wrap(s string, width int) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(s) {
		if line != "" && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width {
			lines, line = append(lines, line), ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}

// columns returns the width of the terminal that is printed to, 0 where it is none.
func (o *output) columns() int {
	f, ok := o.w.(*os.File)
	if !ok {
		return 0
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return width
}

// clean returns s on one line without the characters that a terminal would act
// on: names and reasons come from devices.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case !unicode.IsGraphic(r):
			return unicode.ReplacementChar
		}
		return r
	}, strings.TrimRight(s, "\n"))
}

// ago says when t was, for people.
func (p *program) ago(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	d := p.now().Sub(t)
	switch {
	case d < time.Second:
		return "now"
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s ago", d/time.Second)
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min ago", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h ago", d/time.Hour)
	}
	return fmt.Sprintf("%d d ago", d/(24*time.Hour))
}

// stamp writes a time in the local zone.
func stamp(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.Local().Format("2006-01-02 15:04:05")
}

// size writes a number of bytes.
func size(n int64) string {
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	v, unit := float64(n)/1024, 0
	for v >= 1024 && unit < 3 {
		v /= 1024
		unit++
	}
	return fmt.Sprintf("%.1f %ciB", v, "KMGT"[unit])
}

func yesNo(v bool) string {
	if v {
		return "yes"
	}
	return "no"
}

// none stands for something empty in a cell, so that columns can be told apart.
func none(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
