package ctl

import (
	"os"
	"slices"
	"strings"

	"golang.org/x/term"
)

// screen is a terminal that is drawn on as a whole.
type screen struct {
	in, out *os.File
	keys    chan byte
	drawn   []line // as it is there
	width   int
	height  int
}

// screen returns the terminal of the standard output, nil where that is none.
func (p *program) screen() *screen {
	out, ok := p.Out.(*os.File)
	if !ok || !term.IsTerminal(int(out.Fd())) {
		return nil
	}
	in, _ := p.In.(*os.File)
	return &screen{in: in, out: out, keys: make(chan byte)}
}

// What a terminal understands (ECMA-48, and xterm's other screen).
const (
	enter   = "\x1b[?1049h\x1b[?25l\x1b[2J" // the other screen, no cursor, empty
	leave   = "\x1b[0m\x1b[?25h\x1b[?1049l"
	home    = "\x1b[H"
	rest    = "\x1b[K" // clears to the end of the line
	below   = "\x1b[J" // clears to the end of the screen
	plain   = "\x1b[0m"
	bold    = "\x1b[1m"
	red     = "\x1b[31m"
	reverse = "\x1b[7m"
)

// begin takes the terminal over, until restore is called.
func (s *screen) begin() (restore func(), err error) {
	back := func() {}
	if s.in != nil && term.IsTerminal(int(s.in.Fd())) {
		old, err := term.MakeRaw(int(s.in.Fd()))
		if err != nil {
			return nil, err
		}
		back = func() { term.Restore(int(s.in.Fd()), old) }
		// Reading a terminal cannot be ended, so nobody waits for it; it ends with the process.
		go s.read()
	}
	s.out.WriteString(enter)
	return func() {
		s.out.WriteString(leave)
		back()
	}, nil
}

// read hands over the keys that are pressed.
func (s *screen) read() {
	for b := make([]byte, 1); ; {
		if n, err := s.in.Read(b); n != 1 || err != nil {
			return
		}
		s.keys <- b[0]
	}
}

// draw draws t as it is now, if that differs from what is there.
func (s *screen) draw(t *top) {
	width, height, err := term.GetSize(int(s.out.Fd()))
	if err != nil || width < 1 || height < 1 {
		width, height = 80, 24
	}
	lines := t.view(width, height)
	if width == s.width && height == s.height && slices.Equal(lines, s.drawn) {
		return
	}
	s.drawn, s.width, s.height = lines, width, height
	var b strings.Builder
	b.WriteString(home)
	for i, l := range lines {
		if i > 0 {
			b.WriteString("\r\n")
		}
		b.WriteString(l.style + l.text + plain + rest)
	}
	b.WriteString(below)
	s.out.WriteString(b.String())
}
