package ctl

import (
	"context"
	"time"

	"github.com/trusch/jamesd/internal/config"
	"github.com/trusch/jamesd/pkg/james"
)

// Run is Main with a context in place of signals, and a clock.
func Run(ctx context.Context, process config.Process, now func() time.Time) int {
	p := newProgram(process)
	p.now, p.pauseUnit, p.redraw = now, time.Millisecond, 0
	return run(ctx, p)
}

// Ago says when t was, as of now.
func Ago(now, t time.Time) string {
	p := program{now: func() time.Time { return now }}
	return p.ago(t)
}

// The pure parts.
var (
	RewriteSeed = rewriteSeed
	ReadStates  = readStates
	PrintState  = printState
	TableWithin = tableWithin
	PrintYAML   = printYAML
	Table       = table
	Size        = size
	Clean       = clean
	Address     = address
)

// View returns the lines that top shows of s on a terminal of that size.
func View(s *james.FleetStatus, server string, now time.Time, width, height int) []string {
	t := &top{server: server, now: func() time.Time { return now }, status: s}
	var lines []string
	for _, l := range t.view(width, height) {
		lines = append(lines, l.text)
	}
	return lines
}
