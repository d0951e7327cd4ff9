package txn_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/trusch/jamesd/internal/device/disk"
	"github.com/trusch/jamesd/pkg/james"
)

// coverage is what of the document has happened.
type coverage struct {
	mu        sync.Mutex
	calls     map[string]bool
	variables map[string]bool
	runs      map[string]bool
}

func (c *coverage) call(step james.Action, name call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls[string(step)+" "+name.String()] = true
}

// run reports whether no other call had that JAMES_RUN.
func (c *coverage) run(id string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	known := c.runs[id]
	c.runs[id] = true
	return id != "" && !known
}

func (c *coverage) variable(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.variables[name] = true
}

// TestScriptMatrix carries out every row of docs/scripts.md and compares all that
// is called then, with what, and when, with what the document says. A row that it
// cannot carry out, a call or a variable that no row has, and a documented call or
// variable that never comes fail.
func TestScriptMatrix(t *testing.T) {
	t.Parallel()
	tables := documented(t)
	m := newMatrix(t, tables)
	cover := &coverage{calls: map[string]bool{}, variables: map[string]bool{}, runs: map[string]bool{}}
	t.Run("rows", func(t *testing.T) {
		for _, tb := range tables {
			for _, row := range tb.rows {
				switch tb.header {
				case happensHeader:
					t.Run(row[0], func(t *testing.T) { t.Parallel(); m.happens(t, row, cover) })
				case stopsHeader:
					t.Run("stops, "+row[0], func(t *testing.T) { t.Parallel(); m.stops(t, row, cover) })
				}
			}
		}
	})
	m.checkComplete(t, tables)
	for step, calls := range m.calls {
		for c := range calls {
			if !cover.calls[string(step)+" "+c.String()] {
				t.Errorf("%s: %s is documented and never called", step, c)
			}
		}
	}
	for _, name := range m.variables {
		if !cover.variables[name] {
			t.Errorf("%s is documented and never set", name)
		}
	}
}

// checkComplete fails where there is no row for the failure of a script, or for a
// device that stops in it.
func (m *matrix) checkComplete(t *testing.T, tables []table) {
	t.Helper()
	rows := map[string]bool{}
	for _, tb := range tables {
		for _, row := range tb.rows {
			rows[row[0]] = true
		}
	}
	for step, calls := range m.calls {
		for c := range calls {
			if c.action != james.ActionRestore && !rows[fmt.Sprintf("%s: %s fails", step, c)] {
				t.Errorf("%s: no row tells what happens when %s fails", step, c)
			}
			if !rows[fmt.Sprintf("%s: in %s", step, c)] {
				t.Errorf("%s: no row tells what happens when the device stops in %s", step, c)
			}
		}
	}
}

// steps are the plans of rows.
var steps = map[string]string{
	"install": "install", "remove": "remove", "upgrade": "upgrade", "upgrade to the same packet": "same",
	"remove with its configuration":        "purge",
	"remove `a`, upgrade `b`, install `c`": "several",
}

var onlyText = regexp.MustCompile("^(install|remove|upgrade) of a packet with `([a-z]+)` only$")

// parseHappens returns what "what happens" asks for.
func parseHappens(text string) (setting, error) {
	step, what, _ := strings.Cut(text, ": ")
	s := setting{step: steps[step]}
	if m := onlyText.FindStringSubmatch(step); m != nil {
		s.step, s.only = m[1], james.ScriptName(m[2])
	}
	if s.step == "" {
		return s, fmt.Errorf("%q is no plan", step)
	}
	switch what {
	case "":
	case "refused":
		s.refused = true
	case "jamesd is not reached":
		s.reached = func() error { return james.Errorf(james.KindUnavailable, "server", "is gone") }
	case "a later step fails":
		s.later = "fails"
	case "the health check of a later step fails":
		s.later = "health"
	default:
		return s, s.parseFailure(what)
	}
	return s, nil
}

// parseFailure takes "CALL fails", with how often, or "CALL and CALL fail".
func (s *setting) parseFailure(what string) error {
	list := what
	for _, end := range []struct {
		text  string
		tries int
		once  bool
	}{{" fails once and is tried again", 1, true}, {" fails and is tried again", 1, false}, {" fails", 0, false}, {" fail", 0, false}} {
		if rest, ok := strings.CutSuffix(what, end.text); ok {
			list, s.tries, s.once = rest, end.tries, end.once
			break
		}
	}
	if list == what {
		return fmt.Errorf("nobody knows how to have %q happen", what)
	}
	for part := range strings.SplitSeq(list, " and ") {
		c, err := parseCall(part)
		if err != nil {
			return err
		}
		s.fails = append(s.fails, c)
	}
	return nil
}

// happens carries out a row: as it says, with scripts that are killed instead of
// failing, and with packets that lack a script, one for each row in turn, or all
// one after the other where JAMES_TEST_EVERY_POINT is set.
func (m *matrix) happens(t *testing.T, row []string, cover *coverage) {
	s, err := parseHappens(row[0])
	if err != nil {
		t.Fatal(err)
	}
	calls, err := parseCalls(row[1])
	if err != nil {
		t.Fatal(err)
	}
	m.carryOut(t, s, calls, row[2], cover)
	if testing.Short() {
		return
	}
	if len(s.fails) > 0 && !s.once {
		killed := s
		killed.killed = true
		m.carryOut(t, killed, calls, row[2], cover)
	}
	lacked := slices.DeleteFunc(james.ScriptNames(), func(name james.ScriptName) bool {
		return s.only != "" || slices.ContainsFunc(s.fails, func(c call) bool { return c.script == name })
	})
	if n := len(lacked); n > 0 && os.Getenv("JAMES_TEST_EVERY_POINT") == "" {
		lacked = lacked[len(row[0])%n:][:1]
	}
	for _, name := range lacked {
		lacking := s
		lacking.without = name
		t.Run("without "+string(name), func(t *testing.T) {
			m.carryOut(t, lacking, without(calls, name), row[2], cover)
		})
	}
}

func without(calls []call, name james.ScriptName) []call {
	return slices.DeleteFunc(slices.Clone(calls), func(c call) bool { return c.script == name })
}

func (m *matrix) carryOut(t *testing.T, s setting, calls []call, then string, cover *coverage) {
	t.Helper()
	st := newStage(t, s)
	defer st.close()
	r, err := st.run()
	if err != nil {
		t.Fatal(err)
	}
	m.check(t, st, st.calls(), calls, cover)
	st.end(t, r, then)
	if s.refused != (r.Result == james.Refused) {
		t.Errorf("the result is %s", r.Result)
	}
	if len(s.fails) > 0 && !s.once {
		s.checkReport(t, st, r)
	}
}

// checkReport checks what is told of a script that failed, and of a mirror.
func (s setting) checkReport(t *testing.T, st *stage, r *james.Report) {
	t.Helper()
	c, kind, output, says := s.fails[0], james.KindConflict, "this is why\n", []string{"exit status 7 (this is why)"}
	if s.killed {
		kind, output, says = james.KindInterrupted, "", []string{"ended by signal 9 (killed)"}
	}
	app := c.app
	if app == "" {
		app = theApp
	}
	says = append(says, fmt.Sprintf("cannot %s %s ", st.steps[app], app), "script "+string(c.script)+" of "+app)
	for _, mirror := range s.fails[1:] {
		says = append(says, "; while undoing: script "+string(mirror.script)+" of "+app)
	}
	if r.App != app || r.Script != c.script || r.Kind != kind || r.Output != output {
		t.Errorf("the report is %+v", r)
	}
	for _, text := range says {
		if !strings.Contains(r.Error, text) {
			t.Errorf("the report does not say %q: %s", text, r.Error)
		}
	}
}

// parseStop returns what "the device stops" asks for: where, the call, if there is
// one, and how often.
func parseStop(text string) (s setting, where string, c call, times int, err error) {
	step, what, _ := strings.Cut(text, ": ")
	s.step, times = steps[step], 1
	if s.step == "" {
		return s, "", c, 0, fmt.Errorf("%q is no plan", step)
	}
	if rest, ok := strings.CutSuffix(what, ", three times"); ok {
		what, times = rest, 3
	}
	switch {
	case what == "while jamesd is awaited", what == "after the commit":
		return s, what, c, times, nil
	}
	where, name, _ := strings.Cut(what, " ")
	if where != "in" && where != "before" {
		return s, "", c, 0, fmt.Errorf("nobody knows how to stop %q", what)
	}
	if c, err = parseCall(name); c.action == james.ActionRestore {
		s.later = "fails" // so that there is something to be undone
	}
	return s, where, c, times, err
}

// stops carries out a row: at several operations each.
func (m *matrix) stops(t *testing.T, row []string, cover *coverage) {
	s, where, c, times, err := parseStop(row[0])
	if err != nil {
		t.Fatal(err)
	}
	calls, err := parseCalls(row[1])
	if err != nil {
		t.Fatal(err)
	}
	if where == "while jamesd is awaited" {
		m.stopAwaiting(t, s, calls, row[2], cover)
		return
	}
	for _, n := range stopPoints(t, s, where, c) {
		t.Run(fmt.Sprintf("at operation %d", n), func(t *testing.T) {
			st := newStage(t, s)
			defer st.close()
			st.hook = dieBefore(int64(n))
			dies(t, func() { st.run() })
			for range times - 1 {
				st.hook = nil
				if err := st.open(); err != nil {
					t.Fatal(err)
				}
				before := st.called()
				st.hook = dieWhen(func(bool) bool { return st.called() > before }) // at the end of the next script
				dies(t, func() { st.in.Recover(context.Background()) })
				if st.called() != before+1 {
					t.Fatalf("%d scripts were called on probation", st.called()-before)
				}
			}
			m.revive(t, st, calls, row[2], cover)
		})
	}
}

// stopAwaiting stops the device while it waits for jamesd.
func (m *matrix) stopAwaiting(t *testing.T, s setting, calls []call, then string, cover *coverage) {
	asked := 0
	s.reached = func() error {
		if asked++; asked == 1 {
			runtime.Goexit()
		}
		return nil
	}
	st := newStage(t, s)
	defer st.close()
	dies(t, func() { st.run() })
	m.revive(t, st, calls, then, cover)
	if asked != 2 {
		t.Errorf("jamesd was awaited %d times", asked)
	}
}

// revive starts the device again and checks what is called then.
func (m *matrix) revive(t *testing.T, st *stage, calls []call, then string, cover *coverage) {
	t.Helper()
	before := st.called()
	st.hook = nil
	r, err := st.start()
	if err != nil {
		t.Fatal(err)
	}
	m.check(t, st, st.calls()[before:], calls, cover)
	st.end(t, r, then)
}

// stopPoints returns operations, from 0, before which the device can stop so that
// it does so where a row says.
func stopPoints(t *testing.T, s setting, where string, c call) []int {
	t.Helper()
	st := newStage(t, s)
	defer st.close()
	tr := &tracer{st: st}
	st.hook = tr.hook
	if _, err := st.run(); err != nil {
		t.Fatal(err)
	}
	if where == "after the commit" {
		last := len(tr.ops) - 1
		return spread(tr.lastAppend(last+1)+1, last)
	}
	c.app = theApp
	calls := st.calls()
	k := slices.IndexFunc(calls, func(s seen) bool {
		return call{app: s.env["JAMES_PACKET"], old: s.env["JAMES_TAGS"] == "v1", script: james.ScriptName(s.script),
			action: james.Action(s.env["JAMES_ACTION"]), try: c.try} == c
	})
	if k < 0 {
		t.Fatalf("%s is not called", c)
	}
	turn := tr.turn(k)
	switch {
	case where == "before" && k > 0:
		t.Fatalf("%s is not the first call", c)
	case where == "before":
		return spread(tr.firstAppend(), turn)
	case c.action == james.ActionRestore:
		return []int{turn + 1, tr.after(k), tr.after(k) + 1}
	case k+1 < len(calls) && s.later == "":
		return spread(turn+1, tr.turn(k+1))
	}
	return spread(turn+1, tr.lastAppend(len(tr.ops)))
}

// spread returns the first, the last, and some between.
func spread(first, last int) []int {
	all := []int{first, first + (last-first)/2, last}
	return slices.Compact(all)
}

// tracer notes the operations of a transaction, and how many scripts were called
// before each.
type tracer struct {
	st     *stage
	mu     sync.Mutex
	ops    []disk.Op
	called []int
}

func (tr *tracer) hook(before bool, op disk.Op) error {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if before {
		tr.ops, tr.called = append(tr.ops, op), append(tr.called, tr.st.called())
	}
	return nil
}

// after returns the first operation after the k-th call, from 0.
func (tr *tracer) after(k int) int {
	return slices.IndexFunc(tr.called, func(n int) bool { return n > k })
}

// turn returns the operation that notes that the turn of the k-th call has come;
// the run itself is noted after it.
func (tr *tracer) turn(k int) int { return tr.lastAppend(tr.lastAppend(tr.after(k))) }

// firstAppend returns the operation that begins the transaction.
func (tr *tracer) firstAppend() int { return slices.IndexFunc(tr.ops, isAppend) }

// lastAppend returns the last operation before the n-th that adds to the journal.
func (tr *tracer) lastAppend(n int) int {
	for n--; !isAppend(tr.ops[n]); {
		n--
	}
	return n
}

// isAppend reports whether an operation adds to the journal.
func isAppend(op disk.Op) bool { return op.Name == "append" && filepath.Base(op.Path) == "journal" }
