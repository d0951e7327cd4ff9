package sim

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// outcome is what was measured, as -o json prints it. Times are in milliseconds where
// the name does not say otherwise.
type outcome struct {
	Addr    string    `json:"addr"`
	Mode    string    `json:"mode"`
	Begun   time.Time `json:"begun"`
	Seconds float64   `json:"seconds"`
	Devices int       `json:"devices"`
	// Accepted are the devices that the server has taken for what they are.
	Accepted int `json:"devices_accepted"`
	// Connected is at the end, MostConnected the most at one time.
	Connected     int64            `json:"connected"`
	MostConnected int64            `json:"most_connected"`
	Times         []timing         `json:"times"`
	In            int64            `json:"bytes_received"`
	Out           int64            `json:"bytes_sent"`
	Content       int64            `json:"bytes_downloaded"`
	Plans         int64            `json:"plans"`
	Committed     int64            `json:"plans_committed"`
	RolledBack    int64            `json:"plans_rolled_back"`
	Outdated      int64            `json:"plans_outdated"`
	Errors        map[string]int64 `json:"errors"`
	Waves         []*wave          `json:"waves"`
	Storms        []calm           `json:"storms"`
	Odd           *odd             `json:"misbehaving,omitempty"`
	Line          []sample         `json:"timeline"`
}

// timing is how long something took.
type timing struct {
	What  string  `json:"what"`
	Count uint64  `json:"count"`
	Rate  float64 `json:"per_second"`
	P50   float64 `json:"p50_ms"`
	P99   float64 `json:"p99_ms"`
	Max   float64 `json:"max_ms"`
}

// calm is how a storm ended.
type calm struct {
	Seconds float64 `json:"at_seconds"`
	Devices int     `json:"devices"`
	// Recovered is the time until the last of them had asked again, 0 where that was
	// not seen; Left are those that had not.
	Recovered float64 `json:"recovered_seconds"`
	Left      int64   `json:"left"`
}

// odd is what the devices got that do not behave.
type odd struct {
	Devices int              `json:"devices"`
	Times   []timing         `json:"times"`
	Answers map[string]int64 `json:"answers"`
}

// outcome returns what was measured; the fleet has ended.
func (f *fleet) outcome() *outcome {
	m, span := f.m, f.ended.Sub(f.m.begun)
	m.mu.Lock()
	defer m.mu.Unlock()
	o := &outcome{
		Addr: f.s.addr, Mode: f.s.mode, Begun: m.begun, Seconds: span.Seconds(), Devices: f.s.devices, Accepted: f.accepted(),
		Connected: f.final.Connected, MostConnected: m.mostConnected.Load(), Times: m.timings(span),
		In: f.in.Load(), Out: f.out.Load(), Content: m.content.Load(), Plans: m.plans.Load(),
		Committed: m.committed.Load(), RolledBack: m.undone.Load(), Outdated: m.outdated.Load(), Errors: maps.Clone(m.errors), Waves: m.waves, Line: m.line,
	}
	for _, s := range m.storms {
		o.Storms = append(o.Storms, calm{s.at.Sub(m.begun).Seconds(), s.devices, time.Duration(s.over.Load()).Seconds(), s.left.Load()})
	}
	o.Odd = f.oddOutcome(span)
	return o
}

func (f *fleet) oddOutcome(span time.Duration) *odd {
	n := 0
	for _, d := range f.devices {
		if d.role.odd() {
			n++
		}
	}
	if n == 0 {
		return nil
	}
	f.odd.mu.Lock()
	defer f.odd.mu.Unlock()
	return &odd{n, f.odd.timings(span), maps.Clone(f.odd.errors)}
}

// timings returns what there is of each kind.
func (m *measure) timings(span time.Duration) []timing {
	list := []timing{}
	for k := range kindCount {
		h := &m.times[k]
		n := h.count.Load()
		if n == 0 {
			continue
		}
		list = append(list, timing{What: kindNames[k], Count: n, Rate: float64(n) / span.Seconds(),
			P50: milli(h.quantile(0.5)), P99: milli(h.quantile(0.99)), Max: milli(h.longest())})
	}
	return list
}

func milli(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// printOutcome prints it as --output says.
func printOutcome(w io.Writer, form string, o *outcome) error {
	if form == outputJSON {
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		return enc.Encode(o)
	}
	var text strings.Builder
	o.table(&text)
	_, err := io.WriteString(w, text.String())
	return err
}

func (o *outcome) table(w io.Writer) {
	fmt.Fprintf(w, "%d devices (%s) for %.1f s at %s: %d were accepted, %d were connected at once at most, %d are\n\n",
		o.Devices, o.Mode, o.Seconds, o.Addr, o.Accepted, o.MostConnected, o.Connected)
	printTimes(w, o.Times)
	fmt.Fprintf(w, "\nreceived %s, sent %s, of that downloads %s\n", bytesOf(o.In), bytesOf(o.Out), bytesOf(o.Content))
	fmt.Fprintf(w, "plans: %d received, %d committed, %d rolled back, %d gave way to another while they were downloaded\n", o.Plans, o.Committed, o.RolledBack, o.Outdated)
	for i, s := range o.Storms {
		fmt.Fprintf(w, "storm %d, at %.1f s: %d devices, %s\n", i+1, s.Seconds, s.Devices, s)
	}
	printCounts(w, "errors", o.Errors)
	if o.Odd != nil {
		fmt.Fprintf(w, "\n%d devices that misbehave\n\n", o.Odd.Devices)
		printTimes(w, o.Odd.Times)
		printCounts(w, "what they got", o.Odd.Answers)
	}
}

// String says how a storm ended.
func (c calm) String() string {
	if c.Left > 0 {
		return fmt.Sprintf("%d of them had not asked again", c.Left)
	}
	return fmt.Sprintf("all had asked again after %.2f s", c.Recovered)
}

func printTimes(w io.Writer, list []timing) {
	if len(list) == 0 {
		fmt.Fprintln(w, "nothing was answered")
		return
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tw, "count\tper second\tp50\tp99\tmax\t")
	for _, t := range list {
		fmt.Fprintf(tw, "%d\t%.1f\t%s\t%s\t%s\t  %s\n", t.Count, t.Rate, span(t.P50), span(t.P99), span(t.Max), t.What)
	}
	tw.Flush()
}

func printCounts(w io.Writer, what string, counts map[string]int64) {
	if len(counts) == 0 {
		fmt.Fprintf(w, "%s: none\n", what)
		return
	}
	fmt.Fprintf(w, "%s:\n", what)
	names := slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), strings.Compare(a, b))
	})
	for _, name := range names {
		fmt.Fprintf(w, "%9d  %s\n", counts[name], name)
	}
}

// span writes milliseconds for people.
func span(ms float64) string {
	switch {
	case ms < 10:
		return fmt.Sprintf("%.2f ms", ms)
	case ms < 1000:
		return fmt.Sprintf("%.0f ms", ms)
	}
	return fmt.Sprintf("%.2f s", ms/1000)
}

// bytesOf writes a number of bytes for people.
func bytesOf(n int64) string {
	switch {
	case n < 1e4:
		return fmt.Sprintf("%d B", n)
	case n < 1e7:
		return fmt.Sprintf("%.0f kB", float64(n)/1e3)
	}
	return fmt.Sprintf("%.1f MB", float64(n)/1e6)
}
