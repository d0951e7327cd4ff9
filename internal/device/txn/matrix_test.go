package txn_test

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trusch/jamesd/internal/device/disk"
	"github.com/trusch/jamesd/internal/device/script"
	"github.com/trusch/jamesd/pkg/james"
)

// table is a table of docs/scripts.md: its header and its rows, cell by cell.
type table struct {
	header string
	rows   [][]string
}

// documented returns the tables of docs/scripts.md.
func documented(t *testing.T) []table {
	t.Helper()
	raw, err := os.ReadFile(cmp.Or(os.Getenv("JAMESC_TEST_DOCS"), "../../../docs") + "/scripts.md")
	if err != nil {
		t.Fatal(err)
	}
	var all []table
	lines := strings.Split(string(raw), "\n")
	for n, line := range lines {
		switch {
		case !strings.HasPrefix(line, "|"):
		case !strings.HasPrefix(lines[n-1], "|"):
			all = append(all, table{header: strings.Join(cells(line), " | ")})
		case !strings.HasPrefix(line, "|---"):
			last := &all[len(all)-1]
			last.rows = append(last.rows, cells(line))
		}
	}
	return all
}

func cells(line string) []string {
	list := strings.Split(strings.Trim(line, "|"), "|")
	for i := range list {
		list[i] = strings.TrimSpace(list[i])
	}
	return list
}

// The headers of the tables, and what the rest of a row says.
const (
	variablesHeader = "variable | value"
	callsHeader     = "step | call | the step's files in place | `JAMES_OLD_TAGS` | `JAMES_NEW_TAGS`"
	happensHeader   = "what happens | calls, in order | the device then"
	stopsHeader     = "the device stops | calls at the next start | the device then"
)

// call is a call of a script as the tables name it.
type call struct {
	app    string // "" where there is one only
	old    bool
	script james.ScriptName
	action james.Action
	rerun  bool
	try    int // of a health check
}

var callText = regexp.MustCompile("^(?:`([a-z])` )?(old|new) `([a-z]+) ([a-z]+)`(?: \\(`(JAMES_RERUN=1|JAMES_TRY=2)`\\))?$")

func parseCall(text string) (call, error) {
	m := callText.FindStringSubmatch(text)
	if m == nil || !slices.Contains(james.ScriptNames(), james.ScriptName(m[3])) {
		return call{}, fmt.Errorf("%q is no call", text)
	}
	c := call{app: m[1], old: m[2] == "old", script: james.ScriptName(m[3]), action: james.Action(m[4]), rerun: m[5] == "JAMES_RERUN=1"}
	if c.script == james.HealthCheck {
		c.try = 1
		if m[5] == "JAMES_TRY=2" {
			c.try = 2
		}
	}
	return c, nil
}

func parseCalls(text string) ([]call, error) {
	if text == "none" {
		return nil, nil
	}
	var all []call
	for part := range strings.SplitSeq(text, ", ") {
		c, err := parseCall(part)
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return all, nil
}

// plain is the call as one of those that there are.
func (c call) plain() call { c.app, c.rerun, c.try = "", false, 0; return c }

func (c call) String() string {
	side := map[bool]string{true: "old", false: "new"}[c.old]
	text := fmt.Sprintf("%s `%s %s`", side, c.script, c.action)
	if c.app != "" {
		text = "`" + c.app + "` " + text
	}
	if c.rerun {
		text += " (again)"
	}
	if c.try > 1 {
		text += fmt.Sprintf(" (try %d)", c.try)
	}
	return text
}

// circumstances are what the table of all calls says of one.
type circumstances struct {
	files          string // "old", "new" or "none"
	oldSet, newSet bool
}

// matrix is the document, as far as it is not rows to carry out.
type matrix struct {
	calls     map[james.Action]map[call]circumstances
	variables []string
}

func newMatrix(t *testing.T, tables []table) *matrix {
	t.Helper()
	m := &matrix{calls: map[james.Action]map[call]circumstances{}}
	for _, tb := range tables {
		for _, row := range tb.rows {
			switch tb.header {
			case variablesHeader:
				m.variables = append(m.variables, strings.Trim(row[0], "`"))
			case callsHeader:
				m.add(t, row)
			case happensHeader, stopsHeader:
			default:
				t.Fatalf("nobody knows how to carry out the table %q", tb.header)
			}
		}
	}
	return m
}

func (m *matrix) add(t *testing.T, row []string) {
	t.Helper()
	c, err := parseCall(row[1])
	files := map[string]string{"none": "none", "the old ones": "old", "the new ones": "new"}[row[2]]
	set := map[string]bool{"of the old": true, "of the new": true, "not set": false}
	oldSet, okOld := set[row[3]]
	newSet, okNew := set[row[4]]
	if err != nil || files == "" || !okOld || !okNew || !slices.Contains([]string{"install", "remove", "upgrade"}, row[0]) {
		t.Fatalf("nobody knows how to check the row %q: %v", row, err)
	}
	step := james.Action(row[0])
	if m.calls[step] == nil {
		m.calls[step] = map[call]circumstances{}
	}
	m.calls[step][c.plain()] = circumstances{files, oldSet, newSet}
}

// seen is one call as the script has noted it.
type seen struct {
	script, args, files string
	env                 map[string]string
}

// noting is a script that notes all that it is told and what it sees, and fails
// where the file "fails" beside the root says so: always, or "once".
func noting(name james.ScriptName) string {
	return fmt.Sprintf(`#!/bin/sh
out="$JAMES_ROOT/.."
d="$JAMES_ROOT/opt/$JAMES_PACKET"
common= gone= new=
[ -e "$d/common" ] && read common < "$d/common"
[ -e "$d/gone" ] && read gone < "$d/gone"
[ -e "$d/new" ] && read new < "$d/new"
{
	echo "=%s=$#=$1=$common+$gone+$new"
	tr '\0' '\n' < /proc/$$/environ
} >> "$out/calls"
[ -s "$out/fails" ] || exit 0
me="$JAMES_PACKET $JAMES_TAGS %s $1"
if grep -qx "$me once" "$out/fails"; then
	rm "$out/fails"
	exit 7
fi
if grep -qx "$me" "$out/fails"; then
	echo this is why
	exit 7
fi
if grep -qx "$me killed" "$out/fails"; then
	kill -9 $$
fi
`, name, name)
}

// calls returns what the scripts have noted.
func (w *world) calls() []seen {
	raw, _ := os.ReadFile(filepath.Join(w.root, "../calls"))
	var all []seen
	for line := range strings.Lines(string(raw)) {
		line = strings.TrimSuffix(line, "\n")
		if f := strings.Split(line, "="); f[0] == "" && len(f) == 5 {
			all = append(all, seen{script: f[1], args: f[2] + " " + f[3], files: f[4], env: map[string]string{}})
			continue
		}
		name, value, _ := strings.Cut(line, "=")
		all[len(all)-1].env[name] = value
	}
	return all
}

// called returns how many scripts were called.
func (w *world) called() int {
	raw, _ := os.ReadFile(filepath.Join(w.root, "../calls"))
	n := bytes.Count(raw, []byte("\n="))
	if len(raw) > 0 {
		n++
	}
	return n
}

// stage is a plan on a device, ready to be carried out.
type stage struct {
	*trial
	steps map[string]james.Action // by app
	same  bool                    // old and new are the same packet
	purge bool
}

// setting says what a row needs.
type setting struct {
	step    string // "install", "remove", "purge", "upgrade", "same" or "several"
	only    james.ScriptName
	without james.ScriptName
	fails   []call
	once    bool // the first of fails does so once only
	tries   int  // of health checks
	later   string
	reached func() error // of the confirmation; nil asks for none
	refused bool
	killed  bool // what fails is ended by a signal
}

const theApp = "w"

// newStage makes the device and the plan that a row is about.
func newStage(t *testing.T, s setting) *stage {
	t.Helper()
	w := newWorld(t)
	base := filepath.Join(scratch(t), "w")
	w.root, w.state = base+"/root", base+"/state"
	if err := os.MkdirAll(w.root, 0o755); err != nil {
		t.Fatal(err)
	}
	w.runner = script.Runner{}
	w.opts.Sleep = func(ctx context.Context, _ time.Duration) error { return ctx.Err() }
	begun := false // and not only what is to be there before
	if s.reached != nil {
		w.opts.Confirm = func(ctx context.Context, _ *james.Plan) error {
			if !begun {
				return nil
			}
			return s.reached()
		}
	}
	w.put("theirs/x", "opt/w/common=theirs")
	st := &stage{steps: map[string]james.Action{}, same: s.step == "same", purge: s.step == "purge"}
	w.open()
	if _, err := w.in.Recover(context.Background()); err != nil {
		t.Fatal(err)
	}
	var plan []james.Step
	switch s.step {
	case "several":
		plan = append(plan, st.prepare(w, s, "a", "remove"), st.prepare(w, s, "b", "upgrade"), st.prepare(w, s, "c", "install"))
	default:
		plan = append(plan, st.prepare(w, s, theApp, s.step))
	}
	switch s.later {
	case "fails":
		plan = append(plan, install(w.pack(t, "z v1", map[james.ScriptName]string{james.Postinst: "exit 1"}, file("z", "z"))))
	case "health":
		plan = append(plan, install(w.pack(t, "z v1", map[james.ScriptName]string{james.HealthCheck: "exit 1"}, file("z", "z"))))
	}
	os.Remove(base + "/calls")
	var fails strings.Builder
	for n, c := range s.fails {
		app, tags := c.app, map[bool]string{true: "v1", false: "v2"}[c.old]
		if app == "" {
			app = theApp
		}
		how := map[bool]string{true: " killed"}[s.killed]
		if n == 0 && s.once {
			how = " once"
		}
		fmt.Fprintf(&fails, "%s %s %s %s%s\n", app, tags, c.script, c.action, how)
	}
	if err := os.WriteFile(base+"/fails", []byte(fails.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	w.age()
	begun = true
	st.trial = &trial{world: w, plan: james.NewPlan(1, plan, nil), before: w.tree(true)}
	return st
}

// prepare makes the packets of one step, installs what is to be there before, and
// returns the step.
func (st *stage) prepare(w *world, s setting, app, step string) james.Step {
	scripts := map[james.ScriptName]string{}
	for _, name := range james.ScriptNames() {
		if name != s.without && (s.only == "" || s.only == name) {
			scripts[name] = noting(name)
		}
	}
	w.packets.health = &james.Health{Retries: s.tries}
	dir := "opt/" + app + "/"
	v1 := w.pack(w.t, app+" v1", scripts, file(dir+"common", "old"), file(dir+"gone", "old"))
	news := []member{file(dir+"common", "new"), file(dir+"new", "new")}
	if s.refused {
		w.apply(install(w.pack(w.t, "other v1", nil, file("opt/other", "o"))))
		news = append(news, file("opt/other", "o"))
	}
	v2 := w.pack(w.t, app+" v2", scripts, news...)
	if step != "install" {
		w.apply(install(v1))
	}
	st.steps[app] = james.Action(step)
	switch step {
	case "install":
		return install(v2)
	case "remove":
		return remove(v1)
	case "purge":
		st.steps[app] = james.ActionRemove
		gone := remove(v1)
		gone.Purge = true
		return gone
	case "same":
		st.steps[app] = james.ActionUpgrade
		return upgrade(v1, v1)
	}
	return upgrade(v1, v2)
}

// check compares what was called with the row, and every call with what the
// document says of it. It notes which calls and variables were seen.
func (m *matrix) check(t *testing.T, st *stage, got []seen, want []call, cover *coverage) {
	t.Helper()
	var names []string
	for _, s := range got {
		names = append(names, m.checkOne(t, st, s, cover))
	}
	var wanted []string
	for _, c := range want {
		if c.app == "" {
			c.app = theApp
		}
		if st.same {
			c.old = false
		}
		wanted = append(wanted, c.String())
	}
	if !slices.Equal(names, wanted) {
		t.Errorf("called\n  %s\nthe row says\n  %s", strings.Join(names, "\n  "), strings.Join(wanted, "\n  "))
	}
}

// checkOne checks one call and returns its name.
func (m *matrix) checkOne(t *testing.T, st *stage, s seen, cover *coverage) string {
	t.Helper()
	app := s.env["JAMES_PACKET"]
	c := call{app: app, old: s.env["JAMES_TAGS"] == "v1" && !st.same, script: james.ScriptName(s.script), rerun: s.env["JAMES_RERUN"] != ""}
	count, action, _ := strings.Cut(s.args, " ")
	c.action = james.Action(action)
	if c.script == james.HealthCheck {
		fmt.Sscan(s.env["JAMES_TRY"], &c.try)
	}
	if count != "1" {
		t.Errorf("%s has %s arguments", c, count)
	}
	about, ok := m.calls[st.steps[app]][c.plain()]
	if st.same && !ok {
		about, ok = m.calls[st.steps[app]][call{old: true, script: c.script, action: c.action}]
	}
	if !ok {
		t.Errorf("no row knows the call %s while %s", c, st.steps[app])
		return c.String()
	}
	cover.call(st.steps[app], c.plain())
	state := map[string]string{"old+old+": "old", "new++new": "new", "++": "none", "theirs++": "none"}[s.files]
	if state != about.files && (!st.same || (state == "none") != (about.files == "none")) {
		t.Errorf("%s sees the files %q (%q), the row says %q", c, s.files, state, about.files)
	}
	want := m.environment(st, c, about)
	want["JAMES_RUN"] = s.env["JAMES_RUN"] // which nobody can know
	if !cover.run(want["JAMES_RUN"]) {
		t.Errorf("%s has JAMES_RUN=%q, which is that of another", c, want["JAMES_RUN"])
	}
	for name, value := range s.env {
		if name == "_" || name == "OLDPWD" || name == "SHLVL" {
			continue // of some shells
		}
		if !slices.Contains(m.variables, name) {
			t.Errorf("%s has the variable %s, which no row knows", c, name)
		}
		cover.variable(name)
		if want[name] != value {
			t.Errorf("%s has %s=%q, want %q", c, name, value, want[name])
		}
	}
	for name := range want {
		if _, ok := s.env[name]; !ok {
			t.Errorf("%s does not have the variable %s", c, name)
		}
	}
	return c.String()
}

// environment returns what the document says that a call has.
func (m *matrix) environment(st *stage, c call, about circumstances) map[string]string {
	tags := map[bool]string{true: "v1", false: "v2"}
	env := map[string]string{
		"JAMES_PACKET": c.app, "JAMES_TAGS": tags[c.old], "JAMES_ROOT": st.root, "JAMES_ACTION": string(c.action), "PWD": st.root,
		"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "HOME": "/",
	}
	if os.Geteuid() == 0 {
		env["HOME"] = "/root"
	}
	if about.oldSet {
		env["JAMES_OLD_TAGS"] = "v1"
	}
	if about.newSet {
		env["JAMES_NEW_TAGS"] = "v2"
	}
	if st.same {
		env["JAMES_TAGS"], env["JAMES_NEW_TAGS"] = "v1", "v1"
	}
	if st.purge {
		env["JAMES_PURGE"] = "1"
	}
	if c.rerun {
		env["JAMES_RERUN"] = "1"
	}
	if c.try > 0 {
		env["JAMES_TRY"] = fmt.Sprint(c.try)
	}
	return env
}

// end checks what has become of the device.
func (st *stage) end(t *testing.T, r *james.Report, then string) {
	t.Helper()
	st.checkClean()
	d := diff(st.before, st.tree(true))
	switch then {
	case "as before":
		if r != nil && r.Result != james.RolledBack && r.Result != james.Refused || d != "" {
			t.Errorf("it is not as before: %+v\n%s", r, d)
		}
	case "as wanted":
		var apps []string
		for _, s := range st.plan.Steps {
			if s.New != nil {
				apps = append(apps, s.New.App().String())
			}
		}
		if r != nil && r.Result != james.Committed || st.apps() != fmt.Sprint(apps) {
			t.Errorf("it is not as wanted but has %s: %+v", st.apps(), r)
		}
		for name := range maps.Keys(st.steps) {
			want := map[james.Action]string{james.ActionInstall: "new", james.ActionUpgrade: "new"}[st.steps[name]]
			if st.same {
				want = "old"
			}
			if got := st.read("opt/" + name + "/common"); got != want && (want != "" || !strings.Contains(got, "no such file")) {
				t.Errorf("the file of %s holds %q, want %q", name, got, want)
			}
		}
	default:
		t.Errorf("nobody knows how to check that the device is %q", then)
	}
}

// dieBefore returns a hook that ends everything before the n-th operation, from 0.
func dieBefore(n int64) disk.Hook {
	var count atomic.Int64
	return dieWhen(func(before bool) bool { return before && count.Add(1) > n })
}

// dieWhen returns a hook that ends who calls it when it is time, and lets nothing
// be done any more after that.
func dieWhen(time func(before bool) bool) disk.Hook {
	var dead atomic.Bool
	return func(before bool, _ disk.Op) error {
		switch {
		case dead.Load():
			return errDead
		case time(before):
			dead.Store(true)
			runtime.Goexit()
		}
		return nil
	}
}

// dies runs what a hook is to end.
func dies(t *testing.T, run func()) {
	t.Helper()
	var dying sync.WaitGroup
	dying.Go(func() {
		run()
		t.Error("survived")
	})
	dying.Wait()
}
