package budget_test

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
)

// table is what was measured, in the order of the budgets.
type table struct{ rows []row }

type row struct{ what, budget, measured, verdict string }

// add notes a measurement; within says whether it keeps the budget.
func (t *table) add(what, budget string, within bool, format string, args ...any) {
	verdict := "kept"
	if !within {
		verdict = "MISSED"
	}
	t.rows = append(t.rows, row{what, budget, fmt.Sprintf(format, args...), verdict})
}

// note notes a measurement that no budget is for.
func (t *table) note(what, format string, args ...any) {
	t.rows = append(t.rows, row{what, "-", fmt.Sprintf(format, args...), ""})
}

// skip notes why something was not measured.
func (t *table) skip(what, budget, why string) {
	t.rows = append(t.rows, row{what, budget, why, "skipped"})
}

func (t *table) print(w io.Writer) {
	fmt.Fprintln(w)
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "what\tbudget\tmeasured\t")
	fmt.Fprintln(tw, "----\t------\t--------\t")
	for _, r := range t.rows {
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\n", r.what, r.budget, r.measured, r.verdict)
	}
	tw.Flush()
	fmt.Fprintln(w)
}

// pairs measures two things in turns, so that what else the machine does hits
// both, and returns the medians of each and of the ratios first/second.
func pairs(n int, first, second func() float64) (a, b, ratio float64) {
	var as, bs, ratios []float64
	for range n {
		x, y := first(), second()
		as, bs, ratios = append(as, x), append(bs, y), append(ratios, x/y)
	}
	return median(as), median(bs), median(ratios)
}

// ratioOf returns the median of the ratios of what was measured in turns.
func ratioOf(first, second []float64) float64 {
	ratios := make([]float64, len(first))
	for i := range first {
		ratios[i] = first[i] / second[i]
	}
	return median(ratios)
}

func median(v []float64) float64 {
	slices.Sort(v)
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}
