package deltabench_test

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// table is what was measured.
type table struct {
	rows   []row
	lines  []string
	checks []string
}

type row struct {
	*pair
	ours     result
	theirs   []result // as tools
	manifest int64
}

// absent notes an upgrade that is not to be had.
func (t *table) absent(name string, err error) {
	t.lines = append(t.lines, fmt.Sprintf("%s is not measured: %v", name, err))
}

func (t *table) check(what string, kept bool, format string, args ...any) {
	verdict := "KEPT"
	if !kept {
		verdict = "MISSED"
	}
	t.checks = append(t.checks, fmt.Sprintf("%s: %s, %s", what, fmt.Sprintf(format, args...), verdict))
}

func (t *table) print(w io.Writer) {
	fmt.Fprintf(w, "\nBytes on the wire, in kB:\n\n")
	t.grid(w, true, func(r result) string { return kilo(r.bytes) })
	fmt.Fprintf(w, "\nProcessor seconds to make / to apply:\n\n")
	t.grid(w, false, func(r result) string { return seconds(r.make) + " / " + seconds(r.apply) })
	for _, tool := range tools {
		if lacks := tool.missing(); lacks != "" {
			t.lines = append(t.lines, tool.name+" is not measured: "+lacks)
		}
	}
	if len(t.rows) > 0 {
		t.judge()
	}
	fmt.Fprintln(w)
	for _, line := range slices.Concat(t.lines, t.checks) {
		fmt.Fprintln(w, "-", line)
	}
	fmt.Fprintln(w)
}

// grid prints a table with a row for each upgrade and one for their sums.
func (t *table) grid(w io.Writer, files bool, cell func(result) string) {
	heads := []string{"", "ours"}
	if files {
		heads = []string{"", "patched, new", "codec", "ours"}
	}
	for _, tool := range tools {
		heads = append(heads, tool.name)
	}
	line(w, heads)
	line(w, slices.Repeat([]string{"---"}, len(heads)))
	for _, r := range t.rows {
		cells := []string{r.name}
		if files {
			cells = append(cells, fmt.Sprintf("%d, %d", len(r.patched()), len(r.added())), r.ours.note)
		}
		t.cells(w, append(cells, cell(r.ours)), r.theirs, cell)
	}
	cells := []string{"sum"}
	if files {
		cells = append(cells, "", "")
	}
	sums := make([]result, len(tools))
	for i := range tools {
		sums[i] = t.sum(func(r row) result { return r.theirs[i] })
	}
	t.cells(w, append(cells, cell(t.sum(ours))), sums, cell)
}

func (t *table) cells(w io.Writer, cells []string, theirs []result, cell func(result) string) {
	for _, r := range theirs {
		if r.bytes == 0 {
			cells = append(cells, "-")
			continue
		}
		cells = append(cells, cell(r))
	}
	line(w, cells)
}

func line(w io.Writer, cells []string) { fmt.Fprintf(w, "| %s |\n", strings.Join(cells, " | ")) }

func ours(r row) result { return r.ours }

func (t *table) sum(of func(row) result) result {
	var sum result
	for _, r := range t.rows {
		one := of(r)
		sum.bytes += one.bytes
		sum.make += one.make
		sum.apply += one.apply
	}
	return sum
}

// judge compares the sums and every upgrade.
func (t *table) judge() {
	all := t.sum(ours)
	of := func(name string) result {
		i := slices.IndexFunc(tools, func(t tool) bool { return t.name == name })
		return t.sum(func(r row) result { return r.theirs[i] })
	}
	bsdiff, xdelta := of("bsdiff"), of("xdelta3 -9")
	if bsdiff.bytes > 0 {
		t.check("the sum is less than bsdiff's", all.bytes < bsdiff.bytes, "%.2fx", ratio(all.bytes, bsdiff.bytes))
		t.check("making is faster than bsdiff's", all.make < bsdiff.make, "%.2fx", ratio(all.make, bsdiff.make))
	}
	if xdelta.bytes > 0 {
		t.check("the sum is less than half of xdelta3's", 2*all.bytes < xdelta.bytes, "%.2fx", ratio(all.bytes, xdelta.bytes))
	}
	worst := slices.MaxFunc(t.rows, func(a, b row) int { return int(1e6 * (a.share() - b.share())) })
	if worst.theirs[0].bytes > 0 {
		t.check("no upgrade costs more than the whole contents in xz", worst.share() <= 1, "the worst is %s with %.2fx", worst.name, worst.share())
	}
	var manifests int64
	for _, r := range t.rows {
		manifests += r.manifest
	}
	t.lines = append(t.lines, fmt.Sprintf("what no column has but casync and OSTree: modes, owners, times and digests of all files; in ours, the manifests, %s kB in zstd", kilo(manifests)))
}

// share is ours against the whole contents in xz.
func (r *row) share() float64 { return ratio(r.ours.bytes, r.theirs[0].bytes) }

func ratio[N int64 | time.Duration](a, b N) float64 { return float64(a) / float64(max(b, 1)) }

func kilo(n int64) string { return fmt.Sprintf("%.1f", float64(n)/1000) }

func seconds(d time.Duration) string { return fmt.Sprintf("%.2f", d.Seconds()) }
