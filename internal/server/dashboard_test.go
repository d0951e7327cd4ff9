package server_test

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// dashboard is what the test looks at of docs/grafana.json.
type dashboard struct {
	UID        string
	Templating struct {
		List []struct {
			Name  string
			Query any
		}
	}
	Panels []struct {
		ID      int
		Type    string
		Title   string
		GridPos struct{ X, Y, W, H int }
		Targets []struct{ Expr string }
	}
}

// TestDashboard: every metric that the dashboard queries is documented, as what it is
// queried for and with the labels that it is told apart by.
func TestDashboard(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("../../docs/grafana.json")
	must(t, err)
	var d dashboard
	must(t, json.Unmarshal(raw, &d))
	central, site := documented(t)
	queried, ids := map[string]bool{}, map[int]bool{}
	for _, p := range d.Panels {
		if ids[p.ID] || p.Title == "" || p.GridPos.X+p.GridPos.W > 24 || p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("panel %d, %q, at %+v", p.ID, p.Title, p.GridPos)
		}
		ids[p.ID] = true
		for _, target := range p.Targets {
			checkQuery(t, target.Expr, central, site, queried)
		}
	}
	for _, v := range d.Templating.List[1:] {
		text, _ := json.Marshal(v.Query)
		if !strings.Contains(string(text), "label_values(jamesd_build_info, "+v.Name+")") {
			t.Errorf("the variable %s is %s", v.Name, text)
		}
	}
	if len(queried) < 20 {
		t.Errorf("only %d metrics are queried", len(queried))
	}
}

var (
	metricName = regexp.MustCompile(`\b(?:jamesd|go|process)_[a-z_]+`)
	matcher    = regexp.MustCompile(`\{([^}]*)\}`)
	labelName  = regexp.MustCompile(`([a-z]+)\s*(?:=~|!=|!~|=)`)
	grouping   = regexp.MustCompile(`\bby \(([a-z, ]*)\)`)
)

// checkQuery looks at one expression, which is about one metric.
func checkQuery(t *testing.T, expr string, central, site map[string]metric, queried map[string]bool) {
	t.Helper()
	names := metricName.FindAllString(expr, -1)
	if len(names) != 1 || strings.Count(expr, "(") != strings.Count(expr, ")") {
		t.Errorf("%s: is about %v", expr, names)
		return
	}
	name := names[0]
	if !strings.HasPrefix(name, "jamesd_") {
		return
	}
	base, bucket := strings.CutSuffix(name, "_bucket")
	m, ok := central[base]
	if !ok {
		m, ok = site[base]
	}
	if queried[base] = true; !ok {
		t.Errorf("%s: %s is not documented", expr, base)
		return
	}
	if bucket != (m.kind == "histogram") {
		t.Errorf("%s: %s is a %s", expr, base, m.kind)
	}
	if rated := strings.Contains(expr, "rate(") || strings.Contains(expr, "increase("); rated == (m.kind == "gauge") {
		t.Errorf("%s: %s is a %s", expr, base, m.kind)
	}
	known := append(strings.Split(m.labels, ","), "job", "instance", "le")
	var used []string
	for _, group := range grouping.FindAllStringSubmatch(expr, -1) {
		used = append(used, strings.Split(group[1], ", ")...)
	}
	for _, group := range matcher.FindAllStringSubmatch(expr, -1) {
		for _, l := range labelName.FindAllStringSubmatch(group[1], -1) {
			used = append(used, l[1])
		}
	}
	for _, l := range used {
		if !slices.Contains(known, l) {
			t.Errorf("%s: %s has no label %s", expr, base, l)
		}
	}
}
