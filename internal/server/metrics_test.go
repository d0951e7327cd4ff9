package server_test

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/trusch/jamesd/pkg/james"
)

// metric is how a metric is documented, or shown.
type metric struct {
	kind   string
	labels string // sorted
}

// documented returns the metrics that docs/metrics.md lists, by their names: those of a
// jamesd, and those of a site's cache.
func documented(t *testing.T) (central, site map[string]metric) {
	t.Helper()
	raw, err := os.ReadFile("../../docs/metrics.md")
	must(t, err)
	central, site = map[string]metric{}, map[string]metric{}
	row := regexp.MustCompile("(?m)^\\| `(jamesd_[a-z_]+)(?:\\{([a-z,]+)\\})?` \\| (counter|gauge|histogram) \\| (jamesd|site|both) \\| [^|]+ \\|$")
	for _, m := range row.FindAllStringSubmatch(string(raw), -1) {
		labels := strings.Split(m[2], ",")
		slices.Sort(labels)
		is := metric{m[3], strings.Join(labels, ",")}
		if m[4] != "site" {
			central[m[1]] = is
		}
		if m[4] != "jamesd" {
			site[m[1]] = is
		}
	}
	if rows := strings.Count(string(raw), "\n| `jamesd_"); rows < 30 || rows != len(row.FindAllString(string(raw), -1)) {
		t.Fatalf("of %d rows %d can be read", rows, len(row.FindAllString(string(raw), -1)))
	}
	return central, site
}

// shown returns the metrics of jamesd's own that a scrape has.
func shown(t *testing.T, scrape string) map[string]metric {
	t.Helper()
	out := map[string]metric{}
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (jamesd_\S+) (\S+)$`).FindAllStringSubmatch(scrape, -1) {
		sample := regexp.MustCompile(`(?m)^` + m[1] + `(?:_bucket|_sum|_count)?(?:\{(.*)\})? \S+$`).FindStringSubmatch(scrape)
		if sample == nil {
			t.Errorf("%s has no sample", m[1])
			continue
		}
		var labels []string
		for _, l := range regexp.MustCompile(`([a-z]+)="`).FindAllStringSubmatch(sample[1], -1) {
			if l[1] != "le" {
				labels = append(labels, l[1])
			}
		}
		slices.Sort(labels)
		out[m[1]] = metric{m[2], strings.Join(labels, ",")}
	}
	return out
}

// TestMetricsAreDocumented compares the document with what a jamesd and a site's cache
// show, both ways.
func TestMetricsAreDocumented(t *testing.T) {
	t.Parallel()
	p := run(t, nil, standard(t.TempDir())...)
	p.logged(t, "ready")
	_, err := p.client(t, "device-1").Poll(t.Context(), james.PollRequest{Report: &james.DeviceReport{}})
	must(t, err)
	near := run(t, nil, cacheOf("https://"+p.addr(t, "listening"), t.TempDir())...)
	near.logged(t, "ready")
	near.client(t, "device-1").Manifest(t.Context(), james.DigestOf(nil)) // whatever it answers
	central, site := documented(t)
	for name, c := range map[string]struct {
		process *process
		want    map[string]metric
	}{"jamesd": {p, central}, "a site's cache": {near, site}} {
		_, body := c.process.get(t, "/metrics")
		got := shown(t, body)
		for _, n := range slices.Sorted(maps.Keys(c.want)) {
			if got[n] != c.want[n] {
				t.Errorf("%s: %s is documented as %v, and is %v", name, n, c.want[n], got[n])
			}
			delete(got, n)
		}
		for _, n := range slices.Sorted(maps.Keys(got)) {
			t.Errorf("%s: %s %v is not documented", name, n, got[n])
		}
	}
}

// TestConditionsAreDocumented: the conditions of devices are those of the document.
func TestConditionsAreDocumented(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("../../docs/metrics.md")
	must(t, err)
	_, table, ok := strings.Cut(string(raw), "\n## Conditions\n")
	table, _, _ = strings.Cut(table, "\n## ")
	rows := strings.Count(table, "\n| `")
	for _, c := range james.Conditions() {
		if !strings.Contains(table, fmt.Sprintf("\n| `%s` |", c)) {
			t.Errorf("%s is not there", c)
		}
	}
	if !ok || rows != len(james.Conditions()) {
		t.Errorf("there are %d rows for %d conditions", rows, len(james.Conditions()))
	}
}
