package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/trusch/jamesd/internal/e2e/powercut/load"
)

// result is one cut and what became of it.
type result struct {
	device     string
	from, to   load.State
	at         time.Time
	progress   *progress
	phase      phase
	after      time.Duration // since the phase began
	kept, lost int           // blocks that were not flushed
	replayed   bool          // whether the file system's journal had to be
	damage     []string
	ended      string // before, after or LOST
	recovery   string // how jamesc reported the transaction, "" where none was cut off
}

// newResult is a cut at this moment.
func newResult(d *device, to load.State, p *progress) *result {
	return &result{device: d.id, from: d.at, to: to, at: time.Now(), progress: p, phase: p.phase}
}

// hear notes the lines of the console that came before the cut and were read
// after it: they tell which phase it was.
func (c *result) hear(rest []line) {
	for _, l := range rest {
		if c.progress.phase != recovering {
			_ = c.progress.follow(l) // what failed is seen when the device is judged
		}
	}
	c.phase = c.progress.phase
	if began := c.progress.began[c.phase]; began.Before(c.at) && !began.IsZero() {
		c.after = c.at.Sub(began)
	}
}

const endedBefore, endedAfter, endedLost = "before", "after", "LOST"

// judge looks which of the two states the device is in and ends the cuts that
// led to it. It fails with errLost for a device that is in neither.
func (d *device) judge(ctx context.Context, m *machine, r *results, how recovery) error {
	tree, err := d.list(ctx, m)
	if err != nil || len(d.pending) == 0 {
		if err == nil && d.differsFromBefore(tree) != nil {
			err = fmt.Errorf("something is lost that was synced long ago: %s", strings.Join(d.differsFromBefore(tree), "\n"))
		}
		return err
	}
	before, after := d.differsFromBefore(tree), d.differsFromAfter(tree, d.next)
	ended, state := endedLost, d.at
	switch {
	case before == nil:
		ended = endedBefore
	case after == nil:
		ended, state = endedAfter, d.next
	}
	var damage []string
	for _, c := range d.pending {
		damage = append(damage, c.damage...)
	}
	if ended == endedLost {
		damage = append(damage, "neither as before nor as after.", "Against before (- before, + now):")
		damage = append(append(append(damage, before...), "Against after (- after, + now):"), after...)
	} else if apps := names(state); !slices.Equal(apps, how.apps) {
		damage = append(damage, fmt.Sprintf("the tree is as %s, with %q; jamesc believes to have %q", ended, apps, how.apps))
	}
	if want := map[string]string{endedBefore: "rolled-back refused", endedAfter: "committed"}[ended]; how.result != "" && !strings.Contains(want, how.result) {
		damage = append(damage, fmt.Sprintf("the tree is as %s; jamesc reports %q", ended, how.result))
	}
	if left := how.leftover(); left != "" {
		damage = append(damage, left)
	}
	if damage != nil {
		ended = endedLost
	}
	for _, c := range d.pending {
		c.ended, c.recovery = ended, how.result
		r.add(c)
	}
	d.pending = nil
	if damage != nil {
		file := filepath.Join(d.dir, "lost.txt")
		if err := os.WriteFile(file, []byte(strings.Join(damage, "\n")+"\n"), 0o644); err != nil {
			return err
		}
		d.out.line("%s: LOST: %.300s\n%s has all of it, %s.cut are the disks as the cut left them", d.id, strings.Join(damage, "\n"), file, filepath.Join(d.dir, "disk*"))
		return errLost
	}
	d.at, d.tree = state, tree
	return nil
}

func names(s load.State) []string {
	all := []string{}
	for _, p := range s {
		all = append(all, p.String())
	}
	slices.Sort(all)
	return all
}

func decodeTree(packed string) (load.Tree, error) {
	raw, err := base64.StdEncoding.DecodeString(packed)
	if err != nil {
		return nil, fmt.Errorf("the list of files is damaged: %w", err)
	}
	in, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("the list of files is damaged: %w", err)
	}
	var tree load.Tree
	return tree, json.NewDecoder(in).Decode(&tree)
}

// results collects the cuts of all devices.
type results struct {
	world *world
	want  int
	mu    sync.Mutex
	all   []*result
}

func (r *results) add(c *result) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, c)
	recovery := c.recovery
	if recovery == "" {
		recovery = "nothing to recover"
	}
	r.world.out.line("%3d/%d  %s  %-8s +%4d ms  %4d of %4d blocks lost%s  %-18s  %s", len(r.all), r.want, c.device, c.phase, c.after.Milliseconds(),
		c.lost, c.lost+c.kept, map[bool]string{true: ", replay", false: "        "}[c.replayed], recovery, c.ended)
	r.world.out.progress("%d of %d", len(r.all), r.want)
}

func (r *results) say(format string, args ...any) { r.world.out.progress(format, args...) }

func (r *results) lost() int {
	if r == nil {
		return 0
	}
	n := 0
	for _, c := range r.all {
		if c.ended == endedLost {
			n++
		}
	}
	return n
}

// print prints the table.
func (r *results) print(out *printer) {
	out.line("\n%-9s %5s %7s %6s %6s   %9s %12s %8s %7s", "phase", "cuts", "before", "after", "lost", "recovered", "blocks lost", "of them", "replays")
	for p := downloading; p <= recovering+1; p++ {
		var n, before, after, lost, recovered, blocks, all, replays int
		for _, c := range r.all {
			if c.phase != p && p <= recovering {
				continue
			}
			n++
			blocks, all = blocks+c.lost, all+c.lost+c.kept
			before += count(c.ended == endedBefore)
			after += count(c.ended == endedAfter)
			lost += count(c.ended == endedLost)
			recovered += count(c.recovery != "")
			replays += count(c.replayed)
		}
		name := "all"
		if p <= recovering {
			name = p.String()
		}
		out.line("%-9s %5d %7d %6d %6d   %9d %12d %8d %7d", name, n, before, after, lost, recovered, blocks, all, replays)
	}
	switch lost := r.lost(); {
	case lost > 0:
		out.line("\n%d cuts, %d lost (seed %d)", len(r.all), lost, r.world.seed)
	case len(r.all) < r.want:
		out.line("\n%d of %d cuts, none lost (seed %d)", len(r.all), r.want, r.world.seed)
	default:
		out.line("\n%d cuts, none lost (seed %d)", len(r.all), r.world.seed)
	}
}

func count(b bool) int {
	if b {
		return 1
	}
	return 0
}

// printer prints lines, and on a terminal one line of progress below them.
type printer struct {
	mu sync.Mutex
	w  io.Writer
}

func (p *printer) line(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.terminal() {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
	fmt.Fprintf(p.w, format+"\n", args...)
}

func (p *printer) progress(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.terminal() {
		fmt.Fprintf(p.w, "\r\x1b[K"+format, args...)
	}
}

func (p *printer) terminal() bool {
	f, ok := p.w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
